/** People who save the hub's file at the very moment at which the hub writes it. */
import * as FsNow from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Change } from "../../src/policy/Change.ts"
import { identityOf } from "../../src/policy/Identity.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import type { OutsideChange } from "../../src/store/IdentityStore.ts"
import { onSync } from "../support/onSync.ts"
import { change, example, fileOf, plain, read, token } from "./hubFile.ts"

const add = (id: string) => Change.Add({ id, role: "user", token: token(id), grants: [] })

/** Before the new text is in its place, just after, and when the change is acknowledged. */
type Moment = "before" | "after" | "acknowledged"

const moments: ReadonlyArray<Moment> = ["before", "after", "acknowledged"]

const save = {
  /** As `echo >` and many editors. */
  inPlace: (path: string, text: string) => FsNow.writeFileSync(path, text),
  /** As those that write another file first. */
  whole: (path: string, text: string) => {
    FsNow.writeFileSync(`${path}~`, text, { mode: 0o600 })
    FsNow.renameSync(`${path}~`, path)
  }
}

/** Revokes somebody, as a person does it with an editor. */
const revoking = (id: string) => (text: string) =>
  text.replace(new RegExp(`( {4}${id}: \\{.*?)("version"|\\})`), (_, before: string, rest: string) =>
    rest === "}"
      ? `${before},"revokedAt":"2026-01-01T00:00:00Z"}`
      : `${before}"revokedAt":"2026-01-01T00:00:00Z",${rest}`
  )

/** What is done to the file at a moment of the next change. */
const editing = (path: string) =>
  Effect.gen(function* () {
    let due: { readonly at: Moment; readonly edit: () => void } | undefined
    const reach = (moment: Moment) => {
      if (due?.at !== moment) return
      const { edit } = due
      due = undefined
      edit()
    }
    yield* onSync(() => reach(FsNow.existsSync(`${path}.tmp`) ? "before" : "after"))
    return {
      next: (at: Moment, how: keyof typeof save, change: (text: string) => string) => {
        due = {
          at,
          edit: () => {
            const text = FsNow.readFileSync(path, "utf8")
            const changed = change(text)
            assert.notStrictEqual(changed, text, "this edit changes nothing")
            save[how](path, changed)
          }
        }
      },
      acknowledged: () => {
        reach("acknowledged")
        assert.isUndefined(due, "the moment never came")
      }
    }
  })

describe("HubIdentities, edited while it writes", () => {
  it.scopedLive.each(moments)("a revocation by hand holds, whenever it is saved: %s", (moment) =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      const hand = yield* editing(path)
      const outside: Array<OutsideChange> = []
      hand.next(moment, "inPlace", revoking("bob"))
      yield* change(store, add("carl"), outside)
      hand.acknowledged()
      yield* change(store, add("dora"), outside)
      outside.push(...(yield* store.refresh).changes)
      assert.isDefined(identityOf(store.current(), "bob")?.revokedAt)
      assert.deepStrictEqual(
        outside.map(({ how, id }) => `${how} ${id}`),
        ["hand bob"]
      )
      assert.isDefined(identityOf(store.current(), "carl"))
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(store.current()))
    })
  )

  it.scopedLive("in a stream of changes no edit is lost: each is taken in and said", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      const hand = yield* editing(path)
      const outside: Array<OutsideChange> = []
      const rounds = Array.from({ length: 12 }, (_, n) => ({
        n,
        moment: moments[n % 3] ?? "after",
        how: n % 2 === 0 ? ("inPlace" as const) : ("whole" as const)
      }))
      for (const { n } of rounds) yield* change(store, add(`user-${n}`))
      for (const { how, moment, n } of rounds) {
        hand.next(moment, how, (text) =>
          revoking(`user-${n}`)(text).replace(
            "  machines:\n",
            `    hand-${n}: {"role":"user","token":"sha256:${token(`hand-${n}`).tokenHash}"}\n  machines:\n`
          )
        )
        yield* change(store, add(`hub-${n}`), outside)
        hand.acknowledged()
      }
      outside.push(...(yield* store.refresh).changes)
      const said = outside.map(({ how, id }) => `${how} ${id}`).toSorted()
      assert.deepStrictEqual(said, rounds.flatMap(({ n }) => [`hand hand-${n}`, `hand user-${n}`]).toSorted())
      for (const state of [store.current(), (yield* HubIdentities.make(path)).current()]) {
        for (const { n } of rounds) {
          assert.isDefined(identityOf(state, `hand-${n}`), `hand-${n}`)
          assert.isDefined(identityOf(state, `user-${n}`)?.revokedAt, `user-${n}`)
          assert.isDefined(identityOf(state, `hub-${n}`), `hub-${n}`)
        }
      }
    })
  )

  it.scopedLive("a file that is away for a moment fails no change that is on the disk", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* onSync(() => {
        if (!FsNow.existsSync(`${path}.tmp`) && FsNow.existsSync(path)) FsNow.renameSync(path, `${path}.aside`)
      })
      yield* change(store, add("carl"))
      assert.isDefined(identityOf(store.current(), "carl"))
      FsNow.renameSync(`${path}.aside`, path)
      assert.include(yield* read(path), "carl: {")
      assert.deepStrictEqual((yield* store.refresh).changes, [])
    })
  )
})
