import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Directory from "../../src/hub/Directory.ts"
import * as Sessions from "../../src/hub/Sessions.ts"
import { encode } from "../../src/protocol/Control.ts"
import { DIRECTORY_MACHINES, ENDING_SLICE, SESSION_INDEX_MAX } from "../../src/protocol/Limits.ts"
import type { CarrierClosed } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { turn } from "../support/turn.ts"
import { frame, identity, KEY, register, sessionIds } from "./harness.ts"

/** A connection: the hub's inbox, and everything the peer was told in the end. */
const connection = () => {
  const [peer, hub] = MemoryCarrier.pair()
  const said: Array<string> = []
  let frames = 0
  let how: CarrierClosed | undefined
  peer.receive({
    binary: () => frames++,
    text: (text) => said.push(text),
    drain: () => {},
    closed: (closed) => (how = closed)
  })
  const send = (message: Uint8Array) => peer.send(message)
  const say = (text: string) => peer.sendText(text)
  return { inbox: Inbox.make(hub), send, say, said, frames: () => frames, how: () => how }
}

const anyNumber = { hub: Infinity, identity: Infinity, bandwidth: Infinity }

const opened = (sessions: typeof Sessions.Sessions.Service, principal: string, machine = "barn", resumes = false) => {
  const client = connection()
  const about = { services: undefined, key: undefined, wgPubKey: KEY, resumes }
  const asked = { ...about, machine, principal: identity(principal), client: client.inbox }
  const session = Either.getOrThrow(sessions.open(asked, anyNumber))
  return { client, session }
}

describe("Sessions", () => {
  it.effect("are found by the token they were asked for with, and end with its access, joined or not", () =>
    Effect.gen(function* () {
      const sessions = Sessions.make(sessionIds)
      const waiting = opened(sessions, "alice")
      const up = opened(sessions, "alice", "mill")
      const agent = connection()
      sessions.pair(up.session, agent.inbox)
      const other = opened(sessions, "bob")
      const { tokenHash } = identity("alice")
      for (const session of sessions.ofToken(tokenHash)) sessions.end(session, "access ended", "alice has left")
      assert.deepStrictEqual(sessions.ofToken(tokenHash), [])
      assert.deepStrictEqual([...sessions.tokens()], [identity("bob").tokenHash])
      assert.strictEqual(sessions.size(), 1)
      assert.isUndefined(sessions.waiting(waiting.session.id, "barn"))
      assert.isDefined(sessions.waiting(other.session.id, "barn"))
      assert.strictEqual((yield* Deferred.await(up.session.ended)).why, "access ended")
      yield* turn
      for (const { client } of [waiting, up]) {
        const message = "access revoked: invalid token: alice has left"
        assert.deepStrictEqual(JSON.parse(client.said.at(-1) ?? ""), { type: "error", message })
        assert.deepStrictEqual([client.how()?.code, client.how()?.reason], [1008, message])
      }
      assert.deepStrictEqual(JSON.parse(agent.said.at(-1) ?? ""), { type: "session-end" })
      assert.strictEqual(agent.how()?.reason, "access revoked: alice has left")
      assert.isUndefined(other.client.how())
    })
  )

  it.effect("can go on elsewhere only if the agent says so of this one, too", () =>
    Effect.gen(function* () {
      const sessions = Sessions.make(sessionIds)
      const said = { type: "wg-pubkey", wgPubKey: KEY, ports: [] } as const
      for (const [capabilities, resumes] of [
        [{ tunnels: [], resumes: true }, true],
        [{ tunnels: [] }, false]
      ] as const) {
        const { client, session } = opened(sessions, "alice", "barn", true)
        const agent = connection()
        sessions.pair(session, agent.inbox)
        agent.say(encode({ ...said, capabilities }))
        // Only the first counts.
        agent.say(encode({ ...said, capabilities: { resumes: true } }))
        yield* turn
        assert.strictEqual(client.said.length, 3)
        assert.strictEqual(session.resumes, resumes)
        sessions.end(session, "client left")
        assert.strictEqual(sessions.detached.find(session.id) !== undefined, resumes)
      }
    })
  )

  for (const [how, endAll] of [
    [
      "when their token is revoked",
      (sessions: typeof Sessions.Sessions.Service) => {
        const { tokenHash } = identity("alice")
        for (const session of sessions.ofToken(tokenHash)) sessions.end(session, "access ended", "alice has left")
      }
    ],
    [
      "when their agent leaves",
      (sessions: typeof Sessions.Sessions.Service) => sessions.endOfMachine("barn", "agent disconnected")
    ]
  ] as const) {
    it.live(`end all in one turn ${how}, and are told a few in each turn`, () =>
      Effect.gen(function* () {
        const sessions = Sessions.make(sessionIds)
        const up = Array.from({ length: SESSION_INDEX_MAX }, () => {
          const { client, session } = opened(sessions, "alice")
          const agent = connection()
          sessions.pair(session, agent.inbox)
          return { client, agent, session }
        })
        for (let i = 0; i < 4; i++) yield* turn
        const ends = up.flatMap(({ agent, client }) => [agent, client])
        const told = () => ends.filter(({ how }) => how() !== undefined).length
        for (const { agent, client } of up) {
          client.send(frame(Buffer.from("too late")))
          agent.send(frame(Buffer.from("too late")))
        }
        endAll(sessions)
        assert.deepStrictEqual([sessions.size(), sessions.countOf("barn")], [0, 0])
        let turns = 0
        let most = 0
        for (let before = told(); before < ends.length; before = told()) {
          yield* turn
          turns++
          most = Math.max(most, told() - before)
        }
        assert.isAtMost(most, 4 * ENDING_SLICE)
        assert.isAtLeast(turns, SESSION_INDEX_MAX / ENDING_SLICE - 2)
        for (const { frames } of ends) assert.strictEqual(frames(), 0)
        for (const { session } of up) {
          const { relayed } = yield* Deferred.await(session.ended)
          assert.deepStrictEqual(relayed, { toAgent: 0, toClient: 0 })
        }
      })
    )
  }

  it.effect("have ids of this node that nobody can guess, found only with the right machine", () =>
    Effect.sync(() => {
      const sessions = Sessions.make(sessionIds)
      const one = opened(sessions, "alice").session
      const two = opened(sessions, "alice").session
      assert.match(one.id, /^0a0b0c0d[0-9a-f]{44}$/)
      assert.notStrictEqual(one.id, two.id)
      assert.isUndefined(sessions.waiting(one.id, "mill"))
      assert.strictEqual(sessions.countOf("barn"), 2)
      sessions.end(one, "client left")
      sessions.end(one, "agent disconnected")
      assert.strictEqual(sessions.countOf("barn"), 1)
      assert.strictEqual(opened(sessions, "bob").session.index, 1)
    })
  )
})

