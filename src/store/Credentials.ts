/**
 * credentials.yaml: what this user, or this computer, has at each hub: a token, whose it is, and the pin of the hub's TLS
 * key (spec: cli 4.1). Written whole and for its owner only; a file that others can read is refused. People may edit it,
 * and other programs keep their own keys in it: all that is not ours stays.
 *
 * ```yaml
 * hubs:
 *   wss://hub.example.com:
 *     token: ...
 *     identity: alice
 *     pin: sha256:...
 *     agent:
 *       token: ...
 *       identity: barn
 * ```
 *
 * Under `agent:` stands what an agent has that a person keeps among their own, beside what they have themselves.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Yaml from "yaml"
import * as Token from "../crypto/Token.ts"
import { canonical } from "../protocol/HubUrl.ts"
import { CONFIG_FILE_BYTES } from "../protocol/Limits.ts"
import * as Files from "./internal/files.ts"
import { withLock } from "./internal/lock.ts"
import * as YamlFile from "./YamlFile.ts"

/** What is stored of one hub, under its canonical address. */
export interface Stored {
  readonly hub: string
  readonly token: Redacted.Redacted | undefined
  readonly identity: string | undefined
  /** `sha256:` and 64 lower-case hex digits. */
  readonly pin: string | undefined
}

/** What is to be stored of a hub; what is left out stays as it was. */
export interface Entry {
  readonly token?: Redacted.Redacted
  readonly identity?: string
  /** `null` takes the pin away. */
  readonly pin?: string | null
}

/** A store that cannot be used: exposed, malformed, or not to be written. The message says what to do. */
export type CredentialsError = YamlFile.YamlFileError

/** One file. Every method reads it anew, so that several programs may use it at once. */
export interface Credentials {
  /** Where it is, for messages. */
  readonly file: string
  readonly find: (hub: string) => Effect.Effect<Stored | undefined, CredentialsError>
  readonly list: Effect.Effect<ReadonlyArray<Stored>, CredentialsError>
  readonly put: (hub: string, entry: Entry) => Effect.Effect<void, CredentialsError>
  /** Removes all that is stored of a hub, but what is another's; succeeds with whether there was anything. */
  readonly remove: (hub: string) => Effect.Effect<boolean, CredentialsError>
  /** Succeeds when an entry could be put now; nothing changes. For before a secret is made that can be had only once. */
  readonly writable: Effect.Effect<void, CredentialsError>
}

/** Keys of others, which are kept. */
const others = { key: Schema.String, value: Schema.Unknown }

const Pin = Schema.String.pipe(Schema.pattern(/^sha256:[0-9a-f]{64}$/i))

const held = {
  token: YamlFile.optional(Schema.String.pipe(Schema.pattern(Token.format))),
  identity: YamlFile.optional(Schema.String)
}

const AGENT = "agent"

/** Whose credentials of a file: those of whoever has it, or those of the agent that they keep among their own. */
type Whose = "own" | typeof AGENT

const File = Schema.Struct(
  {
    hubs: YamlFile.optionalOr(
      Schema.Record({
        key: Schema.String,
        value: Schema.NullOr(
          Schema.Struct(
            { ...held, pin: YamlFile.optional(Pin), [AGENT]: YamlFile.optional(Schema.Struct(held, others)) },
            others
          )
        )
      }),
      {}
    )
  },
  others
)

/** The beginning of a file that has to be made. */
export const heading = `# Tokens and TLS pins of hubs, for tela and telad. Keep it to yourself.
# See: tela login, tela logout, tela pin
`

const malformed =
  'not as it should be: under "hubs" stand addresses, and under each its token, identity and pin (sha256: and 64 hex digits)'

const storedIn = (file: typeof File.Type, whose: Whose): ReadonlyArray<Stored> =>
  Object.entries(file.hubs).map(([hub, entry]) => {
    const of = whose === AGENT ? entry?.[AGENT] : entry
    return {
      hub: canonical(hub),
      token: of?.token ? Redacted.make(of.token) : undefined,
      identity: of?.identity || undefined,
      pin: entry?.pin?.toLowerCase()
    }
  })

/** Takes away what is whose of the entries of a hub; succeeds with whether there was anything. */
const removeFrom = (document: Yaml.Document, keys: ReadonlyArray<string>, whose: Whose): boolean => {
  let had = false
  for (const path of keys.map((key) => ["hubs", key])) {
    const entry = document.getIn(path)
    if (whose === "own" && !(Yaml.isMap(entry) && entry.has(AGENT))) had = document.deleteIn(path) || had
    else if (Yaml.isMap(entry)) {
      const gone = entry.items.map(({ key }) => String(key)).filter((key) => (key === AGENT) === (whose === AGENT))
      for (const key of gone) had = entry.delete(key) || had
      if (entry.items.length === 0) document.deleteIn(path)
    }
  }
  return had
}

