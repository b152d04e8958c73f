/** The one place where access changes: its order, what a failure leaves, what it takes at a time, and that it lives on. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as Authority from "../../src/hub/Authority.ts"
import { apply, Change } from "../../src/policy/Change.ts"
import { identityOf, makeSnapshot } from "../../src/policy/Identity.ts"
import type { Identity, Snapshot } from "../../src/policy/Identity.ts"
import { HUB_FILE_POLL, PENDING_CHANGES } from "../../src/protocol/Limits.ts"
import { Audit } from "../../src/store/Audit.ts"
import type { AuditEvent } from "../../src/store/Audit.ts"
import { defaults } from "../../src/store/HubLimits.ts"
import { IdentityStore, StoreFailure } from "../../src/store/IdentityStore.ts"
import type { Edited, TakenIn } from "../../src/store/IdentityStore.ts"
import { turn } from "../support/turn.ts"
import { identity, initial, owner } from "./harness.ts"

const full = new StoreFailure({ kind: "full", message: "no space is left" })

/** An authority on a store and a record that note in what order they are used, and fail when they are told to. */
const world = (begin: Snapshot = initial) =>
  Effect.gen(function* () {
    const steps: Array<string> = []
    const events: Array<AuditEvent> = []
    const faults: { store?: StoreFailure | "defect"; audit?: "defect"; listener?: "defect" } = {}
    const file = { snapshot: begin, outside: [] as TakenIn["changes"] }
    const gate = yield* Effect.makeLatch(true)
    const takeIn = (): TakenIn => {
      const changes = file.outside
      file.outside = []
      return { snapshot: file.snapshot, changes }
    }
    const store = IdentityStore.of({
      current: () => file.snapshot,
      limits: () => defaults,
      refresh: Effect.suspend(() => (faults.store instanceof StoreFailure ? faults.store : Effect.sync(takeIn))),
      update: <A>(takenIn: (state: TakenIn) => void, edit: (base: Snapshot) => Edited<A>) =>
        Effect.gen(function* () {
          yield* gate.await
          if (file.outside.length > 0) takenIn(takeIn())
          const edited = edit(file.snapshot)
          yield* turn
          if (faults.store === "defect") return yield* Effect.dieMessage("a bug of the store")
          if (faults.store !== undefined) return yield* faults.store
          file.snapshot = edited.snapshot
          steps.push(`file ${edited.snapshot.revision}`)
          return edited.result
        })
    })
    const audit = Audit.of({
      record: (recorded, revision) =>
        Effect.gen(function* () {
          yield* turn
          if (faults.audit === "defect") return yield* Effect.dieMessage("a bug of the record")
          events.push(...recorded)
          steps.push(`record ${revision}`)
        }),
      note: (event) => void events.push(event),
      renamed: () => Effect.void,
      list: () => Effect.succeed([]),
      revision: Effect.succeed(begin.revision),
      lastVersion: () => 0,
      removed: () => Effect.void
    })
    const services = Layer.merge(Layer.succeed(IdentityStore, store), Layer.succeed(Audit, audit))
    const authority = Context.get(yield* Layer.build(Layer.provide(Authority.layer, services)), Authority.Authority)
    authority.onChange(() => {
      if (faults.listener === "defect") throw new Error("a bug of a listener")
    })
    authority.onChange((snapshot, tokens) => {
      steps.push(`close ${snapshot.revision} ${tokens === "all" ? "all" : tokens.size}`)
      assert.strictEqual(authority.snapshot(), snapshot)
    })
    const change = (made: Change, by: Identity = owner, ifVersion?: number) =>
      authority.change({
        change: made,
        by: { identity: by, from: "10.0.0.1" },
        event: { action: "access-update" },
        ifVersion
      })
    return { authority, change, steps, events, faults, file, gate }
  })

const revoke = Change.Revoke({ id: "alice" })
const mayAliceConnect = ({ ask }: typeof Authority.Authority.Service) =>
  ask({ identity: identity("alice"), permission: "connect", machine: "barn" }).permit

