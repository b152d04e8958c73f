import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import {
  ANY_MACHINE,
  holderOf,
  identify,
  identitiesOf,
  machinePermissions,
  makeSnapshot
} from "../../src/policy/Identity.ts"
import type { GrantEntry, Identity, Role, Snapshot } from "../../src/policy/Identity.ts"
import { covers, decide } from "../../src/policy/Policy.ts"
import type { Permission } from "../../src/policy/Policy.ts"

const identity = (id: string, role: Role, more: Partial<Identity> = {}): Identity => ({
  id,
  role,
  tokenHash: `hash-of-${id}`,
  prefix: id,
  version: 1,
  ...more
})

const NOW = 1_000_000
const permissions: ReadonlyArray<Permission> = [...machinePermissions, "view", "admin"]
const ssh = { port: 22, name: "" }
const web = { port: 8080, name: "web" }

const Ids = Schema.Literal("ann", "bob", "cy")
const Machines = Schema.Literal("barn", "mill", ANY_MACHINE)
const ServiceNames = Schema.NonEmptyArray(Schema.Literal("SSH", "web", "5432"))
const AnyGrant = Schema.Struct({
  id: Ids,
  machine: Machines,
  permission: Schema.Literal(...machinePermissions),
  services: Schema.optionalWith(ServiceNames, { exact: true }),
  expiresAt: Schema.optionalWith(Schema.Literal(NOW - 1, NOW, NOW + 1), { exact: true })
})
const AnyIdentity = Schema.Struct({
  id: Ids,
  role: Schema.Literal("owner", "admin", "user", "viewer"),
  tokenHash: Schema.Literal("t1", "t2", "t3"),
  prefix: Schema.Literal(""),
  expiresAt: Schema.optionalWith(Schema.Literal(NOW - 1, NOW, NOW + 1), { exact: true }),
  revokedAt: Schema.optionalWith(Schema.Literal(NOW - 5), { exact: true })
})
const World = Schema.Struct({ identities: Schema.Array(AnyIdentity), grants: Schema.Array(AnyGrant) })

/** Every answer a snapshot has for the given identities. */
const answers = (snapshot: Snapshot, asking: ReadonlyArray<Pick<Identity, "id" | "tokenHash">>) =>
  asking.flatMap((who) =>
    permissions.flatMap((permission) =>
      ["barn", "mill", "unseen"].flatMap((machine) =>
        [undefined, ssh, web].map((service) =>
          decide(snapshot, { identity: who, permission, machine, now: NOW, ...(service && { service }) })
        )
      )
    )
  )

