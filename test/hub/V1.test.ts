/**
 * The hub as deployed agents and clients see it, message by message (spec: wire 1 to 4): raw JSON and frames over real
 * WebSockets, none of our own code at the other end.
 */
import * as Crypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import type { Peer } from "./harness.ts"
import { agentOf, ask, connect, dial, frame, KEY, register, session, startHub, statusOf, tcp } from "./harness.ts"

/** Sizes of WireGuard's messages: initiation, response, cookie reply, keepalive, and the largest at an MTU of 1100. */
const wireguardSizes = [148, 92, 64, 32, 1132]

const refusal = (peer: Peer, text: string | RegExp) =>
  Effect.gen(function* () {
    const message = yield* peer.text
    assert.strictEqual(message["type"], "error")
    assert.match(String(message["message"]), typeof text === "string" ? new RegExp(`^${text}$`) : text)
    const { code, reason } = yield* peer.closed
    assert.strictEqual(code, 1008)
    assert.strictEqual(reason, message["message"])
  })

describe("registration", () => {
  it.scoped("is answered with the machine's name, on / and on /ws alike, and never with defaultUpdate", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      for (const path of ["/", "/ws", "/anything/else"]) {
        const agent = yield* dial(hub, path)
        assert.strictEqual(agent.ws.protocol, "")
        assert.strictEqual(agent.ws.extensions, "")
        agent.say(register())
        assert.deepStrictEqual(yield* agent.text, { type: "registered", machineId: "barn" })
      }
      assert.deepStrictEqual(yield* hub.counts, { machines: 1, sessions: 0, unauthenticated: 0, held: 0 })
    })
  )

  it.scoped("needs an agentId, a token that is known, and the right to register", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const say = (more: object) => Effect.tap(dial(hub), (peer) => Effect.sync(() => peer.say(register(more))))
      yield* refusal(yield* say({ agentId: undefined }), "register: agentId is required")
      yield* refusal(yield* say({ agentId: "" }), "register: agentId is required")
      yield* refusal(yield* say({ token: "alice-token" }), "Access denied")
      yield* refusal(yield* say({ token: "console-viewer-token" }), "Access denied")
      yield* refusal(yield* say({ machineName: "loft" }), "Access denied")
      for (const token of ["wrong", "", undefined, "expired-token"]) {
        // A deployed agent would stop for good on either of these, and a mistyped token is mended at the hub.
        yield* refusal(yield* say({ token }), /^(?!.*(access denied|invalid token)).*token/i)
      }
      for (const machineName of ["*", "", "a\u0007b", "x".repeat(129)]) {
        yield* refusal(yield* say({ machineName, token: "owner-token" }), /machineName/)
      }
      assert.strictEqual((yield* hub.counts).machines, 0)
    })
  )

  it.scoped("of the same agent on a new socket replaces the old one, without a close frame", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const old = yield* agentOf(hub)
      const fresh = yield* agentOf(hub)
      assert.strictEqual((yield* old.closed).code, 1006)
      const { sessionId } = yield* ask(hub, fresh)
      assert.isAtLeast(sessionId.length, 8)
      assert.strictEqual((yield* hub.counts).machines, 1)
    })
  )

  it.scoped("of another agent is refused while the first is online, and taken when that has left", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const first = yield* agentOf(hub, { identity: "1".repeat(64) })
      const other = { agentId: "another-install", token: "rival-token" }
      const second = yield* dial(hub)
      second.say(register(other))
      yield* refusal(second, /^(?!.*(access denied|invalid token)).*already registered by another agent/i)
      const cloned = yield* dial(hub)
      cloned.say(register({ identity: "2".repeat(64) }))
      yield* refusal(cloned, /already registered by another agent/)
      const { client } = yield* ask(hub, first)
      first.ws.terminate()
      assert.strictEqual((yield* client.closed).reason, "agent disconnected")
      yield* agentOf(hub, other)
    })
  )

  it.scoped("may be repeated on its socket to tell new settings, for the same machine only", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      agent.say({
        type: "register",
        machineName: "barn",
        agentId: register().agentId,
        token: "agent-token",
        location: "attic",
        ports: [80]
      })
      assert.deepStrictEqual(yield* agent.text, { type: "registered", machineId: "barn" })
      const [machine] = (yield* statusOf(hub, "owner-token")).machines
      assert.strictEqual(machine?.location, "attic")
      assert.strictEqual(machine?.displayName, "Barn PC")
      assert.deepStrictEqual(machine?.services, [{ port: 80, proto: "tcp", name: "HTTP", description: "" }])
      agent.say(register({ machineName: "mill" }))
      yield* refusal(agent, /another machine/)
    })
  )

  it.scoped("skips unknown types and members, and what the hub has no use for", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* dial(hub)
      agent.say({ type: "from-the-future", machineName: 7 })
      agent.say({ noType: true })
      agent.say({ type: "keepalive" })
      agent.say(register({ colour: "red", ports: null, services: null }))
      assert.deepStrictEqual(yield* agent.text, { type: "registered", machineId: "barn" })
      agent.say({ type: "mgmt-response", requestId: "x" })
      yield* agent.settled
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("comes in fragments of 4 KiB when it is long", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* dial(hub)
      const text = `${JSON.stringify(register({ fromTheFuture: "f".repeat(30_000) }))}\n`
      for (let at = 0; at < text.length; at += 4_096) {
        agent.ws.send(text.slice(at, at + 4_096), { fin: at + 4_096 >= text.length })
      }
      assert.deepStrictEqual(yield* agent.text, { type: "registered", machineId: "barn" })
    })
  )
})

