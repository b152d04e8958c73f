import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ProgramFiles from "../../../src/system/service/ProgramFiles.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"

/** A program in a folder, as a package is laid out, and links to it as package managers make them. */
const laidOut = Effect.map(temporaryFolder, (folder) => {
  const root = Path.join(folder, "lib/node_modules/tela")
  for (const name of ["bin", "dist/programs"]) Fs.mkdirSync(Path.join(root, name), { recursive: true, mode: 0o755 })
  const script = Path.join(root, "bin/telad")
  const bundle = Path.join(root, "dist/programs/telad.cjs")
  const node = Path.join(folder, "node")
  for (const file of [script, bundle, node]) Fs.writeFileSync(file, "", { mode: 0o644 })
  Fs.mkdirSync(Path.join(folder, "bin"), { mode: 0o755 })
  const link = Path.join(folder, "bin/telad")
  Fs.symlinkSync(script, link)
  const real = Fs.realpathSync(folder)
  const inReal = (path: string) => Path.join(real, Path.relative(folder, path))
  return { folder, real, script, bundle, node, link, inReal }
})

describe("The files of a program", () => {
  it.scoped("in a folder for temporary files are shown as they are, and nothing beside them", () =>
    Effect.gen(function* () {
      const { inReal, link, node, real, script, bundle } = yield* laidOut
      const files = yield* ProgramFiles.find({ node, nodeArgs: ["--enable-source-maps"], script: link })
      assert.deepStrictEqual(files, {
        command: [inReal(node), "--enable-source-maps", inReal(script)],
        readsFrom: [inReal(node), Path.join(real, "lib/node_modules")],
        files: [inReal(node), inReal(script), inReal(bundle)]
      })
    })
  )

  it.scoped("elsewhere are started through the link that leads to them", () =>
    Effect.gen(function* () {
      const files = yield* ProgramFiles.find({ node: "/opt/node", nodeArgs: [], script: "/opt/tela/bin/telad" })
      assert.deepStrictEqual(files, {
        command: ["/opt/node", "/opt/tela/bin/telad"],
        readsFrom: ["/opt/node", "/opt/tela"],
        files: ["/opt/node", "/opt/tela/bin/telad", "/opt/tela/dist/programs/telad.cjs"]
      })
    })
  )

  it.scoped("must be readable by others, but for the folders above those that are shown", () =>
    Effect.gen(function* () {
      const { bundle, folder, inReal, link, node } = yield* laidOut
      Fs.chmodSync(folder, 0o700)
      const files = yield* ProgramFiles.find({ node, nodeArgs: [], script: link })
      yield* ProgramFiles.readableByOthers(files)
      Fs.chmodSync(bundle, 0o640)
      const unreadable = yield* Effect.flip(ProgramFiles.readableByOthers(files))
      assert.include(unreadable.message, `${inReal(bundle)} keeps out the service's own user`)
      Fs.chmodSync(bundle, 0o644)
      Fs.chmodSync(Path.dirname(bundle), 0o750)
      const closed = yield* Effect.flip(ProgramFiles.readableByOthers(files))
      assert.include(closed.message, `run: chmod -R o+rX ${inReal(Path.dirname(bundle))}`)
      // Where nothing is hidden, the folders above count too.
      assert.strictEqual(yield* ProgramFiles.barrier(node), inReal(folder))
      assert.strictEqual(yield* ProgramFiles.barrier(Path.join(folder, "none")), inReal(folder))
    })
  )
})
