/** Old copies of the file: what the record beside it knows is not undone by them, whoever saves them and when. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Change } from "../../src/policy/Change.ts"
import { grantsOf, identityOf } from "../../src/policy/Identity.ts"
import * as HubFile from "../../src/store/HubFile.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import type { OutsideChange } from "../../src/store/IdentityStore.ts"
import { change, edit, example, fileOf, idsOf, plain, read, type Store, token, write } from "./hubFile.ts"

const add = (id: string) => Change.Add({ id, role: "user", token: token(id), grants: [] })
const hows = (changes: ReadonlyArray<OutsideChange>) => changes.map(({ how, id = "file" }) => `${how} ${id}`).toSorted()

/** A file, a record beside it, and changes that are in both as soon as they are made. */
const world = Effect.gen(function* () {
  const path = yield* fileOf(example)
  const record = { revision: 0, versions: new Map<string, number>() }
  const recorded = {
    revision: Effect.sync(() => record.revision),
    lastVersion: (id: string) => record.versions.get(id) ?? 0
  }
  const make = (store: Store, what: Change) =>
    Effect.map(change(store, what), ({ identity, snapshot }) => {
      record.revision = snapshot.revision
      if (what._tag === "Remove") record.versions.set(what.id, identity.version)
    })
  const hub = HubIdentities.make(path, { ownerless: "refused", recorded })
  const tool = (older: "refused" | "taken") => HubIdentities.make(path, { ownerless: "taken", older, recorded })
  return { path, record, make, hub, tool }
})

/** People of whom something is taken away, each in another way; the file as it was before. */
const takeAway = (store: Store, { make, path }: Effect.Effect.Success<typeof world>) =>
  Effect.gen(function* () {
    for (const id of ["carl", "dave", "erin"]) yield* make(store, add(id))
    yield* make(store, Change.Grant({ id: "erin", machine: "barn", permissions: ["connect"] }))
    const old = yield* read(path)
    yield* make(store, Change.Remove({ id: "bob" }))
    yield* make(store, Change.Revoke({ id: "carl" }))
    yield* make(store, Change.Rotate({ id: "dave", token: token("dave-2") }))
    yield* make(store, Change.RevokeMachine({ id: "erin", machine: "barn" }))
    return old
  })

const assertTaken = (store: Store) => {
  const snapshot = store.current()
  assert.notInclude(idsOf(snapshot), "bob")
  assert.isDefined(identityOf(snapshot, "carl")?.revokedAt)
  assert.strictEqual(identityOf(snapshot, "dave")?.tokenHash, token("dave-2").tokenHash)
  assert.deepStrictEqual(grantsOf(snapshot, "erin"), [])
}

