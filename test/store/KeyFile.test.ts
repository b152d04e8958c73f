import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as KeyFile from "../../src/store/KeyFile.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const keyFile = Effect.map(temporaryFolder, (folder) => Path.join(folder, "deep", "identity.key"))

describe("KeyFile", () => {
  it.scoped("makes a key once, for its owner only, and keeps it", () =>
    Effect.gen(function* () {
      const file = yield* keyFile
      const first = yield* KeyFile.loadOrCreate(file)
      const { mode } = yield* Effect.promise(() => Fs.stat(file))
      assert.strictEqual(mode & 0o777, 0o600)
      assert.strictEqual((yield* KeyFile.loadOrCreate(file)).publicHex, first.publicHex)
      assert.strictEqual((yield* KeyFile.load(file)).publicHex, first.publicHex)
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(Path.dirname(file))), ["identity.key"])
    })
  )

  it.scoped("ends with one key however many start at once", () =>
    Effect.gen(function* () {
      const file = yield* keyFile
      const keys = yield* Effect.all(
        Array.from({ length: 8 }, () => KeyFile.loadOrCreate(file)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(keys.map((key) => key.publicHex)).size, 1)
    })
  )

  it.scoped("refuses a key that others can read, and says how to mend it", () =>
    Effect.gen(function* () {
      const file = yield* keyFile
      yield* KeyFile.loadOrCreate(file)
      for (const mode of [0o640, 0o604, 0o660]) {
        yield* Effect.promise(() => Fs.chmod(file, mode))
        const error = yield* Effect.flip(KeyFile.loadOrCreate(file))
        assert.strictEqual(error.message, `${file}: other users can read this secret key; run: chmod 600 ${file}`)
      }
    })
  )

  it.scoped("refuses what is no key, and leaves it alone", () =>
    Effect.gen(function* () {
      const file = yield* keyFile
      yield* KeyFile.loadOrCreate(file)
      for (const text of ["", "hello\n", `${"A".repeat(43)}!\n`, "x".repeat(5000)]) {
        yield* Effect.promise(() => Fs.writeFile(file, text))
        yield* Effect.flip(KeyFile.loadOrCreate(file))
        assert.strictEqual(yield* Effect.promise(() => Fs.readFile(file, "utf8")), text)
      }
    })
  )

  it.scoped("does not make one when asked only to load", () =>
    Effect.gen(function* () {
      const file = yield* keyFile
      const error = yield* Effect.flip(KeyFile.load(file))
      assert.strictEqual(error.message, `${file}: no such file`)
    })
  )
})
