/**
 * A release that its daemon can only read, updated at the terminal by whoever may write it: the real telad. Nobody could end
 * a trial there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { unpack } from "../system/release/made.ts"
import * as Releases from "./harness/Releases.ts"
import * as Typed from "./harness/Typed.ts"

/** Whose the daemon's files are. */
const NOBODY = 65_534

describe.skipIf(process.getuid?.() !== 0)("a release that its daemon can only read", () => {
  it.scopedLive("is updated without a trial, which is said, and the version before is kept", () =>
    Effect.gen(function* () {
      const channel = yield* temporaryFolder
      const base = yield* Releases.serve(channel)
      const { home, installation, versions } = yield* unpack(
        channel,
        yield* Releases.make(channel, { version: "v1.0.0", program: "telad" })
      )
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "telad.yaml")
      const text = `hub: wss://hub.example.com\nupdate: { sources: { stable: "${base}" } }\nmachines: [{ name: barn, ports: [22] }]\n`
      Fs.writeFileSync(file, text, { mode: 0o600 })
      const key = Path.join(folder, "telad.key")
      Fs.writeFileSync(key, "", { mode: 0o600 })
      const typed = yield* Typed.make({})
      const update = (more = "") => typed.run(`${home}/bin/telad update -config ${file} ${more}`)
      const pointer = Effect.map(installation.installed, (found) => found.pointer)

      // Root may.
      yield* Releases.make(channel, { version: "v1.0.1", program: "telad" })
      assert.notInclude(yield* update(), "trial")
      const tried = yield* pointer
      assert.deepStrictEqual(tried.trial, { starts: 0 })

      Fs.chownSync(key, NOBODY, NOBODY)
      assert.match(yield* update("-dry-run"), /Up to date\.\n$/)
      assert.deepStrictEqual(yield* pointer, tried)
      assert.match(yield* update(), /Up to date\.\n$/)
      const settled = yield* pointer
      assert.deepStrictEqual(settled, { folder: tried.folder, previous: "v1.0.0" })

      yield* Releases.make(channel, { version: "v1.0.2", program: "telad" })
      const said = yield* update()
      assert.include(
        said,
        `Without a trial, since user ${NOBODY}, whose is ${key}, cannot write ${home}: look whether it works; ` +
          "to go back, run: telad update -version v1.0.1 -allow-downgrade\n"
      )
      const { folder: next, ...rest } = yield* pointer
      assert.deepStrictEqual(rest, { previous: settled.folder })
      assert.deepStrictEqual(versions(), [settled.folder, next].toSorted())

      const back = yield* update("-version v1.0.1 -allow-downgrade")
      assert.match(back, /Installed v1\.0\.1; v1\.0\.2 is kept\./)
      assert.strictEqual((yield* pointer).previous, next)
    })
  )
})