describe("an old copy of the file", () => {
  it.scopedLive("is nothing for `telahubd user` to go on from, and brings back nothing when it is forced to", () =>
    Effect.gen(function* () {
      const it = yield* world
      const hub = yield* it.hub
      const old = yield* takeAway(hub, it)
      yield* write(it.path, old)
      const refusal = yield* Effect.flip(Effect.asVoid(it.tool("refused")))
      assert.match(refusal.message, /older copy, of revision 11, while 15 is the last.*restore it, or .*-force/)
      assert.strictEqual(yield* read(it.path), old)
      const forced = yield* it.tool("taken")
      yield* it.make(forced, Change.Grant({ id: "alice", machine: "mill", permissions: ["connect"] }))
      yield* it.make(forced, Change.Grant({ id: "carl", machine: "mill", permissions: ["connect"] }))
      assert.strictEqual(forced.current().revision, 17)
      const { changes } = yield* hub.refresh
      assertTaken(hub)
      assert.include(hows(changes), "lost carl")
      assertTaken(yield* it.hub)
    })
  )

  it.scopedLive("is told apart from an emptied file, whose way out is the one that is named", () =>
    Effect.gen(function* () {
      const it = yield* world
      const hub = yield* it.hub
      yield* it.make(hub, add("carl"))
      yield* write(it.path, "")
      for (const attempt of [Effect.asVoid(it.tool("refused")), Effect.asVoid(hub.refresh)]) {
        const { message } = yield* Effect.flip(attempt)
        assert.match(
          message,
          /(?:empty|nobody is in this file); .*`telahubd user add <id> -role owner -force -config \S+`/
        )
      }
      const forced = yield* it.tool("taken")
      yield* it.make(forced, Change.Add({ id: "new", role: "owner", token: token("new"), grants: [] }))
      yield* hub.refresh
      assert.deepStrictEqual(idsOf(hub.current()), ["new"])
      assert.deepStrictEqual(idsOf((yield* it.hub).current()), ["new"])
    })
  )

  it.scopedLive("is refused by `telahubd user` also when it is saved while that runs", () =>
    Effect.gen(function* () {
      const it = yield* world
      const hub = yield* it.hub
      const old = yield* takeAway(hub, it)
      const tool = yield* it.tool("refused")
      yield* it.make(hub, add("fred"))
      yield* write(it.path, old)
      yield* Effect.flip(Effect.asVoid(it.make(tool, add("gina"))))
      yield* hub.refresh
      assertTaken(hub)
      assert.include(idsOf(hub.current()), "fred")
    })
  )

  it.scopedLive("brings back nothing when a program that knows no record has built on it", () =>
    Effect.gen(function* () {
      const it = yield* world
      const hub = yield* it.hub
      const old = yield* takeAway(hub, it)
      for (const changes of [1, 4, 6]) {
        yield* write(it.path, old)
        const tool = yield* HubIdentities.make(it.path, { ownerless: "taken" })
        for (let n = 0; n < changes; n++) {
          yield* change(tool, Change.Grant({ id: "alice", machine: `m${n}`, permissions: ["connect"] }))
        }
        yield* hub.refresh
        assertTaken(hub)
      }
      assert.isDefined(grantsOf(hub.current(), "alice").find(({ machine }) => machine === "m5"))
    })
  )

  it.scopedLive("is told so at a start: who was removed stays removed, edited or not, and the revision goes on", () =>
    Effect.gen(function* () {
      const it = yield* world
      const first = yield* it.hub
      yield* it.make(first, add("carl"))
      const old = yield* read(it.path)
      yield* it.make(first, Change.Remove({ id: "carl" }))
      yield* it.make(first, Change.Remove({ id: "bob" }))
      yield* it.make(first, Change.Revoke({ id: "alice" }))
      yield* write(it.path, old.replace(/( {4}carl: .*)"prefix":"carl"/, '$1"prefix":"carla"'))
      const hub = yield* it.hub
      assert.deepStrictEqual(idsOf(hub.current()), ["alice", "owner"])
      const { changes } = yield* hub.refresh
      assert.deepStrictEqual(hows(changes), ["hand carl", "lost bob", "lost carl", "older file"])
      assert.match(
        changes.find(({ how }) => how === "older")?.text ?? "",
        /older copy, of revision 8, while 11 is the last.*look through them with `telahubd user list`/
      )
      const text = yield* read(it.path)
      assert.match(text, /\n {2}revision: 12 # so far\n/)
      assert.notMatch(text, /carl|bob/)
      it.record.revision = 12
      assert.deepStrictEqual((yield* (yield* it.hub).refresh).changes, [])
    })
  )

  it.scopedLive("is told from a line that a person puts back: with its version it is old, without one it is new", () =>
    Effect.gen(function* () {
      const it = yield* world
      const hub = yield* it.hub
      yield* it.make(hub, add("carl"))
      const line = /\n( {4}carl: .*\n)/.exec(yield* read(it.path))?.[1] ?? ""
      yield* it.make(hub, Change.Remove({ id: "carl" }))
      const putBack = (text: string) => edit(it.path, (file) => file.replace("  machines:\n", `${text}  machines:\n`))
      yield* putBack(line)
      const { changes } = yield* hub.refresh
      assert.deepStrictEqual(hows(changes), ["lost carl"])
      assert.match(changes[0]?.text ?? "", /carl is gone since; for a new one .* leave version and digest out/)
      it.record.revision = hub.current().revision
      yield* putBack(line)
      const restarted = yield* it.hub
      assert.notInclude(idsOf(restarted.current()), "carl")
      assert.deepStrictEqual(hows((yield* restarted.refresh).changes), ["lost carl"])
      yield* putBack(line.replace(/,"version".*\}/, "}"))
      assert.deepStrictEqual(hows((yield* restarted.refresh).changes), ["hand carl"])
      assert.strictEqual(identityOf(restarted.current(), "carl")?.version, 2)
    })
  )

  it.scopedLive("is not what a file is that was made anew beside an old record", () =>
    Effect.gen(function* () {
      const it = yield* world
      const path = `${it.path}.new`
      const ownerToken = Option.none()
      yield* HubFile.bootstrap(path, { ownerToken })
      const recorded = { revision: Effect.succeed(5_000), lastVersion: (id: string) => (id === "owner" ? 9 : 0) }
      const hub = yield* HubIdentities.make(path, { ownerless: "refused", recorded })
      assert.deepStrictEqual(idsOf(hub.current()), ["console-viewer", "owner"])
      assert.strictEqual(identityOf(hub.current(), "owner")?.version, 10)
      assert.deepStrictEqual(hows((yield* hub.refresh).changes), ["unrecorded file"])
    })
  )
})

describe("the record", () => {
  it.scopedLive("is told what a hub that stopped at once could not record", () =>
    Effect.gen(function* () {
      const it = yield* world
      const hub = yield* it.hub
      yield* it.make(hub, add("carl"))
      yield* change(hub, add("dora"))
      const { changes } = yield* (yield* it.hub).refresh
      assert.deepStrictEqual(
        changes.map(({ text }) => text),
        ["revision 9 stands in the file, 8 is the last that was recorded"]
      )
      assert.strictEqual(plain(hub.current()).length, 5)
    })
  )
})
