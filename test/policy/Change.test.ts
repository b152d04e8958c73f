import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { apply, Change } from "../../src/policy/Change.ts"
import type { ChangeContext } from "../../src/policy/Change.ts"
import {
  ANY_MACHINE,
  grantsOf,
  grantsOn,
  hasLastingOwner,
  holderOf,
  identitiesOf,
  identityOf,
  machinePermissions,
  machinesOf,
  makeSnapshot
} from "../../src/policy/Identity.ts"
import type { GrantEntry, Role, Snapshot } from "../../src/policy/Identity.ts"
import { decide } from "../../src/policy/Policy.ts"
import type { Permission } from "../../src/policy/Policy.ts"

const NOW = 1_000_000

const start = makeSnapshot(
  7,
  [
    { id: "owner", role: "owner", tokenHash: "owner-1", prefix: "o" },
    { id: "ann", role: "admin", tokenHash: "ann-1", prefix: "a" },
    { id: "bob", role: "user", tokenHash: "bob-1", prefix: "b" },
    { id: "cy", role: "user", tokenHash: "cy-1", prefix: "c", version: 4 },
    { id: "wall", role: "viewer", tokenHash: "wall-1", prefix: "w" }
  ],
  [
    { id: "bob", machine: "barn", permission: "connect", services: ["SSH"] },
    { id: "bob", machine: "barn", permission: "manage" },
    { id: "bob", machine: ANY_MACHINE, permission: "connect", expiresAt: NOW + 5 },
    { id: "cy", machine: "barn", permission: "register" }
  ]
)

const Ids = Schema.Literal("owner", "ann", "bob", "cy", "dee")
const Machines = Schema.Literal("barn", "mill", ANY_MACHINE)
const Roles = Schema.Literal("owner", "admin", "user")
const PermissionWord = Schema.Literal(...machinePermissions)
const Instant = Schema.Literal(NOW - 1, NOW + 1, NOW + 1_000)
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })
const tagged = <Tag extends string, Fields extends Schema.Struct.Fields>(tag: Tag, fields: Fields) =>
  Schema.Struct({ _tag: Schema.Literal(tag), id: Ids, ...fields })
const Token = Schema.Struct({ tokenHash: Schema.Literal("t1", "t2", "t3", "t4"), prefix: Schema.Literal("t") })
const Grants = Schema.Array(
  Schema.Struct({ machine: Machines, permission: PermissionWord, expiresAt: optional(Instant) })
).pipe(Schema.maxItems(3))

const AnyChange = Schema.Union(
  tagged("Add", { role: Roles, token: Token, expiresAt: optional(Instant), grants: Grants }),
  tagged("Revoke", {}),
  tagged("Rotate", { token: Token }),
  tagged("Update", {
    rename: optional(Ids),
    role: optional(Roles),
    expiresAt: optional(Schema.Union(Instant, Schema.Null))
  }),
  tagged("Remove", {}),
  tagged("Grant", {
    machine: Machines,
    permissions: Schema.Array(PermissionWord).pipe(Schema.maxItems(3)),
    services: optional(Schema.NonEmptyArray(Schema.Literal("SSH", "web"))),
    expiresAt: optional(Instant)
  }),
  tagged("RevokeMachine", { machine: Machines })
)
const AnyStep = Schema.Struct({ change: AnyChange, by: Schema.Literal("owner", "admin"), until: optional(Instant) })
const Steps = Schema.Array(AnyStep).pipe(Schema.maxItems(12))

/** A token is made from 32 random bytes, so no two identities ever have one; neither do the tests'. */
const withFreshToken = (change: Change, step: number): Change =>
  change._tag === "Add" || change._tag === "Rotate"
    ? { ...change, token: { ...change.token, tokenHash: `${change.token.tokenHash}-${step}` } }
    : change

/** Every state on the way, the refused changes left out, and what each step was. */
const walk = (steps: typeof Steps.Type) => {
  const seen: Array<{
    before: Snapshot
    after: Snapshot
    change: Change
    by: "owner" | "admin"
    until: number
    tokens: Set<string>
  }> = []
  let before = start
  for (const [index, { by, change: raw, until }] of steps.entries()) {
    const change = withFreshToken(raw, index)
    const result = apply(before, change, { by, now: NOW, ...(until !== undefined && { until }) })
    if (Either.isLeft(result)) continue
    const { snapshot: after, tokens } = result.right
    seen.push({ before, after, change, by, until: until ?? Infinity, tokens: new Set(tokens) })
    before = result.right.snapshot
  }
  return seen
}

