/** Whatever is asked, explain says what would be decided, by the rule that decides. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { explain } from "../../../src/hub/api/Explain.ts"
import * as Authority from "../../../src/hub/Authority.ts"
import * as Directory from "../../../src/hub/Directory.ts"
import { ANY_MACHINE, identityOf, machinePermissions, makeSnapshot } from "../../../src/policy/Identity.ts"
import type { GrantEntry, Snapshot, StoredIdentity } from "../../../src/policy/Identity.ts"
import { decide } from "../../../src/policy/Policy.ts"
import { Explanation } from "../../../src/protocol/api/Access.ts"
import { formatInstant } from "../../../src/protocol/Duration.ts"
import * as AuditMemory from "../../../src/store/AuditMemory.ts"
import { layerMemory } from "../../../src/store/IdentityStore.ts"
import { pair } from "../../../src/transport/MemoryCarrier.ts"
import { AGENT_ID, agentOf, connect, dial, identity } from "../harness.ts"
import { send, START, start } from "./administered.ts"

const MINUTE = 60_000

type Generated<A> = A extends FastCheck.Arbitrary<infer Value> ? Value : never

const { array, constantFrom, option, record } = FastCheck
const ids = constantFrom("ann", "bob")
/** Most are users, so that grants have a say. */
const roles = constantFrom(...(["owner", "admin", "user", "user", "user", "user", "user", "viewer"] as const))
const ends = constantFrom(undefined, undefined, undefined, START - MINUTE, START, START + MINUTE)
const anyIdentity = record({
  id: ids,
  role: roles,
  /** Whether it has the token of others, too. */
  isShared: constantFrom(false, false, false, true),
  expiresAt: ends,
  revokedAt: constantFrom(undefined, undefined, undefined, START - MINUTE)
}).map(({ expiresAt, isShared, revokedAt, ...rest }): StoredIdentity => ({
  ...rest,
  tokenHash: isShared ? "shared" : `token-of-${rest.id}`,
  prefix: "",
  ...(expiresAt !== undefined && { expiresAt }),
  ...(revokedAt !== undefined && { revokedAt })
}))
const anyGrant = record({
  id: ids,
  machine: constantFrom("barn", "barn", "mill", ANY_MACHINE),
  permission: constantFrom(...([...machinePermissions, "connect"] as const)),
  services: option(array(constantFrom("SSH", "web", "5432"), { minLength: 1, maxLength: 2 }), {
    nil: undefined,
    freq: 8
  }),
  expiresAt: ends
}).map(({ expiresAt, services, ...rest }): GrantEntry => ({
  ...rest,
  ...(services !== undefined && { services }),
  ...(expiresAt !== undefined && { expiresAt })
}))
const anyWorld = record({
  identities: array(anyIdentity, { minLength: 3, maxLength: 6 }),
  grants: array(anyGrant, { maxLength: 10 })
}).map(({ grants, identities }) => ({
  // One who may connect to some services, whatever else there is.
  identities: [...identities, { id: "ann", role: "user", tokenHash: "token-of-ann", prefix: "" } as const],
  grants: [...grants, { id: "ann", machine: "barn", permission: "connect", services: ["SSH"] } as const]
}))
/** What each machine's agent is like; nobody registered `unseen`. */
const anyAgents = record({ barn: constantFrom("enforcing", "old", "old"), mill: constantFrom("away", "old") })
const anyAsked = record({
  id: ids,
  machine: constantFrom(...(["barn", "barn", "mill", "unseen"] as const)),
  permission: constantFrom(...([...machinePermissions, "connect", "connect", "connect", "view", "admin"] as const)),
  service: constantFrom(undefined, undefined, undefined, "ssh", "22", "web", "5432", "vnc"),
  at: constantFrom(undefined, undefined, START, START + MINUTE, START + 2 * MINUTE)
})

type Agents = Generated<typeof anyAgents>
type Asked = Generated<typeof anyAsked>

/** The ports of what a machine offers, by name. */
const offered = [
  { port: 22, name: "SSH" },
  { port: 8080, name: "web" }
]
const services: Readonly<Record<string, { readonly port: number; readonly name: string }>> = {
  ssh: { port: 22, name: "SSH" },
  "22": { port: 22, name: "SSH" },
  web: { port: 8080, name: "web" },
  "5432": { port: 5432, name: "" },
  vnc: { port: 0, name: "vnc" }
}
/** The same where nobody knows what it offers. */
const unknown: typeof services = {
  ...services,
  ssh: { port: 0, name: "ssh" },
  "22": { port: 22, name: "" },
  web: { port: 0, name: "web" }
}

const olga = identity("olga", "owner")

