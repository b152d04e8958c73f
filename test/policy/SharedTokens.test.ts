/** A file may give two identities one token: a person copied a line, or a deployed hub's list has one twice. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { apply, Change } from "../../src/policy/Change.ts"
import type { ChangeContext } from "../../src/policy/Change.ts"
import { holderOf, identitiesOf, identityOf, makeSnapshot } from "../../src/policy/Identity.ts"
import type { Snapshot } from "../../src/policy/Identity.ts"
import { decide } from "../../src/policy/Policy.ts"
import * as Snapshots from "../../src/store/internal/snapshots.ts"

const NOW = 1_000_000
const token = { tokenHash: "new", prefix: "n" }

/** "both" is bob's: his line is the later one. */
const shared = makeSnapshot(
  7,
  [
    { id: "owner", role: "owner", tokenHash: "owner-1", prefix: "o" },
    { id: "ann", role: "admin", tokenHash: "both", prefix: "b" },
    { id: "bob", role: "user", tokenHash: "both", prefix: "b" }
  ],
  [{ id: "bob", machine: "barn", permission: "connect" }]
)

/** "both" is the second owner's, and nobody else is one who can come. */
const twoOwners = makeSnapshot(
  7,
  [
    { id: "owner", role: "owner", tokenHash: "both", prefix: "b" },
    { id: "owner-2", role: "owner", tokenHash: "both", prefix: "b" }
  ],
  []
)

const made = (snapshot: Snapshot, change: Change, context: Partial<ChangeContext> = {}) =>
  Either.getOrThrow(apply(snapshot, change, { by: "owner", now: NOW, ...context }))

const refusal = (snapshot: Snapshot, change: Change, context: Partial<ChangeContext> = {}) =>
  Either.match(apply(snapshot, change, { by: "owner", now: NOW, ...context }), {
    onLeft: ({ kind }) => kind,
    onRight: () => "made"
  })

/** As the file would be read at the next start, in the order of the names. */
const restarted = (snapshot: Snapshot) => makeSnapshot(snapshot.revision, identitiesOf(snapshot), [])

const mayAdminister = (snapshot: Snapshot) => {
  const identity = holderOf(snapshot, "both")
  return decide(snapshot, { identity, permission: "admin", now: NOW }).permit
}

describe("a token that two identities have", () => {
  it("stays whose it is when the other is changed", () => {
    for (const change of [
      Change.Grant({ id: "ann", machine: "barn", permissions: ["connect"] }),
      Change.Update({ id: "ann", expiresAt: NOW + 1 }),
      Change.Update({ id: "ann", rename: "anna" }),
      Change.Rotate({ id: "ann", token }),
      Change.Revoke({ id: "ann" }),
      Change.Remove({ id: "ann" })
    ]) {
      const { snapshot } = made(shared, change)
      assert.strictEqual(holderOf(snapshot, "both")?.id, "bob", change._tag)
      assert.isFalse(mayAdminister(snapshot), change._tag)
    }
  })

  it("goes with its holder, to whom it counts, and ends for everybody when it ends", () => {
    const renamed = made(shared, Change.Update({ id: "bob", rename: "robert" })).snapshot
    assert.strictEqual(holderOf(renamed, "both")?.id, "robert")
    for (const change of [
      Change.Rotate({ id: "bob", token }),
      Change.Revoke({ id: "bob" }),
      Change.Remove({ id: "bob" })
    ]) {
      const { identities, snapshot } = made(shared, change)
      assert.include(identities, "ann", "it is written")
      assert.strictEqual(identityOf(snapshot, "ann")?.revokedAt, NOW)
      assert.isFalse(mayAdminister(snapshot), change._tag)
      assert.isFalse(mayAdminister(restarted(snapshot)), `${change._tag}, after a restart`)
    }
  })

  it("makes no owner of one who cannot come with it", () => {
    assert.strictEqual(refusal(twoOwners, Change.Remove({ id: "owner-2" })), "last-owner")
    assert.strictEqual(refusal(twoOwners, Change.Update({ id: "owner-2", role: "admin" })), "last-owner")
    const { snapshot } = made(twoOwners, Change.Remove({ id: "owner" }))
    assert.strictEqual(holderOf(snapshot, "both")?.id, "owner-2")
    assert.strictEqual(refusal(twoOwners, Change.Rotate({ id: "owner-2", token })), "made")
  })

  it("is not ended by an admin when an owner has it, too", () => {
    const owners = makeSnapshot(
      7,
      [
        { id: "owner", role: "owner", tokenHash: "owner-1", prefix: "o" },
        { id: "boss", role: "owner", tokenHash: "both", prefix: "b" },
        { id: "bob", role: "user", tokenHash: "both", prefix: "b" }
      ],
      []
    )
    assert.strictEqual(refusal(owners, Change.Revoke({ id: "bob" }), { by: "admin" }), "owner-only")
    assert.strictEqual(refusal(owners, Change.Revoke({ id: "bob" })), "made")
  })

  it("is explained to whoever asks about the other", () => {
    const identity = identityOf(shared, "ann")
    const { permit, rule } = decide(shared, { identity, permission: "admin", now: NOW })
    assert.isFalse(permit)
    assert.include(rule, "counts as theirs; rotate ann")
  })

  it("is the other's when a person takes its holder out of the file, as after a restart", () => {
    const edited = Snapshots.apply(shared, {
      revision: 8,
      identities: new Map([["bob", undefined]]),
      machines: new Map()
    })
    assert.strictEqual(holderOf(edited, "both")?.id, "ann")
  })

  it("stays its holder's when a person edits what else stands in the other's line", () => {
    const ann = { id: "ann", role: "admin", tokenHash: "both", prefix: "b", version: 2 } as const
    const edited = Snapshots.apply(shared, {
      revision: 8,
      identities: new Map([["ann", ann]]),
      machines: new Map()
    })
    assert.strictEqual(identityOf(edited, "ann")?.version, 2)
    assert.strictEqual(holderOf(edited, "both")?.id, "bob")
  })
})
