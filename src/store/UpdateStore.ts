/**
 * Where a program keeps which release channel it follows: the key `update:` of its file. A change is on disk when it is
 * acknowledged, and leaves everything else in the file as it is.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Yaml from "yaml"
import { CONFIG_FILE_BYTES } from "../protocol/Limits.ts"
import * as Files from "./internal/files.ts"
import { withLock } from "./internal/lock.ts"
import * as TopLevel from "./internal/topLevel.ts"
import { edited, none, settingsOf, UpdateShape } from "./UpdateSettings.ts"
import type { UpdateEdit, UpdateSettings } from "./UpdateSettings.ts"
import * as YamlFile from "./YamlFile.ts"

/** A file, for its key `update:`. */
export interface UpdateStore {
  /** Where it is, for messages. */
  readonly file: string
  readonly read: Effect.Effect<UpdateSettings, YamlFile.YamlFileError>
  /** Makes a change of what stands there at that moment, and succeeds with the settings after it. */
  readonly change: (edit: UpdateEdit) => Effect.Effect<UpdateSettings, YamlFile.YamlFileError>
}

/** What the rest of the file is, others have to know. */
const File = Schema.Struct({ update: YamlFile.optional(UpdateShape) }, { key: Schema.String, value: Schema.Unknown })

/** Makes the change in the text of a file. */
const apply = (text: string, { channel, source }: UpdateEdit): string =>
  TopLevel.edit(text, "update", (document: Yaml.Document) => {
    if (channel !== undefined) document.setIn(["update", "channel"], channel)
    if (source === undefined) return
    if (source.base === null) document.deleteIn(["update", "sources", source.name])
    else document.setIn(["update", "sources", source.name], source.base)
  })

const asText = (value: unknown): string => JSON.stringify(value)

/**
 * The text with a change made, and the settings after it; `decode` reads a text. The other side is why it cannot be made
 * in that text, which is then to be edited by hand.
 */
export const changed = <E>(
  text: string,
  edit: UpdateEdit,
  decode: (text: string) => Effect.Effect<{ readonly update: UpdateSettings; readonly others: unknown }, E>
): Effect.Effect<{ readonly text: string; readonly settings: UpdateSettings }, E | "by hand"> =>
  Effect.gen(function* () {
    const before = yield* decode(text)
    const settings = edited(before.update, edit)
    if (asText(settings) === asText(before.update)) return { text, settings }
    const made = yield* Effect.try({ try: () => apply(text, edit), catch: () => "by hand" as const })
    const after = yield* Effect.mapError(decode(made), () => "by hand" as const)
    const sorted = (record: UpdateSettings) => ({ ...record, sources: Object.entries(record.sources).toSorted() })
    const isSame =
      asText(sorted(after.update)) === asText(sorted(settings)) && asText(after.others) === asText(before.others)
    return isSame ? { text: made, settings } : yield* Effect.fail("by hand" as const)
  })

/** A text in which a change cannot be made. */
export const byHand = (file: string): YamlFile.YamlFileError =>
  new YamlFile.YamlFileError({
    file,
    problem: "it is written in a way that cannot be edited; change update: in it by hand"
  })

const decode = (file: string) => (text: string) =>
  Either.map(YamlFile.decode(file, text, { schema: File }), ({ value: { update, ...others } }) => ({
    update: settingsOf(update),
    others
  }))

/**
 * The store in a file of which `heading` is the beginning, should it have to be made; without it the file must be there.
 * For telad.yaml and credentials.yaml, which are written whole.
 */
export const make = (file: string, heading?: string): UpdateStore => {
  const unusable = ({ problem }: Files.FileProblem) => new YamlFile.YamlFileError({ file, problem })

  const text = Files.readText(file, CONFIG_FILE_BYTES).pipe(
    Effect.map((read) => read.text),
    Effect.catchIf(
      ({ code }) => code === "ENOENT" && heading !== undefined,
      () => Effect.succeed(undefined)
    ),
    Effect.mapError(unusable)
  )

  const write = (edit: UpdateEdit) =>
    Effect.gen(function* () {
      // Before it is read, so that nothing that comes meanwhile is written over.
      const seen = yield* Effect.option(Files.signatureOf(file))
      const before = yield* text
      const { settings, text: made } = yield* changed(before ?? heading ?? "", edit, decode(file)).pipe(
        Effect.catchIf(
          (problem) => problem === "by hand",
          () => byHand(file)
        )
      )
      if (Option.isNone(seen)) yield* Effect.mapError(Files.createOnce(file, made), unusable)
      else if (made !== before) yield* Effect.mapError(Files.replaceSeen(seen.value, [Buffer.from(made)]), unusable)
      return settings
    })

  return {
    file,
    read: Effect.flatMap(text, (found) =>
      found === undefined ? Effect.succeed(none) : Effect.map(decode(file)(found), ({ update }) => update)
    ),
    change: (edit) =>
      Effect.catchTag(
        withLock(file, write(edit)),
        "FileProblem",
        ({ problem }) => new YamlFile.YamlFileError({ file, problem: `cannot be written: ${problem}` })
      )
  }
}