describe("a change", () => {
  it.scoped("is in the file, then in the record, then in force and acted upon, then answered", () =>
    Effect.gen(function* () {
      const { authority, change, events, steps } = yield* world()
      const applied = yield* change(revoke)
      steps.push("answer")
      assert.deepStrictEqual(steps, ["file 8", "record 8", "close 8 1", "answer"])
      assert.strictEqual(applied.snapshot.revision, 8)
      assert.isFalse(mayAliceConnect(authority))
      assert.deepStrictEqual(events, [
        { action: "access-update", actor: "owner", from: "10.0.0.1", target: "alice", outcome: "ok" }
      ])
    })
  )

  it.scoped("that cannot be stored changes nothing, and the next one can be", () =>
    Effect.gen(function* () {
      const { authority, change, events, faults, steps } = yield* world()
      const before = authority.snapshot()
      faults.store = full
      assert.strictEqual(yield* Effect.flip(change(revoke)), full)
      assert.strictEqual(authority.snapshot(), before)
      assert.isTrue(mayAliceConnect(authority))
      assert.deepStrictEqual([steps, events], [[], []])
      delete faults.store
      yield* change(revoke)
      assert.isFalse(mayAliceConnect(authority))
    })
  )

  it.scoped("that is refused changes nothing; only an attempt without rights is recorded", () =>
    Effect.gen(function* () {
      const { authority, change, events, steps } = yield* world()
      const before = authority.snapshot()
      const kindOf = (made: ReturnType<typeof change>) =>
        Effect.map(Effect.flip(made), (error) => (error._tag === "ChangeRefused" ? error.kind : error._tag))
      assert.strictEqual(yield* kindOf(change(Change.Revoke({ id: "nemo" }))), "unknown-identity")
      assert.strictEqual(yield* kindOf(change(revoke, owner, 9)), "stale")
      assert.deepStrictEqual(events, [])
      assert.strictEqual(yield* kindOf(change(Change.Revoke({ id: "owner" }), identity("deputy"))), "owner-only")
      assert.strictEqual(yield* kindOf(change(revoke, identity("alice"))), "not-allowed")
      assert.strictEqual(yield* kindOf(change(Change.Remove({ id: "owner" }))), "last-owner")
      assert.deepStrictEqual(
        events.map(({ actor, outcome, target }) => [actor, target, outcome]),
        [
          ["deputy", "owner", "denied"],
          ["alice", "alice", "denied"],
          ["owner", "owner", "denied"]
        ]
      )
      assert.strictEqual(authority.snapshot(), before)
      assert.isFalse(steps.some((step) => step.startsWith("close")))
    })
  )

  it.scoped("is made with the rights that whoever asked has when its turn comes", () =>
    Effect.gen(function* () {
      const { change, gate } = yield* world()
      yield* gate.close
      const first = yield* Effect.fork(change(Change.Revoke({ id: "deputy" })))
      const second = yield* Effect.fork(Effect.either(change(Change.Remove({ id: "bob" }), identity("deputy"))))
      yield* turn
      yield* gate.open
      yield* Fiber.join(first)
      const refused = yield* Fiber.join(second)
      assert(Either.isLeft(refused) && refused.left._tag === "ChangeRefused")
      assert.strictEqual(refused.left.kind, "not-allowed")
    })
  )

  it.scoped("waits with others, up to so many, and all of them share one write", () =>
    Effect.gen(function* () {
      const { authority, change, gate, steps } = yield* world()
      yield* gate.close
      const first = yield* Effect.fork(change(revoke))
      yield* turn
      const add = (index: number) =>
        change(
          Change.Add({
            id: `new-${index}`,
            role: "user",
            token: { tokenHash: `${index}`.padStart(64, "0"), prefix: "" },
            grants: []
          })
        )
      const waiting = yield* Effect.forEach(Array.from({ length: PENDING_CHANGES }).keys(), (i) => Effect.fork(add(i)))
      yield* turn
      const busy = yield* Effect.flip(add(PENDING_CHANGES))
      assert(busy._tag === "StoreFailure")
      assert.strictEqual(busy.kind, "busy")
      yield* gate.open
      yield* Fiber.join(first)
      yield* Effect.forEach(waiting, Fiber.join)
      const revision = 8 + PENDING_CHANGES
      assert.deepStrictEqual(steps, [
        "file 8",
        "record 8",
        "close 8 1",
        `file ${revision}`,
        `record ${revision}`,
        `close ${revision} 0`
      ])
      assert.isDefined(identityOf(authority.snapshot(), `new-${PENDING_CHANGES - 1}`))
      yield* add(PENDING_CHANGES)
    })
  )

  it.scoped("is answered even when a part of the hub has a bug, and the next one is made", () =>
    Effect.gen(function* () {
      const { authority, change, faults, steps } = yield* world()
      faults.store = "defect"
      assert.isTrue((yield* Effect.exit(change(revoke)))._tag === "Failure")
      assert.isTrue(mayAliceConnect(authority))
      delete faults.store
      faults.audit = "defect"
      faults.listener = "defect"
      // What is in the file is in force, recorded or not, and one part's bug keeps no other from closing.
      yield* change(revoke)
      assert.deepStrictEqual(steps, ["file 8", "close 8 1"])
      assert.isFalse(mayAliceConnect(authority))
    })
  )
})