const registerAll = (directory: typeof Directory.Directory.Service, agents: Agents) => {
  for (const name of ["barn", "mill"] as const) {
    const [carrier] = pair()
    const agent = { carrier, principal: olga }
    directory.register(name, agent, {
      type: "register",
      protocolVersion: 1,
      machineName: name,
      agentId: AGENT_ID,
      tags: [],
      services: offered,
      capabilities: agents[name] === "enforcing" ? { serviceGrants: true } : {}
    })
    if (agents[name] === "away") directory.leave(name, agent)
  }
}

const route = HttpRouter.RouteContext.of({
  [HttpRouter.RouteContextTypeId]: HttpRouter.RouteContextTypeId,
  params: {},
  route: HttpRouter.makeRoute("GET", "/api/admin/explain", HttpServerResponse.empty())
})

const request = HttpServerRequest.fromWeb(
  new Request("http://hub/api/admin/explain", { headers: { authorization: "Bearer olga-token" } })
)

const decode = Schema.decodeUnknownSync(Schema.parseJson(Explanation))

/** How many questions had each answer. */
const seen = { permitted: 0, denied: 0, refused: 0 }

const agrees = (snapshot: Snapshot, agents: Agents, asked: Asked) =>
  Effect.gen(function* () {
    const { at = START, id, machine, permission, service } = asked
    const answer = yield* Effect.either(
      explain(request, {
        id,
        machine,
        permission,
        ...(service !== undefined && { service }),
        ...(asked.at !== undefined && { at: formatInstant(at) })
      })
    )
    const who = identityOf(snapshot, id)
    if (who === undefined) return assert.strictEqual(answer._tag === "Left" && answer.left.status, 404)
    const named = (machine === "unseen" ? unknown : services)[service ?? ""]
    const decision = decide(snapshot, { identity: who, permission, machine, now: at, ...(named && { service: named }) })
    // What a client meets that connects: the agent that is there would not hold it to its services.
    const isOld = machine !== "unseen" && agents[machine] === "old"
    const isRefused = permission === "connect" && isOld && decision.services !== undefined
    seen[isRefused ? "refused" : decision.permit ? "permitted" : "denied"] += 1
    assert(answer._tag === "Right")
    const { body } = answer.right
    const said = decode(body._tag === "Uint8Array" ? Buffer.from(body.body).toString() : "")
    assert.strictEqual(said.permit, decision.permit && !isRefused)
    assert.isTrue(said.rule.startsWith(decision.rule))
    assert.deepStrictEqual(said.services, isRefused ? undefined : decision.services)
    assert.strictEqual(
      said.until,
      decision.until === undefined || isRefused ? undefined : formatInstant(decision.until)
    )
    assert.strictEqual(said.at, formatInstant(at))
  })

describe("/api/admin/explain", () => {
  it.effect.prop(
    "always agrees with the decision",
    [anyWorld, anyAgents, array(anyAsked, { minLength: 15, maxLength: 15 })],
    ([world, agents, questions]) =>
      Effect.gen(function* () {
        yield* TestClock.setTime(START)
        const snapshot = makeSnapshot(1, [...world.identities, olga], world.grants)
        registerAll(yield* Directory.Directory, agents)
        yield* Effect.forEach(questions, (asked) => agrees(snapshot, agents, asked)).pipe(
          Effect.provideService(HttpRouter.RouteContext, route),
          Effect.provide(Layer.provideMerge(Authority.layer, Layer.merge(layerMemory(snapshot), AuditMemory.layer)))
        )
      }).pipe(Effect.provide(Directory.layer), Effect.scoped),
    { fastCheck: { numRuns: 30 } }
  )

  it("had questions of every kind", () => {
    for (const [kind, times] of Object.entries(seen)) assert.isAbove(times, 0, `${kind} ${JSON.stringify(seen)}`)
  })

  it.scoped(
    "says no where a grant names services and the agent does not hold clients to them, as a client is told",
    () =>
      Effect.gen(function* () {
        const hub = yield* start()
        const ask = (permission: string) =>
          Effect.map(
            send(hub, "GET", `/api/admin/explain?id=bob&machine=barn&permission=${permission}`, { as: "adam" }),
            ({ json }) => json
          )
        const tryIt = Effect.gen(function* () {
          const client = yield* dial(hub)
          client.say(connect({ token: "bob-token" }))
          return yield* client.text
        })
        assert.isTrue((yield* ask("connect"))["permit"])
        const old = yield* agentOf(hub)
        const no = yield* ask("connect")
        assert.deepStrictEqual([no["permit"], no["services"], no["until"]], [false, undefined, undefined])
        assert.match(String(no["rule"]), /^bob has connect on \* for ssh; .*too old to enforce; upgrade telad there$/)
        assert.match(String((yield* tryIt)["message"]), /too old to enforce/)
        assert.isTrue((yield* ask("view"))["permit"])
        old.ws.terminate()
        yield* agentOf(hub, { capabilities: { serviceGrants: true } })
        const yes = yield* ask("connect")
        assert.deepStrictEqual([yes["permit"], yes["services"]], [true, ["ssh"]])
      })
  )
})