describe("Policy", () => {
  it.prop("another grant never takes a permission away", [World, AnyGrant], ([world, grant]) => {
    const before = makeSnapshot(1, world.identities, world.grants)
    const after = makeSnapshot(2, world.identities, [...world.grants, grant])
    const held = answers(before, world.identities)
    const now = answers(after, world.identities)
    for (const [i, decision] of held.entries()) {
      if (!decision.permit) continue
      assert.isTrue(now[i]?.permit, decision.rule)
      for (const service of [ssh, web])
        if (covers(decision, service)) assert.isTrue(covers(now[i] ?? decision, service))
    }
  })

  it.prop("an answer stays as it is until the instant that it names", [World], ([world]) => {
    const snapshot = makeSnapshot(1, world.identities, world.grants)
    for (const who of world.identities) {
      for (const permission of permissions) {
        for (const machine of ["barn", "mill", ANY_MACHINE]) {
          const ask = (now: number) => decide(snapshot, { identity: who, permission, machine, now })
          const { permit, services, until } = ask(NOW)
          if (!permit) continue
          const { permit: later, services: then } = ask(until === undefined ? Number.MAX_SAFE_INTEGER : until - 1)
          assert.deepStrictEqual([later, then], [permit, services])
        }
      }
    }
  })

  it("does not end with a grant that another one makes needless", () => {
    const ann = identity("ann", "user")
    const limited: GrantEntry = {
      id: "ann",
      machine: "barn",
      permission: "connect",
      services: ["ssh"],
      expiresAt: NOW + 1
    }
    const open: GrantEntry = { id: "ann", machine: ANY_MACHINE, permission: "connect" }
    const untilOf = (...grants: ReadonlyArray<GrantEntry>) =>
      decide(makeSnapshot(1, [ann], grants), { identity: ann, permission: "connect", machine: "barn", now: NOW }).until
    assert.strictEqual(untilOf(limited), NOW + 1)
    assert.isUndefined(untilOf(limited, open))
    assert.strictEqual(untilOf(limited, { ...open, expiresAt: NOW + 5 }), NOW + 5)
  })

  it("names the grant that decides, when a machine has one and every machine has another", () => {
    const grant = (machine: string, services?: ReadonlyArray<string>): GrantEntry => ({
      id: "ann",
      machine,
      permission: "connect",
      ...(services !== undefined && { services })
    })
    const ruleOf = (...grants: ReadonlyArray<GrantEntry>) => {
      const ann = identity("ann", "user")
      const question = { identity: ann, permission: "connect", machine: "barn", now: NOW, service: ssh } as const
      return decide(makeSnapshot(1, [ann], grants), question).rule
    }
    assert.strictEqual(ruleOf(grant("barn"), grant(ANY_MACHINE)), "ann has connect on barn")
    assert.strictEqual(ruleOf(grant("barn", ["ssh"]), grant(ANY_MACHINE)), "ann has connect on *")
    assert.strictEqual(ruleOf(grant("barn"), grant(ANY_MACHINE, ["ssh"])), "ann has connect on barn")
    assert.strictEqual(ruleOf(grant(ANY_MACHINE)), "ann has connect on *")
    assert.strictEqual(
      ruleOf(grant("barn", ["ssh"]), grant(ANY_MACHINE, ["web"])),
      "ann has connect on barn and * for ssh, web"
    )
  })

  it.prop("who is removed, rotated, revoked or expired may do nothing", [World], ([world]) => {
    const without = makeSnapshot(1, [], world.grants)
    assert.isTrue(answers(without, world.identities).every((decision) => !decision.permit))
    const rotated = world.identities.map((each) => ({ ...each, tokenHash: `${each.tokenHash}-new` }))
    const after = makeSnapshot(2, rotated, world.grants)
    assert.isTrue(answers(after, world.identities).every((decision) => !decision.permit))
    const snapshot = makeSnapshot(1, world.identities, world.grants)
    for (const who of identitiesOf(snapshot)) {
      if (holderOf(snapshot, who.tokenHash)?.id !== who.id) continue
      if (who.revokedAt === undefined && (who.expiresAt ?? NOW + 1) > NOW) continue
      assert.isTrue(answers(snapshot, [who]).every((decision) => !decision.permit))
      assert.isUndefined(identify(makeSnapshot(1, [who], []), who.tokenHash, NOW))
    }
  })

  it.prop("a limited permission never reaches beyond its services", [World], ([world]) => {
    const snapshot = makeSnapshot(1, world.identities, world.grants)
    for (const who of world.identities) {
      for (const permission of machinePermissions) {
        const whole = decide(snapshot, { identity: who, permission, machine: "barn", now: NOW })
        for (const service of [ssh, web]) {
          const one = decide(snapshot, { identity: who, permission, machine: "barn", service, now: NOW })
          assert.strictEqual(one.permit, covers(whole, service))
        }
      }
    }
  })

  it.prop("no grant, no access: whoever is no owner or admin holds what they may do", [World], ([world]) => {
    const snapshot = makeSnapshot(1, world.identities, world.grants)
    for (const who of world.identities) {
      const holder = holderOf(snapshot, who.tokenHash)
      for (const permission of permissions) {
        for (const machine of ["barn", "mill", "unseen"]) {
          const decision = decide(snapshot, { identity: who, permission, machine, now: NOW })
          if (holder?.role === "owner" || holder?.role === "admin") continue
          const needed = permission === "view" ? "connect" : permission
          const standing = world.grants.filter(
            (grant) =>
              grant.id === holder?.id &&
              grant.permission === needed &&
              (grant.machine === machine || grant.machine === ANY_MACHINE) &&
              (grant.expiresAt ?? NOW + 1) > NOW
          )
          if (standing.length === 0) assert.isFalse(decision.permit, decision.rule)
          // And with everything of theirs taken away, nothing is left to anybody.
          const bare = makeSnapshot(
            2,
            world.identities,
            world.grants.filter(({ id }) => id !== holder?.id)
          )
          const without = decide(bare, { identity: who, permission, machine, now: NOW })
          assert.isFalse(without.permit, without.rule)
        }
      }
    }
  })

  it.prop("only owners and admins administer, and they may do all", [World], ([world]) => {
    const snapshot = makeSnapshot(1, world.identities, world.grants)
    for (const who of identitiesOf(snapshot)) {
      // Of two with one token, the later one is meant by it.
      if (holderOf(snapshot, who.tokenHash)?.id !== who.id) continue
      const admin = decide(snapshot, { identity: who, permission: "admin", now: NOW })
      assert.strictEqual(
        admin.permit,
        (who.role === "owner" || who.role === "admin") &&
          who.revokedAt === undefined &&
          (who.expiresAt === undefined || who.expiresAt > NOW)
      )
      if (admin.permit) assert.isTrue(answers(snapshot, [who]).every((decision) => decision.permit))
    }
  })

  const table: ReadonlyArray<readonly [string, Role, ReadonlyArray<GrantEntry>, Permission, string, boolean]> = [
    ["a user without a grant", "user", [], "connect", "barn", false],
    ["a user with the grant", "user", [{ id: "ann", machine: "barn", permission: "connect" }], "connect", "barn", true],
    ["a grant elsewhere", "user", [{ id: "ann", machine: "mill", permission: "connect" }], "connect", "barn", false],
    [
      "somebody else's grant",
      "user",
      [{ id: "bob", machine: "barn", permission: "connect" }],
      "connect",
      "barn",
      false
    ],
    ["register on *", "user", [{ id: "ann", machine: "*", permission: "register" }], "register", "barn", true],
    ["connect shows", "user", [{ id: "ann", machine: "barn", permission: "connect" }], "view", "barn", true],
    ["register does not show", "user", [{ id: "ann", machine: "barn", permission: "register" }], "view", "barn", false],
    [
      "manage does not connect",
      "user",
      [{ id: "ann", machine: "barn", permission: "manage" }],
      "connect",
      "barn",
      false
    ],
    ["a viewer views", "viewer", [{ id: "ann", machine: "*", permission: "connect" }], "view", "barn", true],
    [
      "a viewer never connects",
      "viewer",
      [{ id: "ann", machine: "*", permission: "connect" }],
      "connect",
      "barn",
      false
    ],
    [
      "a viewer never registers",
      "viewer",
      [{ id: "ann", machine: "*", permission: "register" }],
      "register",
      "barn",
      false
    ],
    [
      "an expired grant",
      "user",
      [{ id: "ann", machine: "barn", permission: "connect", expiresAt: NOW }],
      "connect",
      "barn",
      false
    ]
  ]
  for (const [what, role, grants, permission, machine, permitted] of table) {
    it(what, () => {
      const ann = identity("ann", role)
      const decision = decide(makeSnapshot(1, [ann, identity("bob", "user")], grants), {
        identity: ann,
        permission,
        machine,
        now: NOW
      })
      assert.strictEqual(decision.permit, permitted, decision.rule)
      assert.notStrictEqual(decision.rule, "")
    })
  }

  it("names services without case, and ports by number", () => {
    const ann = identity("ann", "user")
    const asks = (services: ReadonlyArray<string>, service: { port: number; name: string }) =>
      decide(makeSnapshot(1, [ann], [{ id: "ann", machine: "barn", permission: "connect", services }]), {
        identity: ann,
        permission: "connect",
        machine: "barn",
        service,
        now: NOW
      }).permit
    assert.isTrue(asks(["ssh"], ssh))
    assert.isTrue(asks(["22"], ssh))
    assert.isTrue(asks(["WEB"], web))
    assert.isFalse(asks(["ssh"], web))
    assert.isFalse(asks(["22"], { port: 2222, name: "22x" }))
  })

  it("finds a token by its digest, and nobody for an unknown one", () => {
    const snapshot = makeSnapshot(1, [identity("ann", "user")], [])
    assert.strictEqual(identify(snapshot, "hash-of-ann", NOW)?.id, "ann")
    assert.isUndefined(identify(snapshot, "hash-of-eve", NOW))
    assert.isFalse(decide(snapshot, { identity: undefined, permission: "view", machine: "barn", now: NOW }).permit)
  })
})
