import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { PAIR_CODE_KEPT } from "../../src/protocol/Limits.ts"
import * as Codes from "../../src/crypto/PairCode.ts"
import * as Database from "../../src/store/Database.ts"
import { PairCodes } from "../../src/store/PairCodes.ts"
import * as PairCodesSql from "../../src/store/PairCodesSql.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { inFolder, storages } from "./storages.ts"

const now = 1_700_000_000_000

const about = {
  type: "connect",
  machines: ["barn", "shed"],
  role: "user",
  createdBy: "olga",
  createdWith: "ab".repeat(32),
  createdAt: now,
  expiresAt: now + 1_000
} as const

describe.each(storages)("PairCodes %s", (_, storage) => {
  it.scoped("finds a code by itself alone, for as long as it is valid", () =>
    Effect.gen(function* () {
      const codes = yield* PairCodes
      const code = Codes.generate()
      const kept = yield* codes.add(code, about)
      assert.deepStrictEqual(kept, { ...about, id: kept.id })
      assert.match(kept.id, /^\d+$/)
      assert.deepStrictEqual(yield* codes.find(code, now), kept)
      assert.isUndefined(yield* codes.find(Codes.generate(), now))
      assert.isUndefined(yield* codes.find(code, about.expiresAt))
      assert.deepStrictEqual(yield* codes.list(now), [kept])
      assert.deepStrictEqual(yield* codes.list(about.expiresAt), [])
      assert.strictEqual(yield* codes.count(now), 1)
      assert.strictEqual(yield* codes.count(about.expiresAt), 0)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("gives a code to exactly one of a hundred", () =>
    Effect.gen(function* () {
      const codes = yield* PairCodes
      const { id } = yield* codes.add(Codes.generate(), about)
      const spends = Array.from({ length: 100 }, (_, nth) => codes.spend(id, `paired-${nth}`, now))
      const won = yield* Effect.all(spends, { concurrency: "unbounded" })
      assert.strictEqual(won.filter(Boolean).length, 1)
      const unsettled = yield* codes.unsettled
      assert.deepStrictEqual(
        unsettled.map(({ id, identity }) => [id, identity]),
        [[id, `paired-${won.indexOf(true)}`]]
      )
    }).pipe(Effect.provide(storage))
  )

  it.scoped("spends no code that has expired, was spent or cancelled, or never was", () =>
    Effect.gen(function* () {
      const codes = yield* PairCodes
      yield* TestClock.setTime(now)
      const code = Codes.generate()
      const { id } = yield* codes.add(code, about)
      assert.isFalse(yield* codes.spend(id, "paired", about.expiresAt))
      assert.isFalse(yield* codes.spend("999", "paired", now))
      assert.isFalse(yield* codes.spend("id", "paired", now))
      assert.isTrue(yield* codes.spend(id, "paired", now))
      assert.isFalse(yield* codes.spend(id, "paired", now))
      assert.isUndefined(yield* codes.find(code, now))
      assert.isFalse(yield* codes.cancel(id))
      const other = yield* codes.add(Codes.generate(), about)
      assert.isTrue(yield* codes.cancel(other.id))
      assert.isFalse(yield* codes.cancel(other.id))
      assert.isFalse(yield* codes.spend(other.id, "paired", now))
    }).pipe(Effect.provide(storage))
  )

  it.scoped("gives a code back, or forgets it, when it is known what became of it", () =>
    Effect.gen(function* () {
      const codes = yield* PairCodes
      const code = Codes.generate()
      const { id } = yield* codes.add(code, about)
      yield* codes.spend(id, "paired", now)
      yield* codes.giveBack(id)
      assert.strictEqual((yield* codes.find(code, now))?.id, id)
      // One that was not spent is not forgotten.
      yield* codes.settle(id)
      assert.isTrue(yield* codes.spend(id, "paired", now))
      yield* codes.settle(id)
      assert.deepStrictEqual(yield* codes.unsettled, [])
      assert.isFalse(yield* codes.spend(id, "paired", now))
    }).pipe(Effect.provide(storage))
  )

  it.scoped("forgets codes a while after they expired", () =>
    Effect.gen(function* () {
      const codes = yield* PairCodes
      const { id } = yield* codes.add(Codes.generate(), about)
      yield* codes.spend(id, "paired", now)
      yield* codes.add(Codes.generate(), { ...about, createdAt: about.expiresAt + PAIR_CODE_KEPT })
      assert.strictEqual((yield* codes.unsettled).length, 1)
      yield* codes.add(Codes.generate(), { ...about, createdAt: about.expiresAt + PAIR_CODE_KEPT + 1 })
      assert.strictEqual((yield* codes.unsettled).length, 0)
    }).pipe(Effect.provide(storage))
  )
})

describe("PairCodes in SQLite", () => {
  it.scoped("say that the disk is full, and change nothing", () =>
    Effect.gen(function* () {
      const database = yield* Database.make(Path.join(yield* temporaryFolder, "telahubd.db"))
      const { read, sql } = database
      const storage = Layer.provide(
        PairCodesSql.layer(Redacted.make(Buffer.alloc(32))),
        Layer.succeed(Database.Database, database)
      )
      yield* Effect.gen(function* () {
        const codes = yield* PairCodes
        yield* codes.add(Codes.generate(), about)
        const [pages] = yield* read(sql<{ readonly page_count: number }>`PRAGMA page_count`)
        yield* read(sql.unsafe(`PRAGMA max_page_count = ${pages?.page_count}`))
        // More than the last page has room for.
        const long = { ...about, machines: ["m".repeat(20_000)] }
        const full = yield* Effect.flip(codes.add(Codes.generate(), long))
        assert.strictEqual(full.kind, "full")
        assert.match(full.message, /telahubd\.db: no space left on the device; make room there$/)
        assert.strictEqual(yield* codes.count(now), 1)
        yield* read(sql`PRAGMA max_page_count = 100000`)
        yield* codes.add(Codes.generate(), long)
        assert.strictEqual(yield* codes.count(now), 2)
      }).pipe(Effect.provide(storage))
    })
  )

  it.scoped("are there after a restart, spent ones too", () =>
    Effect.gen(function* () {
      const storage = inFolder(yield* temporaryFolder)
      const [code, spent] = [Codes.generate(), Codes.generate()]
      const kept = yield* Effect.gen(function* () {
        const codes = yield* PairCodes
        yield* codes.spend((yield* codes.add(spent, about)).id, "paired", now)
        return yield* codes.add(code, about)
      }).pipe(Effect.provide(storage))
      yield* Effect.gen(function* () {
        const codes = yield* PairCodes
        assert.deepStrictEqual(yield* codes.find(code, now), kept)
        assert.isUndefined(yield* codes.find(spent, now))
        assert.deepStrictEqual(
          (yield* codes.unsettled).map(({ identity }) => identity),
          ["paired"]
        )
      }).pipe(Effect.provide(storage))
    })
  )

  it.scoped("are not in any file, nor is what they could be guessed from", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const codes = Array.from({ length: 20 }, Codes.generate)
      yield* Effect.gen(function* () {
        const kept = yield* PairCodes
        for (const code of codes) yield* kept.spend((yield* kept.add(code, about)).id, "paired", now)
        // While it runs, for then the log is there too.
        const files = readdirSync(folder)
        assert.includeMembers(files, ["telahubd.db", "telahubd.db-wal", "telahubd.key"])
        const bytes = files.map((name) => readFileSync(Path.join(folder, name), "latin1")).join("")
        assert.include(bytes, "olga")
        for (const code of codes) {
          const plain = Redacted.value(code)
          const digest = createHash("sha256").update(plain)
          const traces = [
            plain,
            Codes.show(code),
            digest.copy().digest("hex"),
            digest.copy().digest().toString("latin1")
          ]
          for (const trace of traces) assert.notInclude(bytes, trace)
        }
      }).pipe(Effect.provide(inFolder(folder)))
    })
  )
})