/** The keys under which the file has this hub, in whatever spelling. */
const keysOf = (document: Yaml.Document, hub: string): ReadonlyArray<string> => {
  const hubs = document.get("hubs")
  const keys = Yaml.isMap(hubs) ? hubs.items.map((item) => String(item.key)) : []
  return keys.filter((key) => canonical(key) === canonical(hub))
}

/** How to look at a file. */
export interface Options {
  /** It belongs to the computer: a user who may not read it knows nothing. `false` unless given. */
  readonly shared?: boolean
  /** `own` unless given. A hub has one pin, whoever asks. */
  readonly whose?: Whose
}

/** The credentials in a file, which is made when the first are stored. */
export const make = (file: string, { shared = false, whose = "own" }: Options = {}): Credentials => {
  const unusable = ({ problem }: Files.FileProblem) => new YamlFile.YamlFileError({ file, problem })

  /** What is wrong is shown by its place alone: any value could be a token, or a part of one. */
  const decode = (text: string) =>
    Either.mapBoth(YamlFile.decode(file, text, { schema: File }), {
      onLeft: (error) => new YamlFile.YamlFileError({ ...error, problem: malformed }),
      onRight: ({ value }) => storedIn(value, whose)
    })

  /** The text, of which it is sure that nobody else can read it; undefined when there is none. */
  const read = Files.readText(file, CONFIG_FILE_BYTES).pipe(
    Effect.catchAll((problem) =>
      problem.code === "ENOENT" || (problem.code === "EACCES" && shared) ? Effect.succeed(undefined) : unusable(problem)
    ),
    Effect.flatMap((found) =>
      found?.exposed === true
        ? new YamlFile.YamlFileError({
            file,
            problem: `other users can read this file, and it holds tokens; run: chmod 600 ${file}`
          })
        : Effect.succeed(found?.text)
    )
  )

  const list = Effect.flatMap(read, (text) =>
    text === undefined ? Effect.succeed<ReadonlyArray<Stored>>([]) : decode(text)
  )

  /** Runs `use` while no other program writes the file. */
  const locked = (use: Effect.Effect<void, CredentialsError | Files.FileProblem>) =>
    Effect.catchTag(
      withLock(file, use),
      "FileProblem",
      ({ problem }) => new YamlFile.YamlFileError({ file, problem: `cannot be written: ${problem}` })
    )

  /** Reads, lets `change` edit the document, and writes it back whole. */
  const update = (change: (document: Yaml.Document) => void) =>
    locked(
      Effect.gen(function* () {
        const text = (yield* read) ?? heading
        yield* decode(text)
        const document: Yaml.Document = Yaml.parseDocument(text)
        change(document)
        const changed = document.toString({ lineWidth: 0 })
        if (changed !== text) yield* Files.replace(file, changed)
      })
    )

  const find = (hub: string) => Effect.map(list, (all) => all.find((stored) => stored.hub === canonical(hub)))

  return {
    file,
    list,
    find,
    put: (hub, { identity, pin, token }) =>
      update((document) => {
        const keys = keysOf(document, hub)
        const path = ["hubs", keys[0] ?? canonical(hub)]
        // An empty key holds null, inside which nothing can be set.
        if (!Yaml.isMap(document.getIn(["hubs"]))) document.setIn(["hubs"], document.createNode({}))
        if (!Yaml.isMap(document.getIn(path))) document.setIn(path, document.createNode({}))
        const of = whose === AGENT ? [...path, AGENT] : path
        const isSaid = token !== undefined || identity !== undefined
        if (isSaid && !Yaml.isMap(document.getIn(of))) document.setIn(of, document.createNode({}))
        if (token !== undefined) document.setIn([...of, "token"], Redacted.value(token))
        if (identity !== undefined) document.setIn([...of, "identity"], identity)
        if (pin === null) {
          for (const entry of keys.map((key) => document.getIn(["hubs", key]))) {
            if (Yaml.isMap(entry)) entry.delete("pin")
          }
        } else if (pin !== undefined) document.setIn([...path, "pin"], pin)
      }),
    remove: (hub) =>
      Effect.gen(function* () {
        if ((yield* find(hub)) === undefined) return false
        let had = false
        yield* update((document) => {
          had = removeFrom(document, keysOf(document, hub), whose)
        })
        return had
      }),
    writable: locked(Effect.asVoid(list))
  }
}
