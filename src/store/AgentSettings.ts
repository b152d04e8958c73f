/**
 * The entries of `machines:` in telad.yaml, read and changed from afar. A change is tried as a whole before anything is
 * written; what was there before stays beside the file until the change has proved itself, so that an agent that stops in
 * between starts with the configuration of before.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import { isDeepStrictEqual } from "node:util"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { CONFIG_FILE_BYTES } from "../protocol/Limits.ts"
import type { ConfigChange, JsonObject } from "../protocol/Management.ts"
import { didYouMean } from "../protocol/Nearest.ts"
import { quoted } from "../protocol/Printable.ts"
import * as AgentFile from "./AgentFile.ts"
import * as Files from "./internal/files.ts"
import { withLock } from "./internal/lock.ts"
import * as MergePatch from "./internal/mergePatch.ts"
import { renameSynced } from "./internal/renaming.ts"
import * as YamlEdit from "./internal/yamlEdit.ts"

/** It cannot be read, or will not be changed so; nothing has changed. The message names the key and what to write. */
export class SettingsRefused extends Data.TaggedError("SettingsRefused")<{ readonly message: string }> {}

/** A machine's entry as it stands in the file, without what is secret. */
export interface Entry {
  readonly hub: string
  readonly file: string
  readonly entry: JsonObject
}

/** A change that would do, and how it is made. */
export interface Edit {
  readonly changes: ReadonlyArray<ConfigChange>
  readonly warnings: ReadonlyArray<string>
  /** What the machine is then. */
  readonly machine: AgentFile.MachineConfig
  /** Writes it, with what was there before beside it. */
  readonly write: Effect.Effect<void, SettingsRefused>
  /** The change has proved itself, and stays, after a power cut too. What was there before is kept, as the one before the last. */
  readonly confirm: Effect.Effect<void, SettingsRefused>
  /** Puts back what was there before, unless somebody has written the file since. */
  readonly undo: Effect.Effect<void, SettingsRefused>
}

/** The machines' configuration, wherever it is kept. */
export interface AgentSettings {
  readonly read: (machine: string) => Effect.Effect<Entry, SettingsRefused>
  /** Tries a merge patch (RFC 7386) whose root is the machine's entry. */
  readonly edit: (machine: string, patch: JsonObject) => Effect.Effect<Edit, SettingsRefused>
}

const refused = (message: string) => new SettingsRefused({ message })

const unusable = (file: string) => (failure: Files.FileProblem) =>
  refused(
    failure.code === "ECHANGED"
      ? `${file}: somebody else has written it meanwhile; look at it, and try again`
      : `${file}: ${failure.problem}`
  )

/** Keys whose value nobody is shown, at whatever depth they stand. */
const secretKey = /token|secret|password/i

/** A value without what is secret in it. */
const shown = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => (secretKey.test(key) ? [] : [[key, shown(member)]]))
  )
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Keys that only somebody on the machine may change. */
const local: Readonly<Record<string, string>> = {
  name: "the machine's permissions and its clients' pins go by its name",
  token: "a token does not travel",
  management: "it says what may be changed from afar"
}

/** Keys as we write them; deployed tools write ours in any case of letters. */
const normalised = (patch: JsonObject): Effect.Effect<JsonObject, SettingsRefused> => {
  const inherited = MergePatch.inheritedKeyIn(patch)
  if (inherited !== undefined) return refused(`${quoted(inherited)} cannot be a key`)
  const known = AgentFile.machineKeys
  const entries = Object.entries(patch).map(([key, value]): [string, unknown] => {
    const ours = known.includes(key) ? key : known.find((each) => each.toLowerCase() === key.toLowerCase())
    return [ours ?? key, value]
  })
  for (const [key] of entries) {
    const why = local[key]
    if (why !== undefined)
      return refused(`${key} cannot be set from afar: ${why}; change it in telad.yaml on the machine`)
    if (secretKey.test(key)) return refused(`unknown key ${quoted(key)}${didYouMean(key, known)}`)
  }
  if (new Set(entries.map(([key]) => key)).size < entries.length) return refused("a key is there twice")
  return Effect.succeed(Object.fromEntries(entries))
}

/** Keys that are another now, in the order of the entry. */
const changesOf = (before: unknown, after: unknown): ReadonlyArray<ConfigChange> => {
  const was = isObject(before) ? before : {}
  const is = isObject(after) ? after : {}
  return [...new Set([...Object.keys(was), ...Object.keys(is)])]
    .filter((key) => !isDeepStrictEqual(was[key], is[key]))
    .map((key) => ({
      key,
      ...(key in was && { from: shown(was[key]) }),
      ...(key in is && { to: shown(is[key]) })
    }))
}

const digestOf = (text: string): string => Crypto.createHash("sha256").update(text).digest("hex")

/** What a change replaced, while it has not proved itself: the digest of what is in its place, then the text itself. */
const unconfirmedFile = (target: string): string => `${target}.unconfirmed`
const previousFile = (target: string): string => `${target}.previous`

