/** Agents asked through the hub: who may ask what, what goes over the wire, and what comes back when nothing good does. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import {
  DEPLOYED_LOG_LINES,
  FOLLOWERS_PER_AGENT,
  MANAGE_PENDING_PER_AGENT,
  MANAGE_TIMEOUT
} from "../../../src/protocol/Limits.ts"
import { agentOf, dial, type Peer, register } from "../harness.ts"
import { send, sendNow, type Sent, start } from "./administered.ts"

const admin = { as: "adam" }
const owner = { as: "olga" }

/** An agent of ours, as far as management goes. */
const ours = { capabilities: { management: true, machineManagement: true } }

const grant = (hub: { readonly url: string }, id: string, machine: string, permissions: ReadonlyArray<string>) =>
  Effect.map(
    send(hub, "PUT", `/api/admin/access/${id}/machines/${machine}`, { ...admin, body: { permissions } }),
    (done) => assert.strictEqual(done.status, 200)
  )

/** A hub with an agent for barn, and alice, who may manage it. */
const managed = (more: object = ours) =>
  Effect.gen(function* () {
    const hub = yield* start()
    const agent = yield* agentOf(hub, more)
    yield* grant(hub, "alice", "barn", ["connect", "manage"])
    return { hub, agent }
  })

/** Asks for an action in the background; what the agent is told, and the answer. */
const asking = (hub: { readonly url: string }, agent: Peer, action: string, sent: Sent, method = "POST") =>
  Effect.gen(function* () {
    const answer = yield* Effect.fork(sendNow(hub, method, `/api/admin/agents/barn/${action}`, sent))
    const request = yield* agent.text
    assert.strictEqual(request["type"], "mgmt-request")
    return { request, requestId: String(request["requestId"]), answer: Fiber.join(answer) }
  })

const respond = (agent: Peer, requestId: string, more: object = { ok: true }) =>
  agent.say({ type: "mgmt-response", requestId, ...more })

const recorded = (hub: { readonly audit?: unknown; readonly url: string }) =>
  Effect.map(send(hub, "GET", "/api/history?limit=100", admin), ({ json }) =>
    (json["events"] as ReadonlyArray<Record<string, unknown>>)
      .filter(({ event }) => event === "agent-manage")
      .map(({ actor, detail, machineId, outcome, reason }) => ({ actor, machineId, detail, outcome, reason }))
  )

