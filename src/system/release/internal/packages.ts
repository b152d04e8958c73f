/** The packages beside the versions of an installation, and of its copy: what could not be bundled. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { InstallError } from "../InstallError.ts"
import * as Disk from "./disk.ts"
import * as Layout from "./layout.ts"
import * as Leftovers from "./leftovers.ts"
import * as Tree from "./tree.ts"

const FOLDER = "node_modules"

const exists = (path: string) =>
  Effect.promise(() =>
    Fs.access(path).then(
      () => true,
      () => false
    )
  )

/** What the copy has, compared with the original; `name` is what its folder is to be called. */
export type Packages =
  | { readonly state: "none" | "same" }
  | { readonly state: "other"; readonly name: string; readonly pieces: ReadonlyArray<Tree.Piece> }

const Needing = Schema.parseJson(Schema.Struct({ dependencies: Schema.optional(Layout.Dependencies) }))

/** Fails when a package is missing that the program is started with. */
const check = (home: string) =>
  Effect.gen(function* () {
    const file = Path.join(home, "package.json")
    const text = yield* Disk.attempt(file, () => Fs.readFile(file, "utf8"))
    const { dependencies = {} } = yield* Effect.mapError(
      Schema.decodeUnknown(Needing)(text),
      () => new InstallError({ kind: "damaged", message: `${file} is damaged; install the program anew` })
    )
    for (const name of Object.keys(dependencies)) {
      if (yield* exists(Path.join(home, FOLDER, name))) continue
      const message = `${name} is missing beside the program; run: npm install --prefix ${home}`
      return yield* new InstallError({ kind: "damaged", message })
    }
    return yield* exists(Path.join(home, FOLDER))
  })

/** Looks at the packages of an installation and at those of its copy. */
export const look = (home: string, copy: string): Effect.Effect<Packages, InstallError> =>
  Effect.gen(function* () {
    if (!(yield* check(home))) return { state: "none" }
    const pieces = yield* Tree.read(Path.join(home, FOLDER))
    const name = `packages-${Tree.digestOf(pieces)}`
    const there = yield* Effect.promise(() => Fs.readlink(Path.join(copy, FOLDER)).catch(() => ""))
    const isSame = Path.basename(there) === name && (yield* exists(Path.join(copy, FOLDER)))
    return isSame ? { state: "same" } : { state: "other", name, pieces }
  })

/** Gives them to the copy; a program that has loaded those before goes on with them. */
export const put = (
  copy: string,
  { name, pieces }: Extract<Packages, { readonly state: "other" }>
): Effect.Effect<void, InstallError> =>
  Effect.gen(function* () {
    const folder = Path.join(copy, name)
    if (!(yield* exists(folder))) {
      const incoming = Path.join(copy, Leftovers.incomingName())
      yield* Tree.write(incoming, pieces).pipe(
        Effect.zipRight(Disk.attempt(folder, () => Fs.rename(incoming, folder))),
        Effect.onError(() => Leftovers.remove(incoming))
      )
    }
    const link = Path.join(copy, FOLDER)
    const fresh = Path.join(copy, Leftovers.incomingName())
    yield* Disk.attempt(link, async () => {
      // Windows takes a junction only by its whole path.
      await Fs.symlink(process.platform === "win32" ? Path.resolve(folder) : name, fresh, "junction")
      await Fs.rename(fresh, link).catch(async () => {
        // A folder that somebody made there, or any on Windows, no rename replaces.
        await Fs.rename(link, Path.join(copy, Leftovers.incomingName()))
        await Fs.rename(fresh, link)
      })
      await Disk.syncFolder(copy)
    })
    yield* Leftovers.tidy(copy, (each) => each.startsWith("packages-") && each !== name)
  })
