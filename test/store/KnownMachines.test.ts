import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fingerprint } from "../../src/crypto/KeyPair.ts"
import * as KnownMachines from "../../src/store/KnownMachines.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const hub = "wss://hub.example.com"
const print = (n: number) => fingerprint(Uint8Array.of(n))
const fresh = Effect.map(temporaryFolder, (folder) =>
  KnownMachines.make(Path.join(folder, "state", "known_machines.yaml"))
)
const text = (known: KnownMachines.KnownMachines) => Effect.promise(() => Fs.readFile(known.file, "utf8"))

describe("KnownMachines", () => {
  it.scoped("pins at first use only, by hub and machine", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(1)), { _tag: "New" })
      assert.deepStrictEqual(yield* known.list, [])
      assert.deepStrictEqual(yield* known.pin(hub, "barn", print(1)), { _tag: "New" })
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(1)), { _tag: "Same" })
      const changed = { _tag: "Changed", pinned: print(1) } as const
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(2)), changed)
      assert.deepStrictEqual(yield* known.pin(hub, "barn", print(2)), changed)
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(1)), { _tag: "Same" })
      assert.deepStrictEqual(yield* known.check(hub, "shed", print(2)), { _tag: "New" })
      assert.deepStrictEqual(yield* known.check("wss://other.example.com", "barn", print(2)), { _tag: "New" })
      assert.strictEqual((yield* Effect.promise(() => Fs.stat(known.file))).mode & 0o777, 0o600)
    })
  )

  it.scoped("knows a hub by any spelling", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      yield* known.pin("WSS://Hub.Example.com:443/", "barn", print(1))
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(1)), { _tag: "Same" })
      assert.deepStrictEqual(yield* known.list, [{ hub, machine: "barn", fingerprint: print(1) }])
    })
  )

  it.scoped("accepts and forgets", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      assert.isUndefined(yield* known.accept(hub, "barn", print(1)))
      assert.strictEqual(yield* known.accept(hub, "barn", print(2)), print(1))
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(2)), { _tag: "Same" })
      assert.strictEqual(yield* known.forget(hub, "barn"), print(2))
      assert.isUndefined(yield* known.forget(hub, "barn"))
      assert.deepStrictEqual(yield* known.check(hub, "barn", print(3)), { _tag: "New" })
    })
  )

  it.scoped("keeps a person's comments, and writes nothing when nothing changes", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      yield* Effect.promise(() => Fs.mkdir(Path.dirname(known.file), { recursive: true }))
      const mine = `# mine\nhubs:\n  ${hub}/:\n    # the old one\n    barn: ${print(1)} # ask Kim\n`
      yield* Effect.promise(() => Fs.writeFile(known.file, mine))
      assert.deepStrictEqual(yield* known.pin(hub, "barn", print(1)), { _tag: "Same" })
      assert.strictEqual(yield* text(known), mine)
      yield* known.pin(hub, "shed", print(2))
      assert.strictEqual(yield* text(known), `${mine}    shed: ${print(2)}\n`)
    })
  )

  it.scoped("works with empty keys, and with names that YAML would take for something else", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      yield* Effect.promise(() => Fs.mkdir(Path.dirname(known.file), { recursive: true }))
      for (const start of ["", "hubs:\n", `hubs:\n  ${hub}:\n`]) {
        yield* Effect.promise(() => Fs.writeFile(known.file, start))
        for (const name of ["barn", "12", "yes", "null", "a: b#c"]) {
          yield* known.pin(hub, name, print(1))
          assert.deepStrictEqual(yield* known.check(hub, name, print(1)), { _tag: "Same" }, name)
        }
      }
    })
  )

  it.scopedLive("loses no pin when many write at once", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      // So few that, one after the other, they are through within FILE_LOCK_TIMEOUT on a slow disk too.
      const names = Array.from({ length: 4 }, (_, i) => `m${i}`)
      yield* Effect.forEach(names, (name, i) => known.pin(hub, name, print(i)), { concurrency: "unbounded" })
      assert.deepStrictEqual((yield* known.list).map((pin) => pin.machine).sort(), [...names].sort())
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(Path.dirname(known.file))), ["known_machines.yaml"])
    })
  )

  it.scopedLive("takes over a lock that a crash left", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      yield* known.pin(hub, "barn", print(1))
      const lock = `${known.file}.lock`
      yield* Effect.promise(() => Fs.writeFile(lock, "1\n"))
      yield* Effect.promise(() => Fs.utimes(lock, new Date(0), new Date(0)))
      assert.deepStrictEqual(yield* known.pin(hub, "shed", print(1)), { _tag: "New" })
    })
  )

  it.scoped("refuses a broken file: with line and column, and without touching it", () =>
    Effect.gen(function* () {
      const known = yield* fresh
      yield* Effect.promise(() => Fs.mkdir(Path.dirname(known.file), { recursive: true }))
      const broken = `hubs:\n  ${hub}:\n    barn: SHA256:short\n`
      yield* Effect.promise(() => Fs.writeFile(known.file, broken))
      const errors = [
        yield* Effect.flip(known.check(hub, "barn", print(1))),
        yield* Effect.flip(known.accept(hub, "barn", print(1)))
      ]
      for (const error of errors) {
        assert.strictEqual(error.line, 3)
        assert.include(error.message, "expected a fingerprint")
      }
      assert.strictEqual(yield* text(known), broken)
    })
  )
})
