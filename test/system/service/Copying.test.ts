/** How the copy is made: killed at any step, with packages and links, and with the rights of the folder's owner. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Copy from "../../../src/system/release/Copy.ts"
import * as Installation from "../../../src/system/release/Installation.ts"
import type { ProgramName } from "../../../src/system/release/ReleaseFile.ts"
import { machine } from "../../../src/system/release/Update.ts"
import * as Program from "../../e2e/harness/Program.ts"
import { bundled } from "../../support/bundled.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { release, unpack } from "../release/made.ts"
import { everything } from "./installing.ts"

/** What a step of making a copy leaves working, if a copy was there before. */
const steps = ["locked", "unpacking", "unpacked", "placed", "pointing", "switched", "cleaned"] as const

const unpacked = (version: string, program: ProgramName = "telad") =>
  Effect.gen(function* () {
    const channel = yield* temporaryFolder
    const made = yield* release(channel, { version, programs: [program] })
    const { home } = yield* unpack(channel, made, program)
    return home
  })

/** Makes the copy in a folder, as far as there is anything to do. */
const copyTo = (home: string, folder: string, program: ProgramName = "telad") =>
  Effect.gen(function* () {
    const copy = Path.join(folder, "program")
    const copying = yield* Copy.look(home, copy, { program, ...machine })
    if (copying.read !== undefined) yield* Effect.flatMap(copying.read, (write) => write(copy))
    return copying
  })

const run = (folder: string, program = "telad") =>
  execFileSync(process.execPath, [Path.join(folder, "program/bin", program)], { encoding: "utf8" })

