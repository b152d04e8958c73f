/** What a crash, or a version that is needed no more, leaves behind in an installation. */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Pointer from "../Pointer.ts"

/** A name for what is not whole yet, which nobody takes for anything else. */
export const incomingName = (): string => `.incoming-${Crypto.randomBytes(4).toString("hex")}`

const isLeft = (name: string): boolean => /^\.(incoming|trash)-/.test(name)

export const remove = (path: string): Effect.Effect<void> =>
  Effect.promise(() => Fs.rm(path, { recursive: true, force: true }).catch(() => {}))

/** The names in a folder; none when it cannot be read. */
const namesIn = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() => Fs.readdir(folder).catch((): Array<string> => []))

/** Removes something of a folder: under another name first, so that half of it is never taken for the whole. */
export const discard = (folder: string, name: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const trash = isLeft(name) ? name : `.trash-${Crypto.randomBytes(4).toString("hex")}`
    const renamed = yield* Effect.promise(() =>
      Fs.rename(Path.join(folder, name), Path.join(folder, trash)).then(
        () => true,
        () => false
      )
    )
    if (renamed) yield* remove(Path.join(folder, trash))
  })

/** Removes of a folder what was not made whole, and what else is not needed. */
export const tidy = (folder: string, isNeedless: (name: string) => boolean = () => false): Effect.Effect<void> =>
  Effect.flatMap(namesIn(folder), (names) =>
    Effect.forEach(
      names.filter((name) => isLeft(name) || isNeedless(name)),
      (name) => discard(folder, name),
      { discard: true }
    )
  )

/** Removes what the pointer does not name; everything, where none can be read. */
export const clean = (home: string, pointer: Pointer.Pointer | undefined): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* tidy(Path.join(home, "versions"), (name) => name !== pointer?.folder && name !== pointer?.previous)
    for (const name of yield* namesIn(home)) {
      if (name.startsWith(`${Pointer.FILE_NAME}.`) || name.startsWith("update.lock."))
        yield* remove(Path.join(home, name))
    }
  })