const everything = (snapshot: Snapshot) => ({
  identities: identitiesOf(snapshot),
  grants: identitiesOf(snapshot).flatMap(({ id }) => grantsOf(snapshot, id))
})

const asked: ReadonlyArray<Permission> = [...machinePermissions, "view", "admin"]

const questions = (snapshot: Snapshot, tokenHash: string) =>
  asked.flatMap((permission) =>
    ["barn", "mill", "unseen"].map((machine) =>
      decide(snapshot, {
        identity: { id: "whoever", tokenHash },
        permission,
        machine,
        now: NOW
      })
    )
  )

describe("Change", () => {
  it.prop("an owner whom no expiry takes away always stands", [Steps], ([steps]) => {
    for (const { after } of walk(steps)) assert.isTrue(hasLastingOwner(after))
  })

  it.prop("an admin makes no owner, and touches none", [Steps], ([steps]) => {
    for (const { after, before, by } of walk(steps)) {
      if (by !== "admin") continue
      const owners = (snapshot: Snapshot) =>
        identitiesOf(snapshot)
          .filter(({ role }) => role === "owner")
          .map((identity) => ({ ...identity, version: 0 }))
      assert.deepStrictEqual(owners(after), owners(before))
    }
  })

  it.prop(
    "nobody whose own token expires gives an administrator more time, or takes such a token",
    [Steps],
    ([steps]) => {
      for (const { after, before, until } of walk(steps)) {
        for (const identity of identitiesOf(after)) {
          const { expiresAt = Infinity, id, role, tokenHash } = identity
          if ((role !== "owner" && role !== "admin") || expiresAt <= until) continue
          const was = holderOf(before, tokenHash)
          assert.isDefined(was, `${id} has a new token that lasts longer`)
          assert.isTrue(was?.role === "owner" || was?.role === "admin")
          assert.isAtLeast(was?.expiresAt ?? Infinity, expiresAt)
        }
      }
    }
  )

  it.prop("the indexes of a snapshot say what its identities and grants say", [Steps], ([steps]) => {
    for (const { after } of walk(steps)) {
      const { grants, identities } = everything(after)
      const fresh = makeSnapshot(after.revision, identities, grants)
      assert.deepStrictEqual(everything(fresh), { identities, grants })
      for (const { id, tokenHash } of identities) {
        assert.strictEqual(holderOf(after, tokenHash)?.id, id)
        assert.deepStrictEqual(machinesOf(after, id), machinesOf(fresh, id))
      }
      assert.strictEqual(after.byTokenHash.size, identities.length)
      assert.strictEqual(after.machines.size, fresh.machines.size)
      assert.strictEqual(after.machinesOf.size, fresh.machinesOf.size)
    }
  })

  it.prop("what can have ended is named, so that it is asked again", [Steps], ([steps]) => {
    for (const { after, before, tokens } of walk(steps)) {
      for (const { tokenHash } of identitiesOf(before)) {
        if (tokens.has(tokenHash)) continue
        assert.deepStrictEqual(questions(after, tokenHash), questions(before, tokenHash))
      }
    }
  })

  it.prop("every change that is made counts, once, in revision and version", [Steps], ([steps]) => {
    for (const { after, before, change } of walk(steps)) {
      assert.strictEqual(after.revision, before.revision + 1)
      if (change._tag === "Remove" || change._tag === "Add") continue
      const id = change._tag === "Update" ? (change.rename ?? change.id) : change.id
      assert.strictEqual(identityOf(after, id)?.version, (identityOf(before, change.id)?.version ?? 0) + 1)
    }
  })

  it.prop("only the identity that a change names is changed", [Steps], ([steps]) => {
    for (const { after, before, change } of walk(steps)) {
      const named = new Set([change.id, change._tag === "Update" ? (change.rename ?? change.id) : change.id])
      const others = (snapshot: Snapshot) => identitiesOf(snapshot).filter(({ id }) => !named.has(id))
      assert.deepStrictEqual(others(after), others(before))
      for (const { id } of others(before)) assert.deepStrictEqual(grantsOf(after, id), grantsOf(before, id))
    }
  })

  it.prop("removing a grant never widens", [Steps, Ids, Machines], ([steps, id, machine]) => {
    const before = walk(steps).at(-1)?.after ?? start
    const holder = identityOf(before, id)
    const result = apply(before, Change.RevokeMachine({ id, machine }), { by: "owner", now: NOW })
    if (holder === undefined || Either.isLeft(result)) return
    const held = questions(before, holder.tokenHash)
    for (const [i, decision] of questions(result.right.snapshot, holder.tokenHash).entries()) {
      if (decision.permit) assert.isTrue(held[i]?.permit)
    }
  })

  const made = (change: Change, context: Partial<ChangeContext> = {}) =>
    Either.getOrThrow(apply(start, change, { by: "owner", now: NOW, ...context }))
  const refusal = (change: Change, by: Role = "owner", more: Partial<ChangeContext> = {}) =>
    Either.flip(apply(start, change, { by, now: NOW, ...more })).pipe(
      Either.map(({ kind }) => kind),
      Either.getOrElse(() => "made" as const)
    )
  const token = { tokenHash: "new", prefix: "n" }

  it("rotation keeps every grant, the role and the expiry, and undoes a revocation", () => {
    const revoked = made(Change.Revoke({ id: "bob" })).snapshot
    assert.isFalse(questions(revoked, "bob-1").some(({ permit }) => permit))
    const { snapshot } = Either.getOrThrow(
      apply(revoked, Change.Rotate({ id: "bob", token }), { by: "admin", now: NOW })
    )
    assert.deepStrictEqual(grantsOf(snapshot, "bob"), grantsOf(start, "bob"))
    assert.isUndefined(identityOf(snapshot, "bob")?.revokedAt)
    assert.isUndefined(holderOf(snapshot, "bob-1"))
    assert.strictEqual(holderOf(snapshot, "new")?.id, "bob")
  })

  it("a rename keeps token and grants, and whoever came with the token may go on", () => {
    const { snapshot } = made(Change.Update({ id: "bob", rename: "robert" }))
    assert.isUndefined(identityOf(snapshot, "bob"))
    assert.deepStrictEqual(grantsOf(snapshot, "bob"), [])
    assert.deepStrictEqual(
      grantsOf(snapshot, "robert"),
      grantsOf(start, "bob").map((grant) => ({ ...grant, id: "robert" }))
    )
    assert.isTrue(
      decide(snapshot, {
        identity: { id: "bob", tokenHash: "bob-1" },
        permission: "connect",
        machine: "barn",
        now: NOW
      }).permit
    )
  })

  it("a grant sets exactly what it lists, and says what it replaced", () => {
    const { replaced, snapshot } = made(Change.Grant({ id: "bob", machine: "barn", permissions: ["register"] }))
    assert.deepStrictEqual(
      grantsOf(snapshot, "bob").filter(({ machine }) => machine === "barn"),
      [{ id: "bob", machine: "barn", permission: "register" }]
    )
    assert.deepStrictEqual(
      replaced.map(({ permission, services }: GrantEntry) => [permission, services]),
      [
        ["connect", ["SSH"]],
        ["manage", undefined]
      ]
    )
    assert.isTrue(grantsOn(snapshot, "barn")?.register.has("cy"))
  })

  it("grants that a person left in the file without their identity are nobody's later", () => {
    const left = makeSnapshot(
      7,
      [
        { id: "owner", role: "owner", tokenHash: "owner-1", prefix: "o" },
        { id: "cy", role: "user", tokenHash: "cy-1", prefix: "c" }
      ],
      [{ id: "dee", machine: "barn", permission: "connect" }]
    )
    for (const change of [
      Change.Add({ id: "dee", role: "user", token, grants: [] }),
      Change.Update({ id: "cy", rename: "dee" })
    ]) {
      const { machines, snapshot } = Either.getOrThrow(apply(left, change, { by: "owner", now: NOW }))
      assert.deepStrictEqual(grantsOf(snapshot, "dee"), [])
      assert.deepStrictEqual(machines, ["barn"])
    }
  })

  it("a rename goes on from the version that the new name had, when that is higher", () => {
    const renamed = (lastVersion: number) =>
      Either.getOrThrow(
        apply(start, Change.Update({ id: "cy", rename: "dee" }), {
          by: "owner",
          now: NOW,
          lastVersion: (id) => (id === "dee" ? lastVersion : 0)
        })
      )
    assert.strictEqual(renamed(9).identity.version, 10)
    assert.strictEqual(identityOf(renamed(9).snapshot, "dee")?.version, 10)
    assert.strictEqual(renamed(2).identity.version, 5)
  })

  it("a new identity goes on from the version that its name had", () => {
    const add = Change.Add({ id: "dee", role: "user", token, grants: [] })
    assert.strictEqual(made(add).identity.version, 1)
    assert.strictEqual(made(add, { lastVersion: () => 9 }).identity.version, 10)
  })

  const second = Change.Add({ id: "dee", role: "owner", token, grants: [] })
  const third = Change.Add({ id: "dee", role: "admin", token, grants: [], expiresAt: NOW + 9 })
  const user = Change.Add({ id: "dee", role: "user", token, grants: [] })
  const forever = Change.Update({ id: "ann", expiresAt: null })
  const rename = Change.Update({ id: "cy", rename: "bob" })
  const mill = Change.RevokeMachine({ id: "cy", machine: "mill" })
  const demote = Change.Update({ id: "owner", role: "admin" })
  const removeOwner = Change.Remove({ id: "owner" })
  const table: ReadonlyArray<readonly [string, string, string]> = [
    ["a second identity of a name", refusal(Change.Add({ id: "bob", role: "user", token, grants: [] })), "exists"],
    ["a rename to a name that is taken", refusal(Change.Update({ id: "bob", rename: "cy" })), "exists"],
    ["a rename to its own name", refusal(Change.Update({ id: "bob", rename: "bob" })), "made"],
    ["a change of nobody", refusal(Change.Remove({ id: "dee" })), "unknown-identity"],
    ["removing the last owner", refusal(Change.Remove({ id: "owner" })), "last-owner"],
    ["revoking the last owner", refusal(Change.Revoke({ id: "owner" })), "last-owner"],
    ["demoting the last owner", refusal(Change.Update({ id: "owner", role: "admin" })), "last-owner"],
    ["letting the last owner expire", refusal(Change.Update({ id: "owner", expiresAt: NOW + 1 })), "last-owner"],
    ["renaming the last owner", refusal(Change.Update({ id: "owner", rename: "boss" })), "made"],
    ["rotating the last owner", refusal(Change.Rotate({ id: "owner", token })), "made"],
    ["an owner made by an admin", refusal(second, "admin"), "owner-only"],
    ["an owner made by an owner", refusal(second), "made"],
    ["an owner rotated by an admin", refusal(Change.Rotate({ id: "owner", token }), "admin"), "owner-only"],
    ["an owner renamed by an admin", refusal(Change.Update({ id: "owner", rename: "x" }), "admin"), "owner-only"],
    ["an admin promoted by an admin", refusal(Change.Update({ id: "ann", role: "owner" }), "admin"), "owner-only"],
    ["an admin removed by an admin", refusal(Change.Remove({ id: "ann" }), "admin"), "made"],
    ["taking what was never given", refusal(Change.RevokeMachine({ id: "cy", machine: "mill" })), "no-grant"],
    ["a version that was overtaken", refusal(Change.Revoke({ id: "cy" }), "owner", { ifVersion: 3 }), "stale"],
    ["a rename from a version that was overtaken", refusal(rename, "owner", { ifVersion: 3 }), "stale"],
    ["taking what somebody took meanwhile", refusal(mill, "owner", { ifVersion: 3 }), "stale"],
    ["demoting the last owner from such a version", refusal(demote, "owner", { ifVersion: 3 }), "stale"],
    ["removing the last owner from such a version", refusal(removeOwner, "owner", { ifVersion: 3 }), "last-owner"],
    ["a role for a viewer", refusal(Change.Update({ id: "wall", role: "admin" })), "viewer"],
    ["another name for a viewer", refusal(Change.Update({ id: "wall", rename: "door" })), "made"],
    ["an admin who makes itself last", refusal(forever, "admin", { until: NOW + 5 }), "not-allowed"],
    ["an admin who makes another who lasts longer", refusal(third, "admin", { until: NOW + 5 }), "not-allowed"],
    ["an admin who makes another who does not", refusal(third, "admin", { until: NOW + 9 }), "made"],
    [
      "an admin who takes another's token, which lasts",
      refusal(Change.Rotate({ id: "ann", token }), "admin", { until: NOW + 5 }),
      "not-allowed"
    ],
    ["an admin who expires, and a user who does not", refusal(user, "admin", { until: NOW + 5 }), "made"],
    ["the version as it is", refusal(Change.Revoke({ id: "cy" }), "owner", { ifVersion: 4 }), "made"]
  ]
  it.each(table)("%s: %s", (_, found, expected) => assert.strictEqual(found, expected))
})