describe("making a copy", () => {
  it.scopedLive(
    "can be killed at any step: the version that was there works, or the new one, and the next time ends it",
    () =>
      Effect.gen(function* () {
        const script = yield* bundled("test/system/service/copying.ts")
        const [first, second] = [yield* unpacked("v1.0.0"), yield* unpacked("v1.1.0")]
        for (const step of steps) {
          const folder = yield* temporaryFolder
          const killed = (home: string) =>
            Effect.gen(function* () {
              const program = yield* Program.start({
                command: process.execPath,
                args: [script, home, folder, "telad", step]
              })
              yield* program.expect(new RegExp(`^at ${step}\\n`))
              yield* program.end("SIGKILL")
            })
          const isIn = step === "switched" || step === "cleaned"
          yield* killed(first)
          assert.strictEqual((yield* copyTo(first, folder)).state, isIn ? "same" : "missing", step)
          assert.strictEqual(run(folder), "runs v1.0.0 \n", step)
          yield* killed(second)
          assert.strictEqual(run(folder), `runs ${isIn ? "v1.1.0" : "v1.0.0"} \n`, step)
          assert.strictEqual((yield* copyTo(second, folder)).state, isIn ? "same" : "older", step)
          assert.strictEqual(run(folder), "runs v1.1.0 \n", step)
          const { pointer } = yield* Installation.make(Path.join(folder, "program"), { program: "telad", ...machine })
            .installed
          const names = Fs.readdirSync(Path.join(folder, "program/versions")).toSorted()
          assert.deepStrictEqual(names, [pointer.previous ?? "", pointer.folder], step)
          if (isIn) continue
          const around = Fs.readdirSync(Path.join(folder, "program")).toSorted()
          assert.deepStrictEqual(around, ["bin", "current.json", "package.json", "versions"], step)
        }
      }),
    60_000
  )

  it.scoped("carries the packages of a hub along, and replaces them at once when they have changed", () =>
    Effect.gen(function* () {
      const home = yield* unpacked("v1.0.0", "telahubd")
      const folder = yield* temporaryFolder
      const missing = yield* Effect.flip(copyTo(home, folder, "telahubd"))
      assert.strictEqual(
        missing.message,
        `better-sqlite3 is missing beside the program; run: npm install --prefix ${home}`
      )

      // What npm makes, and what people make of it: links to a neighbour, to a folder elsewhere, round in a circle, to nothing.
      const outside = yield* temporaryFolder
      Fs.mkdirSync(Path.join(outside, "linked/lib"), { recursive: true })
      Fs.writeFileSync(Path.join(outside, "linked/lib/index.js"), "module.exports = 'linked'\n")
      Fs.symlinkSync("..", Path.join(outside, "linked/lib/round"))
      const packages = Path.join(home, "node_modules")
      Fs.mkdirSync(Path.join(packages, ".bin"), { recursive: true })
      Fs.mkdirSync(Path.join(packages, "better-sqlite3/build/Release"), { recursive: true })
      const addon = Path.join(packages, "better-sqlite3/build/Release/better_sqlite3.node")
      Fs.writeFileSync(addon, "compiled for this Node")
      Fs.writeFileSync(Path.join(packages, "better-sqlite3/cli.js"), "#!/usr/bin/env node\n", { mode: 0o755 })
      Fs.symlinkSync("../better-sqlite3/cli.js", Path.join(packages, ".bin/cli"))
      Fs.symlinkSync(Path.join(packages, "better-sqlite3"), Path.join(packages, "absolute"))
      Fs.symlinkSync(Path.join(outside, "linked"), Path.join(packages, "linked"))
      Fs.symlinkSync("/no/such/folder", Path.join(packages, "dangling"))
      execFileSync("mkfifo", [Path.join(packages, "pipe")])

      assert.strictEqual((yield* copyTo(home, folder, "telahubd")).packages, "other")
      const copy = Path.join(folder, "program/node_modules")
      assert.match(Fs.readlinkSync(copy), /^packages-[0-9a-f]{32}$/)
      assert.deepStrictEqual(Fs.readdirSync(copy).toSorted(), [".bin", "absolute", "better-sqlite3", "linked"])
      assert.strictEqual(Fs.readlinkSync(Path.join(copy, ".bin/cli")), "../better-sqlite3/cli.js")
      assert.strictEqual(Fs.readlinkSync(Path.join(copy, "absolute")), "better-sqlite3")
      assert.strictEqual(Fs.statSync(Path.join(copy, ".bin/cli")).mode & 0o777, 0o755)
      assert.isFalse(Fs.lstatSync(Path.join(copy, "linked")).isSymbolicLink())
      assert.deepStrictEqual(Fs.readdirSync(Path.join(copy, "linked/lib")), ["index.js"])

      const before = everything(folder)
      assert.deepStrictEqual(((again) => [again.state, again.packages])(yield* copyTo(home, folder, "telahubd")), [
        "same",
        "same"
      ])
      assert.deepStrictEqual(everything(folder), before)

      // Another Node, for which the addon was built anew.
      Fs.writeFileSync(addon, "compiled for the next Node")
      const rebuilt = yield* copyTo(home, folder, "telahubd")
      assert.deepStrictEqual([rebuilt.state, rebuilt.packages], ["same", "other"])
      const inCopy = Path.join(copy, "better-sqlite3/build/Release/better_sqlite3.node")
      assert.strictEqual(Fs.readFileSync(inCopy, "utf8"), "compiled for the next Node")
      const around = Fs.readdirSync(Path.join(folder, "program"))
      assert.lengthOf(
        around.filter((name) => name.startsWith("packages-") || name.startsWith(".")),
        1
      )

      // Somebody ran npm in the copy.
      Fs.rmSync(copy)
      Fs.mkdirSync(copy)
      Fs.writeFileSync(Path.join(copy, "x"), "")
      assert.strictEqual((yield* copyTo(home, folder, "telahubd")).packages, "other")
      assert.isTrue(Fs.lstatSync(copy).isSymbolicLink())
      assert.strictEqual(Fs.readFileSync(inCopy, "utf8"), "compiled for the next Node")
    })
  )

  it.scopedLive.skipIf(process.getuid?.() !== 0)(
    "is done with the rights of the folder's owner, whom root then follows nowhere",
    () =>
      Effect.gen(function* () {
        const script = yield* bundled("test/system/service/copying.ts")
        const [first, second] = [yield* unpacked("v1.0.0"), yield* unpacked("v1.1.0")]
        const owner = { uid: 64_321, gid: 64_322 }
        // As /var/lib/private, which only root may enter.
        const above = yield* temporaryFolder
        const folder = Path.join(above, "telad")
        Fs.mkdirSync(folder, { mode: 0o700 })
        Fs.chownSync(folder, owner.uid, owner.gid)
        const install = (home: string) =>
          Effect.map(
            Program.run({ command: process.execPath, args: [script, home, folder, "telad", ""], cwd: "/" }),
            ({ stdout }) => stdout
          )
        assert.strictEqual(yield* install(first), "done as 0 in /\n")
        for (const name of Fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
          const { gid, uid } = Fs.lstatSync(Path.join(folder, name))
          assert.deepStrictEqual({ uid, gid }, owner, name)
        }
        // A service that was taken over lays a link where root is about to write, and to remove what is needless.
        const victim = yield* temporaryFolder
        Fs.writeFileSync(Path.join(victim, "precious"), "")
        const versions = Path.join(folder, "program/versions")
        Fs.renameSync(versions, `${versions}.away`)
        Fs.cpSync(`${versions}.away`, victim, { recursive: true })
        Fs.symlinkSync(victim, versions)
        const before = everything(victim)
        assert.match(yield* install(second), /^failed: .*permission denied/)
        assert.deepStrictEqual(everything(victim), before)
      })
  )
})