describe("signalling before a role is taken", () => {
  it.scoped("must be JSON in text messages", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const babble: ReadonlyArray<(peer: Peer) => void> = [
        (peer) => peer.frame(frame(Buffer.from("x"))),
        (peer) => peer.ws.send("{"),
        (peer) => peer.ws.send("[]"),
        (peer) => peer.ws.send("null"),
        (peer) => peer.ws.send(""),
        (peer) => peer.say({ type: "register", agentId: 7 })
      ]
      for (const say of babble) {
        const peer = yield* dial(hub)
        say(peer)
        const { code, reason } = yield* peer.closed
        assert.strictEqual(code, 1002)
        assert.strictEqual(reason, "Expected JSON for first message")
      }
      const agent = yield* agentOf(hub)
      agent.frame(frame(Buffer.from("x")))
      assert.strictEqual((yield* agent.closed).code, 1002)
      const again = yield* agentOf(hub)
      const { client } = yield* ask(hub, again)
      client.frame(frame(Buffer.from("too early")))
      assert.strictEqual((yield* client.closed).code, 1002)
    })
  )

  it.scoped("is refused from another site's page", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { host } = new URL(hub.url)
      for (const origin of ["http://evil.example", `http://evil.example:${host}`, "null", `ftp://${host}`]) {
        const error = yield* Effect.flip(dial(hub, "/", { origin }))
        assert.match(error.message, /403/)
      }
      yield* dial(hub, "/", { origin: `http://${host}` })
      yield* dial(hub, "/", { origin: `https://${host}` })
      const claimed = yield* Effect.flip(dial(hub, "/api/status"))
      assert.match(claimed.message, /400/)
    })
  )

  it.scoped("answers pings with what they carry", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const peer = yield* agentOf(hub)
      yield* peer.settled
    })
  )
})