describe("asking an agent", () => {
  it.scoped("sends what a deployed agent knows, and hands back its answer as it is", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({})
      const { answer, request, requestId } = yield* asking(hub, agent, "config-set", {
        as: "alice",
        body: { machine: "barn", fields: { displayName: "x" } }
      })
      assert.match(requestId, /^[0-9a-f]{16}$/)
      assert.deepStrictEqual(request, {
        type: "mgmt-request",
        requestId,
        action: "config-set",
        principal: "alice",
        payload: { machine: "barn", fields: { displayName: "x" } }
      })
      respond(agent, requestId, { ok: false, message: "no", payload: { lines: ["a"] } })
      const { json, status } = yield* answer
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(json, {
        type: "mgmt-response",
        requestId,
        ok: false,
        message: "no",
        payload: { lines: ["a"] }
      })
    })
  )

  it.scoped("takes GET for questions, POST and PUT for everything, and no body for no payload", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      for (const [method, action] of [
        ["GET", "config-get"],
        ["GET", "update-status"],
        ["POST", "restart"],
        ["PUT", "restart"]
      ] as const) {
        const { answer, request, requestId } = yield* asking(hub, agent, action, { as: "alice" }, method)
        assert.notProperty(request, "payload")
        respond(agent, requestId)
        assert.strictEqual((yield* answer).status, 200)
      }
      const wrong = yield* send(hub, "GET", "/api/admin/agents/barn/restart", { as: "alice" })
      assert.strictEqual(wrong.status, 405)
      assert.strictEqual(wrong.headers.get("allow"), "POST, PUT")
      for (const body of ["{", `${"[".repeat(9)}${"]".repeat(9)}`]) {
        const bad = yield* send(hub, "POST", "/api/admin/agents/barn/logs", { as: "alice", body })
        assert.strictEqual(bad.status, 400)
      }
      const large = yield* send(hub, "POST", "/api/admin/agents/barn/logs", { as: "alice", body: "x".repeat(65_537) })
      assert.strictEqual(large.status, 413)
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("takes an answer only from the socket that was asked, once", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      const rival = yield* agentOf(hub, { ...ours, machineName: "mill", agentId: "another", token: "olga-token" })
      const { answer, requestId } = yield* asking(hub, agent, "config-get", { as: "alice" }, "GET")
      respond(rival, requestId, { ok: true, message: "forged" })
      respond(rival, "unheard of")
      yield* rival.settled
      // Not from a socket that is nobody's either: there it is no first message.
      const stranger = yield* dial(hub)
      respond(stranger, requestId, { ok: true, message: "forged" })
      yield* stranger.settled
      respond(agent, requestId, { ok: true, message: "mine" })
      respond(agent, requestId, { ok: true, message: "again" })
      assert.strictEqual((yield* answer).json["message"], "mine")
      yield* agent.settled
    })
  )

  it.scoped("fails clearly when the agent is offline, silent, gone, or answers garbage", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      const silent = yield* asking(hub, agent, "logs", { as: "alice" })
      yield* TestClock.adjust(MANAGE_TIMEOUT)
      const timedOut = yield* silent.answer
      assert.strictEqual(timedOut.status, 504)
      assert.match(String(timedOut.json["error"]), /^barn: .*did not answer within 30 s/)
      // What comes too late is nobody's.
      respond(agent, silent.requestId)

      for (const garbage of [{}, { ok: "yes" }, { ok: true, message: 7 }, { ok: true, payload: nested(20) }]) {
        const { answer, requestId } = yield* asking(hub, agent, "logs", { as: "alice" })
        respond(agent, requestId, garbage)
        const { json, status } = yield* answer
        assert.strictEqual(status, 502)
        assert.match(String(json["error"]), /no answer/)
      }

      const cut = yield* asking(hub, agent, "logs", { as: "alice" })
      agent.ws.send("{ this is no JSON")
      const gone = yield* cut.answer
      assert.strictEqual(gone.status, 502)
      assert.match(String(gone.json["error"]), /left before it answered/)

      const offline = yield* send(hub, "POST", "/api/admin/agents/barn/logs", { as: "alice" })
      assert.strictEqual(offline.status, 503)
      assert.strictEqual(offline.json["offline"], true)
      assert.match(String(offline.json["error"]), /^the agent of barn is not connected; it was last seen \d{4}-/)
    })
  )

  it.scoped("refuses at once what an agent does not take requests", () =>
    Effect.gen(function* () {
      const { hub } = yield* managed({ capabilities: {} })
      const refused = yield* send(hub, "POST", "/api/admin/agents/barn/logs", { as: "alice" })
      assert.strictEqual(refused.status, 409)
      assert.match(String(refused.json["error"]), /takes no requests/)
    })
  )

  it.scoped("is bounded for each agent, followers more tightly than others", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      const path = "/api/admin/agents/barn/logs"
      const open: Array<string> = []
      const ask = (body: object) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("1 second")
          yield* Effect.fork(sendNow(hub, "POST", path, { as: "alice", body }))
          open.push(String((yield* agent.text)["requestId"]))
        })
      for (let i = 0; i < FOLLOWERS_PER_AGENT; i++) yield* ask({ wait: 20_000, after: "x" })
      const follower = yield* send(hub, "POST", path, { as: "alice", body: { wait: 20_000, after: "x" } })
      assert.strictEqual(follower.status, 503)
      assert.match(String(follower.json["error"]), /follow/)
      for (let i = FOLLOWERS_PER_AGENT; i < MANAGE_PENDING_PER_AGENT; i++) yield* ask({})
      const one = yield* send(hub, "POST", path, { as: "alice", body: {} })
      assert.strictEqual(one.status, 503)
      assert.strictEqual(one.headers.get("retry-after"), "1")
      assert.strictEqual(agent.pending, 0)
      // One that is answered makes room.
      respond(agent, open[0] ?? "")
      yield* agent.settled
      yield* ask({})
      for (const id of open) respond(agent, id)
      yield* agent.settled
    })
  )
})

const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])