describe("Directory", () => {
  it.effect("forgets whoever is offline longest when it is full, and nobody who is online", () =>
    Effect.gen(function* () {
      const directory = yield* Directory.make
      const [carrier] = MemoryCarrier.pair()
      const agent = { carrier, principal: identity("agent") }
      const said = (name: string) => ({ ...registerOf(name), agentId: `agent-of-${name}` })
      for (let i = 0; i < DIRECTORY_MACHINES; i++) directory.register(`m${i}`, agent, said(`m${i}`))
      assert.strictEqual(directory.register("more", agent, said("more"))._tag, "Full")
      assert.isTrue(directory.leave("m7", agent))
      assert.isTrue(directory.leave("m3", agent))
      assert.isFalse(directory.leave("m3", agent))
      assert.strictEqual(directory.connected(), DIRECTORY_MACHINES - 2)
      assert.strictEqual(directory.register("more", agent, said("more"))._tag, "Registered")
      assert.isUndefined(directory.find("m7"))
      assert.isDefined(directory.find("m3"))
      directory.register("m3", agent, said("m3"))
      assert.strictEqual(directory.register("yet-more", agent, said("yet-more"))._tag, "Full")
      assert.strictEqual(directory.connected(), DIRECTORY_MACHINES)
    })
  )

  it.effect("keeps nothing that another agent said of a machine", () =>
    Effect.gen(function* () {
      const directory = yield* Directory.make
      const [carrier] = MemoryCarrier.pair()
      const agent = { carrier, principal: identity("agent") }
      directory.register("barn", agent, { ...registerOf("barn"), agentId: "one", location: "cellar" })
      directory.leave("barn", agent)
      directory.register("barn", agent, { ...registerOf("barn"), agentId: "one" })
      assert.strictEqual(directory.find("barn")?.about.location, "cellar")
      directory.leave("barn", agent)
      directory.register("barn", agent, { ...registerOf("barn"), agentId: "two" })
      assert.isUndefined(directory.find("barn")?.about.location)
    })
  )
})

const registerOf = (machineName: string) => ({
  type: "register" as const,
  machineName,
  hostname: register().hostname,
  ports: [22]
})
