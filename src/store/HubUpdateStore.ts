/**
 * The key `update:` of telahubd.yaml. The hub, `telahubd user` and this write that file under one lock; what is changed here
 * is outside of `auth:`, so that a hub that runs takes it in as any edit.
 */
import * as Effect from "effect/Effect"
import { HUB_FILE_BYTES } from "../protocol/Limits.ts"
import * as AuthScan from "./AuthScan.ts"
import * as AuthText from "./AuthText.ts"
import { FileShape, notServed } from "./HubSettings.ts"
import * as Exclusive from "./internal/exclusive.ts"
import * as Files from "./internal/files.ts"
import { settingsOf } from "./UpdateSettings.ts"
import { byHand, changed } from "./UpdateStore.ts"
import type { UpdateStore } from "./UpdateStore.ts"
import * as YamlFile from "./YamlFile.ts"

/** The settings of a text, and everything else in it but the entries of `auth:`, which are thousands in some. */
const decode = (file: string) => (text: string) =>
  Effect.gen(function* () {
    const { parts, rest, restLines } = yield* AuthScan.scan(text, AuthText.empty)
    const { value } = yield* YamlFile.decode(file, rest, { schema: FileShape, notServed, lines: restLines })
    const { update, ...others } = value
    const sections = parts.filter(({ _tag }) => _tag === "Section").length
    return { update: settingsOf(update), others: { ...others, sections } }
  })

/** The store in a hub's file, which must be there. */
export const make = (file: string): UpdateStore => {
  const unusable = ({ problem }: Files.FileProblem) => new YamlFile.YamlFileError({ file, problem })
  const text = Effect.mapBoth(Files.readText(file, HUB_FILE_BYTES), {
    onFailure: unusable,
    onSuccess: (read) => read.text
  })
  return {
    file,
    read: Effect.map(Effect.flatMap(text, decode(file)), ({ update }) => update),
    change: (edit) =>
      Effect.gen(function* () {
        const exclusively = yield* Exclusive.make
        const { target } = yield* Effect.mapError(Files.signatureOf(file), unusable)
        return yield* exclusively(
          target,
          Effect.gen(function* () {
            const seen = yield* Files.signatureOf(file)
            const before = yield* text
            const { settings, text: made } = yield* changed(before, edit, decode(file)).pipe(
              Effect.catchIf(
                (problem) => problem === "by hand",
                () => byHand(file)
              )
            )
            if (made !== before) yield* Files.replaceSeen(seen, [Buffer.from(made)])
            return settings
          })
        )
      }).pipe(
        Effect.scoped,
        Effect.catchTag("FileProblem", (problem) => unusable(problem))
      )
  }
}