describe("who may ask", () => {
  it.scoped("whoever holds manage, owners and admins; permission is looked at before existence", () =>
    Effect.gen(function* () {
      const { hub } = yield* managed()
      const statusOf = (machine: string, sent: Sent) =>
        Effect.map(send(hub, "POST", `/api/admin/agents/${machine}/config-get`, sent), ({ status }) => status)
      assert.strictEqual(yield* statusOf("barn", {}), 401)
      assert.strictEqual(yield* statusOf("barn", { as: "gone" }), 401)
      for (const as of ["bob", "agent", "console-viewer"]) {
        assert.strictEqual(yield* statusOf("barn", { as }), 403)
        assert.strictEqual(yield* statusOf("loft", { as }), 403)
      }
      assert.strictEqual(yield* statusOf("loft", { as: "alice" }), 403)
      assert.strictEqual(yield* statusOf("loft", admin), 404)
      const denied = (yield* recorded(hub)).filter(({ outcome }) => outcome === "denied")
      assert.deepInclude(denied, {
        actor: "bob",
        machineId: "barn",
        detail: "denied: config-get",
        outcome: "denied",
        reason: "bob has no manage grant on barn; this needs a manage grant on the machine"
      })
    })
  )

  it.scoped("a manage grant on one machine gives nothing on another machine of the same agent", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({ ...ours, machines: ["barn", "mill", "loft"] })
      yield* agentOf(hub, { ...ours, machineName: "mill", machines: ["barn", "mill", "loft"], token: "olga-token" })
      const refusalOf = (action: string, sent: Sent = { as: "alice" }) =>
        Effect.map(send(hub, "POST", `/api/admin/agents/barn/${action}`, sent), ({ json, status }) => {
          assert.strictEqual(status, 403, action)
          return String(json["error"])
        })
      for (const action of ["restart", "update", "update-channel", "shutdown", "something new"]) {
        // Neither may alice see mill, nor does she learn its name.
        assert.match(
          yield* refusalOf(encodeURIComponent(action)),
          /touches every machine .* no manage grant on another machine$/
        )
      }
      yield* grant(hub, "alice", "mill", ["manage", "connect"])
      assert.match(yield* refusalOf("restart"), /on another machine$/)
      // An agent that names its machines names those that are offline, too.
      yield* grant(hub, "alice", "loft", ["connect"])
      assert.match(yield* refusalOf("restart"), /no manage grant on "loft"$/)
      yield* grant(hub, "alice", "loft", ["manage"])
      const { answer, requestId } = yield* asking(hub, agent, "restart", { as: "alice" })
      respond(agent, requestId)
      assert.strictEqual((yield* answer).status, 200)

      // What is about the machine alone needs no more than that.
      yield* grant(hub, "bob", "barn", ["manage"])
      for (const action of ["config-get", "logs", "update-status", "channel-sources-list"]) {
        const asked = yield* asking(hub, agent, action, { as: "bob" })
        respond(agent, asked.requestId)
        assert.strictEqual((yield* asked.answer).status, 200)
      }
    })
  )

  it.scoped("a deployed agent tells of all its machines, so that all of them must be permitted", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({})
      // Of the same install id, and offline by now.
      const other = yield* agentOf(hub, { machineName: "mill", token: "olga-token" })
      other.ws.terminate()
      for (const action of ["config-get", "logs", "restart"]) {
        const { status } = yield* send(hub, "POST", `/api/admin/agents/barn/${action}`, { as: "alice" })
        assert.strictEqual(status, 403, action)
      }
      const { answer, requestId } = yield* asking(hub, agent, "config-set", {
        as: "alice",
        body: { fields: { tags: [] } }
      })
      respond(agent, requestId)
      assert.strictEqual((yield* answer).status, 200)
    })
  )

  it.scoped("an agent that only claims to be of another's install does not stand in the way", () =>
    Effect.gen(function* () {
      const key = "b".repeat(64)
      const { agent, hub } = yield* managed({ ...ours, identity: key, machines: ["barn"] })
      yield* agentOf(hub, { ...ours, machineName: "mill", identity: "c".repeat(64), token: "olga-token" })
      const { answer, requestId } = yield* asking(hub, agent, "restart", { as: "alice" })
      respond(agent, requestId)
      assert.strictEqual((yield* answer).status, 200)
    })
  )

  it.scoped("nobody sets names and tokens, or another machine than is asked about", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({})
      for (const body of [
        { machine: "mill", fields: { tags: [] } },
        { fields: { Name: "mill" } },
        { fields: { TOKEN: "x" } },
        { fields: { management: true } },
        { fields: [] },
        {},
        "[]"
      ]) {
        const { status } = yield* send(hub, "POST", "/api/admin/agents/barn/config-set", { ...owner, body })
        assert.strictEqual(status, 400, JSON.stringify(body))
      }
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("where an agent's code comes from is for owners", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      for (const [action, body] of [
        ["channel-sources-set", { name: "dev", base: "https://evil.example.com" }],
        ["channel-sources-remove", { name: "dev" }],
        ["update", { manifestBase: "https://evil.example.com" }],
        ["update-channel", { channel: "dev", manifestBase: "https://evil.example.com" }]
      ] as const) {
        for (const as of ["alice", "adam"]) {
          const { json, status } = yield* send(hub, "POST", `/api/admin/agents/barn/${action}`, { as, body })
          assert.strictEqual(status, 403)
          assert.match(String(json["error"]), /for an owner/)
        }
        const { answer, requestId } = yield* asking(hub, agent, action, { ...owner, body })
        respond(agent, requestId)
        assert.strictEqual((yield* answer).status, 200)
      }
    })
  )

  it.scoped("no other spelling chooses it, since deployed agents take a member in any case of letters", () =>
    Effect.gen(function* () {
      const base = "https://evil.example.com"
      const { agent, hub } = yield* managed({})
      for (const [action, member] of [
        ["update", "ManifestBase"],
        ["update", "manifestbase"],
        ["update", "MANIFESTBASE"],
        // Go takes the long s for an s.
        ["update", "manife\u017ftBase"],
        ["update", "__proto__"],
        ["update", "other"],
        ["update-channel", "Manifestbase"],
        ["update-channel", "version"]
      ] as const) {
        for (const sent of [{ as: "alice" }, admin, owner]) {
          const body = `{"channel":"dev",${JSON.stringify(member)}:"${base}"}`
          const { json, status } = yield* send(hub, "POST", `/api/admin/agents/barn/${action}`, { ...sent, body })
          assert.strictEqual(status, 400, `${action} ${member}`)
          assert.include(String(json["error"]), `unknown member "${member}"`)
        }
      }
      for (const body of ["[]", '"v1.0.0"', '{"version":{"manifestBase":"x"}}', '{"version":["v1.0.0"]}']) {
        const { status } = yield* send(hub, "POST", "/api/admin/agents/barn/update", { as: "alice", body })
        assert.strictEqual(status, 400, body)
      }
      // Of a member that is there twice, one is judged and the same one sent.
      const twice = { ...owner, body: `{"manifestBase":"","manifestBase":"${base}"}` }
      const refused = yield* send(hub, "POST", "/api/admin/agents/barn/update", { ...twice, as: "alice" })
      assert.strictEqual(refused.status, 403)
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("what is known of an update is sent, and nothing that says nothing", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({})
      for (const [action, body, payload] of [
        ["update", { version: "v1.2.0", channel: "beta" }, { version: "v1.2.0", channel: "beta" }],
        ["update", { version: "v1.2.0", channel: null, manifestBase: "" }, { version: "v1.2.0" }],
        ["update", {}, {}],
        ["update-channel", { channel: "beta" }, { channel: "beta" }]
      ] as const) {
        const { answer, request, requestId } = yield* asking(hub, agent, action, { as: "alice", body })
        assert.deepStrictEqual(request["payload"], payload)
        respond(agent, requestId)
        assert.strictEqual((yield* answer).status, 200)
      }
    })
  )

  it.scoped("a deployed agent is asked for no more log than a message can hold", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({})
      const payloadFor = (body: object) =>
        Effect.gen(function* () {
          const { answer, request, requestId } = yield* asking(hub, agent, "logs", { ...admin, body })
          respond(agent, requestId)
          yield* answer
          return request["payload"]
        })
      assert.deepStrictEqual(yield* payloadFor({ lines: 1_000, wait: 5, after: "x" }), { lines: DEPLOYED_LOG_LINES })
      assert.deepStrictEqual(yield* payloadFor({ lines: 5 }), { lines: 5 })
      assert.deepStrictEqual(yield* payloadFor({}), { lines: 100 })
    })
  )
})