describe("connect", () => {
  it.scoped("tells the agent, then the agent's session socket, then the client; both under one index", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const { client, index, joined, ready, request, sessionId } = yield* session(hub, agent)
      assert.strictEqual(request["type"], "session-request")
      assert.strictEqual(request["wgPubKey"], KEY)
      assert.match(sessionId, /^[0-9a-f]{52}$/)
      assert.strictEqual(index, 1)
      assert.deepStrictEqual(ready, { type: "ready", sessionIdx: 1, principal: "alice" })
      assert.deepStrictEqual(request["client"], { principal: "alice", revision: 7 })
      yield* client.settled
      yield* joined.settled
      assert.strictEqual(client.pending + joined.pending + agent.pending, 0)
    })
  )

  it.scoped("hands the client's key and its limits to an agent that can hold it to them", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub, { capabilities: { serviceGrants: true } })
      const key = "b".repeat(64)
      const { request } = yield* ask(hub, agent, { token: "sshonly-token", identity: key })
      const client = { key, principal: "sshonly", services: ["ssh"], streams: 1_024, revision: 7 }
      assert.deepStrictEqual(request["client"], client)
    })
  )

  it.scoped("with a grant for some services is refused when the agent cannot hold it to them", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const client = yield* dial(hub)
      client.say(connect({ token: "sshonly-token" }))
      yield* refusal(client, /limited to some services.*upgrade telad/)
      yield* agent.settled
      assert.strictEqual(agent.pending, 0)
    })
  )

  it.scoped("is refused in the deployed words, and tells the unauthorised nothing of what exists", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const say = (more: object) => Effect.tap(dial(hub), (peer) => Effect.sync(() => peer.say(connect(more))))
      for (const token of ["wrong", "", undefined, "expired-token"])
        yield* refusal(yield* say({ token }), /invalid token/)
      for (const token of ["nobody-token", "agent-token", "console-viewer-token"]) {
        yield* refusal(yield* say({ token }), "Access denied")
        yield* refusal(yield* say({ token, machineId: "no-such-machine" }), "Access denied")
      }
      for (const machineId of ["no-such-machine", "", "*", "a\nb", undefined]) {
        yield* refusal(yield* say({ token: "owner-token", machineId }), "Machine not found")
        yield* refusal(yield* say({ token: "nobody-token", machineId }), "Access denied")
      }
      for (const wgPubKey of ["short", `${KEY}\nprivate_key=1`, undefined])
        yield* refusal(yield* say({ wgPubKey }), /wgPubKey/)
      agent.ws.close()
      yield* agent.closed
      // Not expected back any more.
      yield* TestClock.adjust("61 seconds")
      yield* refusal(yield* say({}), "Machine not found")
    })
  )

  it.scoped("gives out the lowest index that is free, and no more than 254", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const one = yield* ask(hub, agent)
      const two = yield* ask(hub, agent)
      const three = yield* ask(hub, agent)
      assert.deepStrictEqual([one.index, two.index, three.index], [1, 2, 3])
      two.client.ws.close()
      yield* two.client.closed
      assert.strictEqual((yield* ask(hub, agent)).index, 2)
      for (let index = 4; index <= 254; index++) assert.strictEqual((yield* ask(hub, agent)).index, index)
      const more = yield* dial(hub)
      more.say(connect())
      yield* refusal(more, /^Too many sessions for this machine \(max 254\)$/)
    })
  )
})

describe("session-join", () => {
  it.scoped("is accepted once, for the session's own machine", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      yield* agentOf(hub, { machineName: "mill" })
      const say = (sessionId: string | undefined, machineId = "barn") =>
        Effect.tap(dial(hub), (peer) => Effect.sync(() => peer.say({ type: "session-join", machineId, sessionId })))
      const asked = yield* ask(hub, agent)
      yield* refusal(yield* say(asked.sessionId, "no-such-machine"), "Machine not found")
      yield* refusal(yield* say(asked.sessionId, "mill"), "Session not found")
      yield* refusal(yield* say("9f1c2b3a4d5e6f70"), "Session not found")
      yield* refusal(yield* say(undefined), "Session not found")
      const joined = yield* say(asked.sessionId)
      assert.strictEqual((yield* joined.text)["type"], "session-start")
      yield* refusal(yield* say(asked.sessionId), "Session not found")
      assert.strictEqual((yield* asked.client.text)["type"], "ready")
      const left = yield* ask(hub, agent)
      left.client.ws.close()
      yield* left.client.closed
      yield* refusal(yield* say(left.sessionId), "Session not found")
    })
  )

  it.scoped("is refused when the client's access has ended meanwhile", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const { client, sessionId } = yield* ask(hub, agent, { token: "brief-token" })
      yield* TestClock.adjust("6 seconds")
      const joined = yield* dial(hub)
      joined.say({ type: "session-join", machineId: "barn", sessionId })
      yield* refusal(joined, "Session not found")
      yield* refusal(client, "access revoked: invalid token: the token of brief has expired")
      assert.strictEqual((yield* hub.counts).sessions, 0)
    })
  )

  it.scoped("is waited for 30 seconds", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const { client, sessionId } = yield* ask(hub, agent)
      yield* TestClock.adjust("29 seconds")
      yield* client.settled
      assert.strictEqual(client.pending, 0)
      yield* TestClock.adjust("1 second")
      const { code, reason } = yield* client.closed
      assert.deepStrictEqual([code, reason], [1001, "agent did not join session"])
      const late = yield* dial(hub)
      late.say({ type: "session-join", machineId: "barn", sessionId })
      yield* refusal(late, "Session not found")
    })
  )
})

