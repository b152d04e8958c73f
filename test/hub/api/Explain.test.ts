/** Whatever is asked, explain says what would be decided, by the rule that decides. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { explain } from "../../../src/hub/api/Explain.ts"
import * as Authority from "../../../src/hub/Authority.ts"
import * as Directory from "../../../src/hub/Directory.ts"
import { ANY_MACHINE, identityOf, machinePermissions, makeSnapshot } from "../../../src/policy/Identity.ts"
import { decide } from "../../../src/policy/Policy.ts"
import { Explanation } from "../../../src/protocol/api/Access.ts"
import { formatInstant } from "../../../src/protocol/Duration.ts"
import * as AuditMemory from "../../../src/store/AuditMemory.ts"
import { layerMemory } from "../../../src/store/IdentityStore.ts"
import { pair } from "../../../src/transport/MemoryCarrier.ts"
import { AGENT_ID, agentOf, connect, dial, identity } from "../harness.ts"
import { send, START, start } from "./administered.ts"

const MINUTE = 60_000
const Ids = Schema.Literal("ann", "bob", "cy")
const Machines = Schema.Literal("barn", "mill", ANY_MACHINE)
const Ends = Schema.optionalWith(Schema.Literal(START - MINUTE, START, START + MINUTE), { exact: true })
const AnyIdentity = Schema.Struct({
  id: Ids,
  role: Schema.Literal("owner", "admin", "user", "viewer"),
  tokenHash: Schema.Literal("t1", "t2", "t3"),
  prefix: Schema.Literal(""),
  expiresAt: Ends,
  revokedAt: Schema.optionalWith(Schema.Literal(START - MINUTE), { exact: true })
})
const AnyGrant = Schema.Struct({
  id: Ids,
  machine: Machines,
  permission: Schema.Literal(...machinePermissions),
  services: Schema.optionalWith(Schema.NonEmptyArray(Schema.Literal("SSH", "web", "5432")), { exact: true }),
  expiresAt: Ends
})
const World = Schema.Struct({ identities: Schema.Array(AnyIdentity), grants: Schema.Array(AnyGrant) })
/** What each machine's agent is like; nobody registered `unseen`. */
const Agents = Schema.Struct({ barn: Schema.Literal("enforcing", "old"), mill: Schema.Literal("away", "old") })
const Asked = Schema.Struct({
  id: Ids,
  machine: Schema.Literal("barn", "mill", "unseen"),
  permission: Schema.Literal(...machinePermissions, "view", "admin"),
  service: Schema.optionalWith(Schema.Literal("ssh", "22", "web", "5432", "vnc"), { exact: true }),
  at: Schema.optionalWith(Schema.Literal(START, START + MINUTE, START + 2 * MINUTE), { exact: true })
})

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

const registerAll = (directory: typeof Directory.Directory.Service, agents: typeof Agents.Type) => {
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

describe("/api/admin/explain", () => {
  it.effect.prop("always agrees with the decision", [World, Agents, Asked], ([world, agents, asked]) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(START)
      const snapshot = makeSnapshot(1, [...world.identities, olga], world.grants)
      const directory = yield* Directory.Directory
      registerAll(directory, agents)
      const { at = START, id, machine, permission, service } = asked
      const answer = yield* explain(request, {
        id,
        machine,
        permission,
        ...(service !== undefined && { service }),
        ...(asked.at !== undefined && { at: formatInstant(at) })
      }).pipe(
        Effect.provideService(HttpRouter.RouteContext, route),
        Effect.provide(Layer.provideMerge(Authority.layer, Layer.merge(layerMemory(snapshot), AuditMemory.layer))),
        Effect.either
      )
      const who = identityOf(snapshot, id)
      if (who === undefined) return assert.strictEqual(answer._tag === "Left" && answer.left.status, 404)
      const named = (machine === "unseen" ? unknown : services)[service ?? ""]
      const decision = decide(snapshot, {
        identity: who,
        permission,
        machine,
        now: at,
        ...(named && { service: named })
      })
      // What a client meets that connects: the agent that is there would not hold it to its services.
      const isRefused =
        permission === "connect" && machine !== "unseen" && agents[machine] === "old" && decision.services !== undefined
      assert(answer._tag === "Right")
      const { body } = answer.right
      const said = decode(body._tag === "Uint8Array" ? Buffer.from(body.body).toString() : "")
      assert.strictEqual(said.permit, decision.permit && !isRefused)
      assert.isTrue(said.rule.startsWith(decision.rule))
      assert.deepStrictEqual(said.services, isRefused ? undefined : decision.services)
      const until = decision.until === undefined || isRefused ? undefined : formatInstant(decision.until)
      assert.strictEqual(said.until, until)
      assert.strictEqual(said.at, formatInstant(at))
    }).pipe(Effect.provide(Directory.layer), Effect.scoped)
  )

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
        assert.match(String(no["rule"]), /^bob has connect on barn for ssh; .*too old to enforce; upgrade telad there$/)
        assert.match(String((yield* tryIt)["message"]), /too old to enforce/)
        assert.isTrue((yield* ask("view"))["permit"])
        old.ws.terminate()
        yield* agentOf(hub, { capabilities: { serviceGrants: true } })
        const yes = yield* ask("connect")
        assert.deepStrictEqual([yes["permit"], yes["services"]], [true, ["ssh"]])
      })
  )
})