describe("a right that ends while its holder waits", () => {
  it.scoped("gives nothing any more", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      const { answer, requestId } = yield* asking(hub, agent, "logs", {
        as: "alice",
        body: { wait: 20_000, after: "x" }
      })
      yield* grant(hub, "alice", "barn", ["connect"])
      respond(agent, requestId, { ok: true, payload: { lines: ["not for alice"] } })
      const { json, status } = yield* answer
      assert.strictEqual(status, 403)
      assert.deepStrictEqual(json, { error: "alice has no manage grant on barn" })
    })
  )
})

describe("the record", () => {
  it.scoped("says who did what with what outcome; who follows a log is in it once in a while", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      const ask = (action: string, body: object, said: object) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("1 second")
          const { answer, requestId } = yield* asking(hub, agent, action, { as: "alice", body })
          respond(agent, requestId, said)
          yield* answer
        })
      yield* ask("config-set", { fields: { displayName: "s3cret", tags: [] } }, { ok: true })
      yield* ask("restart", {}, { ok: false, message: "mend the file first" })
      for (let i = 0; i < 5; i++) yield* ask("logs", { after: "x" }, { ok: true })
      const silent = yield* asking(hub, agent, "update", { as: "alice" })
      yield* TestClock.adjust(MANAGE_TIMEOUT)
      yield* silent.answer
      yield* TestClock.adjust("30 seconds")
      yield* ask("logs", { after: "x" }, { ok: true })
      const about = { actor: "alice", machineId: "barn" }
      assert.deepStrictEqual(
        (yield* recorded(hub)).map(({ reason, ...event }) => ({ ...event, ...(reason !== undefined && { reason }) })),
        [
          { ...about, detail: "logs", outcome: "ok" },
          {
            ...about,
            detail: "failed: update",
            outcome: "failed",
            reason: "the agent did not answer within 30 s, and what it did is not known"
          },
          { ...about, detail: "logs", outcome: "ok" },
          { ...about, detail: "failed: restart", outcome: "failed", reason: "mend the file first" },
          { ...about, detail: "config-set displayName,tags", outcome: "ok" }
        ]
      )
    })
  )
})