describe("a paired session", () => {
  it.scoped("carries WireGuard's messages both ways, and counts the hop", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      for (const size of wireguardSizes) {
        const payload = Crypto.randomBytes(size)
        client.frame(frame(payload))
        assert.deepStrictEqual(yield* joined.binary, frame(payload, 7))
        joined.frame(frame(payload, 0, 1))
        assert.deepStrictEqual(yield* client.binary, frame(payload, 7, 1))
      }
    })
  )

  it.scoped("rewrites the hop byte and nothing else", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      const said = Buffer.from("540000deadbeef6272696467652d72656c61792d74657374", "hex")
      client.frame(said)
      assert.strictEqual((yield* joined.binary).toString("hex"), `5407${said.toString("hex").slice(4)}`)
      for (const [hop, arrives] of [
        [8, 7],
        [5, 4],
        [2, 1],
        [255, 7]
      ] as const) {
        client.frame(frame(Buffer.from("x"), hop))
        assert.strictEqual((yield* joined.binary)[1], arrives)
      }
      client.frame(frame(Buffer.from("the last hop"), 1))
      client.frame(frame(Buffer.from("after it")))
      assert.deepStrictEqual(yield* joined.binary, frame(Buffer.from("after it"), 7))
    })
  )

  it.scoped("carries fragmented and large messages whole", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      const large = frame(Crypto.randomBytes(200_000))
      for (let at = 0; at < large.length; at += 4_096) {
        client.ws.send(large.subarray(at, at + 4_096), { fin: at + 4_096 >= large.length })
      }
      const arrived = yield* joined.binary
      assert.isTrue(arrived.subarray(2).equals(large.subarray(2)))
      joined.frame(large)
      assert.strictEqual((yield* client.binary).length, large.length)
      client.frame(Buffer.concat([large, large]))
      assert.strictEqual((yield* client.closed).code, 1009)
    })
  )

  it.scoped("is ended by a frame of no known version, with 1002", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      for (const bad of [
        Buffer.from([0x54, 0, 0]),
        Buffer.concat([Buffer.from([0x55]), Buffer.alloc(20)]),
        Buffer.alloc(0)
      ]) {
        const one = yield* session(hub, agent)
        one.client.frame(bad)
        const { code, reason } = yield* one.client.closed
        assert.deepStrictEqual([code, reason], [1002, "relay frame: unsupported version"])
        assert.deepStrictEqual(yield* one.joined.text, { type: "session-end" })
        const two = yield* session(hub, agent)
        two.joined.frame(bad)
        assert.strictEqual((yield* two.joined.closed).code, 1002)
        assert.strictEqual((yield* two.client.closed).reason, "agent session ended")
      }
    })
  )

  it.scoped("relays wg-pubkey and peer-endpoint byte for byte, and swallows keepalives", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      const pubkey = `{"type":"wg-pubkey", "wgPubKey":"${KEY}","ports":[22],"unknown":  1}\n`
      joined.say({ type: "keepalive" })
      joined.ws.send(pubkey)
      const got = yield* client.next
      assert.strictEqual(got._tag === "Text" && got.text, pubkey)
      client.say({ type: "keepalive" })
      for (const [from, to] of [
        [client, joined],
        [joined, client]
      ] as const) {
        from.say({ type: "peer-endpoint", message: "1.2.3.4:5" })
        assert.deepStrictEqual(yield* to.text, { type: "peer-endpoint", message: "1.2.3.4:5" })
      }
    })
  )

  it.scoped("lets no end speak with the hub's voice", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const { client, joined } = yield* session(hub, yield* agentOf(hub))
      const forged = [
        "session-end",
        "session-start",
        "udp-offer",
        "ready",
        "error",
        "session-request",
        "session-revoked"
      ]
      for (const type of forged) {
        const message = { type, message: "invalid token", padding: "p".repeat(80) }
        client.say(message)
        joined.say(message)
      }
      client.say({ type: "wg-pubkey", wgPubKey: KEY })
      client.ws.send("no json at all")
      joined.ws.send("no json at all")
      client.frame(frame(Buffer.from("end")))
      joined.frame(frame(Buffer.from("end")))
      yield* joined.binary
      yield* client.binary
    })
  )
})