const unconfirmed = (before: string, after: string): string => `# replaced by ${digestOf(after)}\n${before}`

const replaced = /^# replaced by ([0-9a-f]{64})\n/

const forget = (target: string): Effect.Effect<void> =>
  Effect.promise(() => Fs.rm(unconfirmedFile(target), { force: true }).catch(() => {}))

/** The file where it really is, and what it holds. */
const look = (file: string) =>
  Effect.gen(function* () {
    const signature = yield* Files.signatureOf(file)
    const { text } = yield* Files.readText(signature.target, CONFIG_FILE_BYTES)
    return { signature, text }
  }).pipe(Effect.mapError(unusable(file)))

const indexOf = (file: string, config: AgentFile.AgentConfig, machine: string) => {
  const index = config.machines.findIndex((each) => each.name === machine)
  return index === -1
    ? refused(`${file} has no machine ${quoted(machine)} any more; restart the agent to take in what was edited`)
    : Effect.succeed(index)
}

const decode = (file: string, text: string, env: Readonly<Record<string, string | undefined>>) =>
  Effect.mapError(AgentFile.decode(file, text, env), ({ message }) => refused(message))

/** What is wrong with the changed entry: the key, in a person's words, and not a line of a text that nobody has seen. */
const withoutPlace = (index: number, { problem }: { readonly problem: string }): SettingsRefused =>
  refused(problem.replaceAll(`machines[${index}].`, "").replaceAll(`machines[${index}]`, "the machine"))

/** The entries of a file. */
export const make = (file: string, env: Readonly<Record<string, string | undefined>> = process.env): AgentSettings => ({
  read: (machine) =>
    Effect.gen(function* () {
      const { text } = yield* look(file)
      const { config } = yield* decode(file, text, env)
      const index = yield* indexOf(file, config, machine)
      const entry: unknown = shown(YamlEdit.itemOf(text, "machines", index))
      return isObject(entry)
        ? { hub: config.hub, file, entry }
        : yield* refused(`${file}: ${quoted(machine)} is no map`)
    }),
  edit: (machine, said) =>
    Effect.gen(function* () {
      const patch = yield* normalised(said)
      const { signature, text } = yield* look(file)
      const { config } = yield* decode(file, text, env)
      const index = yield* indexOf(file, config, machine)
      const edited = yield* Effect.mapError(YamlEdit.patchItem(text, "machines", index, patch), refused)
      const next = yield* Effect.mapError(AgentFile.decode(file, edited.text, env), (error) =>
        withoutPlace(index, error)
      )
      const after = next.config.machines[index]
      if (after === undefined) return yield* refused(`${file} cannot be edited from here`)
      const { target } = signature
      /** Others of our programs write the file, too: `telad channel set`, for one. */
      const exclusively = <A>(use: Effect.Effect<A, Files.FileProblem>) =>
        Effect.asVoid(Effect.mapError(withLock(file, use), unusable(file)))
      let written = signature
      const put = (over: Files.Signature, content: string) =>
        Effect.tap(Files.replaceSeen(over, [Buffer.from(content)]), (seen) => Effect.sync(() => (written = seen)))
      return {
        changes: changesOf(edited.before, edited.after),
        warnings: next.warnings.map((warning) => warning.replace(/^.*?: (?=")/, "")),
        machine: after,
        write: exclusively(
          Files.replace(unconfirmedFile(target), unconfirmed(text, edited.text)).pipe(
            Effect.zipRight(put(signature, edited.text)),
            Effect.tapError(() => forget(target))
          )
        ),
        // Otherwise a power cut could bring back what says that the change is to be undone.
        confirm: Effect.mapError(renameSynced(unconfirmedFile(target), previousFile(target)), unusable(file)),
        undo: exclusively(
          Effect.zipRight(
            Effect.suspend(() => put(written, text)),
            forget(target)
          )
        )
      }
    })
})

/**
 * To be called before the file is read at a start: a change that had not proved itself when the agent stopped is undone,
 * unless somebody has written the file since. Succeeds with a line for the log when that was so.
 */
export const recover = (file: string): Effect.Effect<string | undefined, SettingsRefused> =>
  Effect.gen(function* () {
    const target = yield* Effect.promise(() => Fs.realpath(file).catch(() => file))
    const left = yield* Effect.option(Files.readText(unconfirmedFile(target), CONFIG_FILE_BYTES + 100))
    if (left._tag === "None") return undefined
    const { signature, text } = yield* look(file)
    const [head = "", digest] = replaced.exec(left.value.text) ?? []
    const isOurs = digest === digestOf(text)
    if (isOurs) {
      yield* Effect.mapError(
        Files.replaceSeen(signature, [Buffer.from(left.value.text.slice(head.length))]),
        unusable(file)
      )
    }
    yield* forget(target)
    return isOurs
      ? `${file}: a change from afar had not proved itself when the agent stopped, and was undone`
      : undefined
  })