describe("presence", () => {
  it.scoped("of a machine, for whoever may see or manage it; nobody learns names by asking", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed()
      const path = "/api/admin/agents/barn"
      const { json, status } = yield* send(hub, "GET", path, { as: "alice" })
      assert.strictEqual(status, 200)
      assert.deepInclude(json, { id: "barn", agentConnected: true, agentVersion: "v0.17.0", manageable: true })
      assert.match(String(json["registeredAt"]), /^\S+\.\d{3}Z$/)
      assert.match(String(json["lastSeen"]), /^\d{4}-\S+Z$/)
      for (const as of ["agent", "gone"]) {
        assert.include([401, 404], (yield* send(hub, "GET", path, { as })).status)
        assert.strictEqual((yield* send(hub, "GET", "/api/admin/agents/loft", { as: "agent" })).status, 404)
      }
      agent.ws.terminate()
      yield* agent.closed
      const gone = yield* Effect.repeat(send(hub, "GET", path, { as: "alice" }), {
        until: (answer) => answer.json["agentConnected"] === false
      })
      assert.strictEqual(gone.json["manageable"], false)
    })
  )

  it.scoped("of all machines that one may manage", () =>
    Effect.gen(function* () {
      const { hub } = yield* managed()
      yield* agentOf(hub, { ...ours, machineName: "mill", agentId: "another", token: "olga-token" })
      const idsOf = (as: string) =>
        Effect.map(send(hub, "GET", "/api/admin/agents", { as }), ({ json, status }) =>
          status === 200 ? (json["agents"] as ReadonlyArray<{ readonly id: string }>).map(({ id }) => id) : status
        )
      assert.deepStrictEqual(yield* idsOf("adam"), ["barn", "mill"])
      assert.deepStrictEqual(yield* idsOf("alice"), ["barn"])
      assert.strictEqual(yield* idsOf("agent"), 403)
    })
  )

  it.scoped("an agent of ours that registers again can take away what it said of itself", () =>
    Effect.gen(function* () {
      const { agent, hub } = yield* managed({ ...ours, identity: "b".repeat(64) })
      const displayName = Effect.map(send(hub, "GET", "/api/status", { as: "alice" }), ({ json }) =>
        (json["machines"] as ReadonlyArray<Record<string, unknown>>).map((machine) => machine["displayName"])
      )
      assert.deepStrictEqual(yield* displayName, ["Barn PC"])
      agent.say(register({ ...ours, identity: "b".repeat(64), displayName: undefined }))
      assert.strictEqual((yield* agent.text)["type"], "registered")
      assert.deepStrictEqual(yield* displayName, ["Barn PC"])
      agent.say(register({ ...ours, identity: "b".repeat(64), displayName: "" }))
      assert.strictEqual((yield* agent.text)["type"], "registered")
      assert.deepStrictEqual(yield* displayName, [null])
    })
  )
})