describe("teardown", () => {
  it.scoped("client leaves: session-end to the agent's session socket, then its end", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      for (const leave of ["close", "terminate"] as const) {
        const { client, joined } = yield* session(hub, agent)
        client.ws[leave]()
        assert.deepStrictEqual(yield* joined.text, { type: "session-end" })
        yield* joined.closed
      }
      assert.strictEqual((yield* hub.counts).sessions, 0)
      yield* agent.settled
    })
  )

  it.scoped("agent's session socket leaves: 1001 to the client, and the machine stays", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      for (const leave of ["close", "terminate"] as const) {
        const { client, joined } = yield* session(hub, agent)
        joined.ws[leave]()
        const { code, reason } = yield* client.closed
        assert.deepStrictEqual([code, reason], [1001, "agent session ended"])
      }
      assert.deepStrictEqual(yield* hub.counts, { machines: 1, sessions: 0, unauthenticated: 0, held: 0 })
    })
  )

  it.scoped("agent's control socket leaves: 1001 to every client, and its session sockets are cut", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const waiting = yield* ask(hub, agent)
      const up = yield* session(hub, agent)
      agent.ws.terminate()
      for (const client of [waiting.client, up.client]) {
        const { code, reason } = yield* client.closed
        assert.deepStrictEqual([code, reason], [1001, "agent disconnected"])
      }
      assert.strictEqual((yield* up.joined.closed).code, 1006)
      assert.deepStrictEqual(yield* hub.counts, { machines: 0, sessions: 0, unauthenticated: 0, held: 0 })
    })
  )

  it.scoped("same agent on a new socket: joined sessions go on, others end", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      const agent = yield* agentOf(hub)
      const up = yield* session(hub, agent)
      const waiting = yield* ask(hub, agent)
      yield* agentOf(hub)
      assert.strictEqual((yield* waiting.client.closed).reason, "agent disconnected")
      up.client.frame(frame(Buffer.from("still here")))
      assert.deepStrictEqual(yield* up.joined.binary, frame(Buffer.from("still here"), 7))
    })
  )

  it.scoped("hub leaves: 1001 to everybody", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const hub = yield* Scope.extend(startHub(), scope)
      const agent = yield* agentOf(hub)
      const up = yield* session(hub, agent)
      const silent = yield* tcp(hub)
      yield* Scope.close(scope, Exit.void)
      for (const peer of [agent, up.client, up.joined]) assert.strictEqual((yield* peer.closed).code, 1001)
      yield* silent.ended
      assert.match((yield* Effect.flip(dial(hub))).message, /ECONNREFUSED/)
    })
  )

  it.scoped("hub leaves within seconds, whatever its peers do", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const hub = yield* Scope.extend(startHub(), scope)
      const agent = yield* agentOf(hub)
      // Reads nothing any more, so it never answers the close frame.
      agent.ws.pause()
      const slow = yield* tcp(hub)
      slow.socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-")
      yield* Scope.close(scope, Exit.void)
      yield* slow.ended
    })
  )
})
