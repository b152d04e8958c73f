/** The launcher of an installation: which version it starts, and when it goes back to the one before. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { choose, TRIAL_STARTS } from "../../../bin/select.mjs"
import * as Limits from "../../../src/protocol/Limits.ts"
import * as Pointer from "../../../src/system/release/Pointer.ts"
import * as Program from "../../e2e/harness/Program.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { release, unpack } from "./made.ts"

const decode = Schema.decodeUnknownSync(Schema.parseJson(Pointer.Pointer))

/** A folder with two versions, of which the newer is in force. */
const installation = (trial: Pointer.Pointer["trial"], previous: string | undefined = "v1.0.0") =>
  Effect.map(temporaryFolder, (home) => {
    for (const folder of ["v1.0.0", "v1.1.0-0123abcd"]) {
      const bin = Path.join(home, "versions", folder, "bin")
      Fs.mkdirSync(bin, { recursive: true })
      Fs.writeFileSync(Path.join(bin, "launch.mjs"), "")
    }
    const pointer = { folder: "v1.1.0-0123abcd", ...(previous && { previous }), ...(trial && { trial }) }
    Fs.writeFileSync(Path.join(home, "current.json"), JSON.stringify(pointer))
    return { home, current: () => decode(Fs.readFileSync(Path.join(home, "current.json"), "utf8")) }
  })

const dead = () => false
const alive = () => true

describe("the launcher", () => {
  it("goes by the same number of starts as the programs", () => {
    assert.strictEqual(TRIAL_STARTS, Limits.TRIAL_STARTS)
  })

  it.scoped.each([
    ["one that is not on trial", undefined],
    ["one that was not started yet", { starts: 0 }],
    ["one that may be started once more", { starts: TRIAL_STARTS - 1, pid: 1 }]
  ] as const)("starts the version in force: %s", ([, trial]) =>
    Effect.gen(function* () {
      const { current, home } = yield* installation(trial)
      const before = current()
      assert.strictEqual(choose(home, dead).folder, "v1.1.0-0123abcd")
      assert.deepStrictEqual(current(), before)
    })
  )

  it.scoped("goes back when it was started so often and is no more", () =>
    Effect.gen(function* () {
      const { current, home } = yield* installation({ starts: TRIAL_STARTS, pid: 1 })
      assert.strictEqual(choose(home, dead).folder, "v1.0.0")
      const reason = "it was started 2 times and never became healthy"
      assert.deepStrictEqual(current(), { folder: "v1.0.0", failed: { folder: "v1.1.0-0123abcd", reason } })
      // Which is the end of it.
      assert.strictEqual(choose(home, dead).folder, "v1.0.0")
    })
  )

  it.scoped("does not go back while the one that was started last lives, or when there is nothing to go back to", () =>
    Effect.gen(function* () {
      const running = yield* installation({ starts: TRIAL_STARTS, pid: 1 })
      assert.strictEqual(choose(running.home, alive).folder, "v1.1.0-0123abcd")
      const alone = yield* installation({ starts: TRIAL_STARTS, pid: 1 }, "")
      assert.strictEqual(choose(alone.home, dead).folder, "v1.1.0-0123abcd")
      const gone = yield* installation({ starts: TRIAL_STARTS, pid: 1 }, "v0.1.0")
      assert.strictEqual(choose(gone.home, dead).folder, "v1.1.0-0123abcd")
    })
  )

  it.scoped("takes a process of its own number for one that is no more", () =>
    Effect.gen(function* () {
      const { home } = yield* installation({ starts: TRIAL_STARTS, pid: process.pid })
      assert.strictEqual(choose(home).folder, "v1.0.0")
    })
  )

  it.scopedLive("goes back at once when a version on trial cannot even be loaded", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const first = yield* release(folder, { version: "v1.0.0" })
      const made = yield* release(folder, { version: "v1.1.0" })
      const { home, installation: telad, run } = yield* unpack(folder, first)
      const archive = Fs.readFileSync(Path.join(folder, "files/stable", made.archives[0]?.name ?? ""))
      const { pointer } = yield* telad.install(archive, "v1.1.0")
      // As if the disk, or another Node, had come in between.
      const bundle = Path.join(home, "versions", pointer.folder, "dist/programs/telad.cjs")
      Fs.writeFileSync(bundle, `// 0123456789abcdef\nconst = "damaged"\n`)
      const ran = yield* Program.run({ command: process.execPath, args: [Path.join(home, "bin/telad"), "a"] })
      assert.strictEqual(ran.stdout, "runs v1.0.0 a\n")
      assert.match(ran.stderr, /^v1\.1\.0 was rolled back to v1\.0\.0: it cannot be loaded: .+\n$/)
      assert.strictEqual(run("b"), "runs v1.0.0 b\n")
      const { pointer: after } = yield* telad.installed
      assert.strictEqual(after.failed?.folder, pointer.folder)
      assert.isUndefined(after.trial)
    })
  )
})