describe("a name that is given again", () => {
  const fresh = Change.Add({ id: "alice", role: "user", token: { tokenHash: "fresh", prefix: "f" }, grants: [] })

  it.scoped("has a higher version, also when it was given up in the same round, or by an edit of this moment", () =>
    Effect.gen(function* () {
      const made = yield* world()
      yield* made.change(Change.Grant({ id: "alice", machine: "mill", permissions: ["connect"] }))
      const before = identityOf(made.authority.snapshot(), "alice")?.version ?? 0
      yield* made.gate.close
      const first = yield* Effect.fork(
        made.change(Change.Grant({ id: "bob", machine: "mill", permissions: ["connect"] }))
      )
      yield* Effect.yieldNow()
      const round = yield* Effect.fork(
        Effect.all([made.change(Change.Remove({ id: "alice" })), made.change(fresh)], { concurrency: "unbounded" })
      )
      yield* turn
      yield* made.gate.open
      yield* Fiber.join(first)
      const [, added] = yield* Fiber.join(round)
      assert.strictEqual(added.identity.version, before + 1)

      const { snapshot } = Either.getOrThrow(
        apply(made.file.snapshot, Change.Remove({ id: "alice" }), { by: "owner", now: 0 })
      )
      made.file.snapshot = snapshot
      made.file.outside = [{ id: "alice", how: "hand", text: "telahubd.yaml: alice was edited by hand" }]
      assert.strictEqual((yield* made.change(fresh)).identity.version, before + 2)
    })
  )
})

describe("what others write to the file", () => {
  const edit = ({ file }: { readonly file: { snapshot: Snapshot; outside: TakenIn["changes"] } }) => {
    file.snapshot = Either.getOrThrow(apply(file.snapshot, revoke, { by: "owner", now: 0 })).snapshot
    file.outside = [{ id: "alice", how: "hand", text: "telahubd.yaml:7: alice was edited by hand" }]
  }

  it.scoped("is in force within HUB_FILE_POLL, and recorded as an edit", () =>
    Effect.gen(function* () {
      const made = yield* world()
      edit(made)
      yield* TestClock.adjust(HUB_FILE_POLL)
      assert.isFalse(mayAliceConnect(made.authority))
      assert.deepStrictEqual(made.steps, ["record 8", "close 8 all"])
      assert.deepInclude(made.events[0], { action: "file-edit", target: "alice", from: "local", outcome: "ok" })
      yield* TestClock.adjust(HUB_FILE_POLL)
      assert.strictEqual(made.steps.length, 2)
    })
  )

  it.scoped("is in force before a change that comes upon it, and also when that cannot be stored", () =>
    Effect.gen(function* () {
      const made = yield* world()
      edit(made)
      made.faults.store = full
      assert.strictEqual(yield* Effect.flip(made.change(Change.Revoke({ id: "bob" }))), full)
      assert.isFalse(mayAliceConnect(made.authority))
      assert.deepStrictEqual(made.steps, ["record 8", "close 8 all"])
    })
  )

  it.scoped("leaves all as it was while it cannot be understood, and is taken in when it can", () =>
    Effect.gen(function* () {
      const made = yield* world()
      made.faults.store = new StoreFailure({ kind: "unreadable", message: "telahubd.yaml:3: what is this" })
      edit(made)
      yield* TestClock.adjust(3 * HUB_FILE_POLL)
      assert.isTrue(mayAliceConnect(made.authority))
      delete made.faults.store
      yield* TestClock.adjust(HUB_FILE_POLL)
      assert.isFalse(mayAliceConnect(made.authority))
    })
  )
})

describe("asking", () => {
  it.scoped("takes no token, an empty one and one that has expired for nobody's", () =>
    Effect.gen(function* () {
      const { authority } = yield* world(makeSnapshot(7, [owner, identity("brief", "user", { expiresAt: 5_000 })], []))
      assert.isUndefined(authority.identify(undefined))
      assert.isUndefined(authority.identify(Redacted.make("")))
      assert.strictEqual(authority.identify(Redacted.make("brief-token"))?.id, "brief")
      yield* TestClock.adjust(5_000)
      assert.isUndefined(authority.identify(Redacted.make("brief-token")))
    })
  )
})
