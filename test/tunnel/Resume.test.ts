/** A link that goes on in another carrier: exactly once, and only for the two that began it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { generate, type KeyPair } from "../../src/crypto/KeyPair.ts"
import { KEPT_RESERVE } from "../../src/protocol/Limits.ts"
import { ResetCode } from "../../src/protocol/StreamReset.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import * as Stream1 from "../../src/tunnel/Stream1.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import { bound } from "../support/carriers.ts"
import { type Collected, collect } from "../support/collect.ts"
import { turn } from "../support/turn.ts"
import { agentHello, agentIdentity, clientIdentity, session } from "./support.ts"

/** An agent that keeps its links, and what its clients do with it, a carrier at a time. */
const keeping = (agentBudget = new KeepBudget(), clientBudget = new KeepBudget()) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const links = new Map<string, Stream1.Kept>()
    const principals = new Map<string, string>()
    const keeper: Stream1.Keeper = {
      grace: 1_000,
      goOn: () => {},
      account: (client, principal) => agentBudget.open(principal ?? client),
      find: ({ attempt, client, link, principal }) => {
        const kept = links.get(link)
        if (kept === undefined || kept.link.isOver) return Either.left("gone")
        if (kept.peer !== client || principals.get(link) !== principal) return Either.left("not yours")
        return attempt > kept.attempt ? Either.right(kept) : Either.left("late")
      }
    }
    const respond = (carrier: Carrier, principal = "alice") =>
      Stream1.respond({
        inbox: Inbox.make(carrier),
        session,
        identity: agentIdentity,
        scope,
        keeper,
        authorise: () => Effect.succeed({ ...agentHello, principal })
      }).pipe(
        Effect.tap((responded) =>
          Effect.sync(() => {
            if (responded._tag === "Begun" && responded.kept !== undefined) {
              links.set(responded.kept.id, responded.kept)
              principals.set(responded.kept.id, principal)
            }
          })
        )
      )
    const initiate = (carrier: Carrier, kept?: Stream1.Kept, identity: KeyPair = clientIdentity) =>
      Stream1.initiate({
        inbox: Inbox.make(carrier),
        session,
        identity,
        scope,
        software: "tela/test",
        account: () => clientBudget.open("barn"),
        kept
      })
    /** One handshake over a fresh pair. */
    const meet = (kept?: Stream1.Kept, options: { readonly identity?: KeyPair; readonly principal?: string } = {}) =>
      Effect.gen(function* () {
        const pair = MemoryCarrier.pair("client", "agent")
        const [client, agent] = yield* Effect.all(
          [
            Effect.exit(initiate(pair[0], kept, options.identity)),
            Effect.exit(respond(pair[1], options.principal)).pipe(
              Effect.tap((exit) => Effect.sync(() => Exit.isFailure(exit) && pair[1].terminate()))
            )
          ],
          { concurrency: 2 }
        )
        return { client, agent, pair }
      })
    const begun = Effect.gen(function* () {
      const { agent, client, pair } = yield* meet()
      if (!Exit.isSuccess(client) || !Exit.isSuccess(agent)) return yield* Effect.dieMessage("no tunnel")
      const [ours, theirs] = [client.value.kept, agent.value.kept]
      if (ours === undefined || theirs === undefined) return yield* Effect.dieMessage("it cannot be resumed")
      return { ours, theirs, pair }
    })
    return { links, meet, initiate, respond, begun, budgets: { agent: agentBudget, client: clientBudget } }
  })

const stream = ({ ours, theirs }: { readonly ours: Stream1.Kept; readonly theirs: Stream1.Kept }) =>
  Effect.all([ours.tunnel.open({ port: 22 }), Effect.map(theirs.tunnel.accept, (incoming) => incoming.accept())], {
    concurrency: 2
  })

const text = (chunks: ReadonlyArray<Uint8Array>) => Buffer.concat(chunks).toString()

const kindOf = <A>(exit: Exit.Exit<A, Stream1.TunnelRefused>): string =>
  Exit.match(exit, {
    onFailure: (cause) => (cause._tag === "Fail" ? cause.error.kind : cause._tag),
    onSuccess: () => "success"
  })

describe("a link that loses its carrier", () => {
  it.scoped("goes on in the next one: what was under way arrives once, in order, in both directions", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping()
      const link = yield* begun
      const [near, far] = yield* stream(link)
      const [here, there] = [collect(near), collect(far)]
      near.write(Buffer.from("one "))
      yield* there.until(4)
      link.pair[0].terminate()
      yield* link.ours.tunnel.detached
      yield* link.theirs.tunnel.detached
      assert.isFalse(near.write(Buffer.from("two ")))
      far.write(Buffer.from("three "))
      far.end()
      const { agent, client } = yield* meet(link.ours)
      assert(Exit.isSuccess(client) && client.value._tag === "Resumed")
      assert(Exit.isSuccess(agent) && agent.value._tag === "Resumed")
      yield* here.ended
      near.end()
      yield* there.closed
      assert.strictEqual(text(there.chunks), "one two ")
      assert.strictEqual(text(here.chunks), "three ")
    })
  )

  it.scoped("replays what a lost carrier had swallowed, however often it is lost", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping()
      const link = yield* begun
      const [near, far] = yield* stream(link)
      const there = collect(far)
      collect(near)
      let pair = link.pair
      let expected = ""
      for (let round = 0; round < 20; round++) {
        // Taken by the carrier, and delivered to nobody.
        pair[1].pause()
        const chunk = `${round}.${"x".repeat(round * 3_000)}`
        expected += chunk
        near.write(Buffer.from(chunk))
        yield* turn
        pair[0].terminate()
        const met = yield* meet(link.ours)
        assert(Exit.isSuccess(met.client) && met.client.value._tag === "Resumed")
        pair = met.pair
      }
      near.end()
      yield* there.ended
      assert.strictEqual(text(there.chunks), expected)
    })
  )

  it.scoped("takes nothing from the old carrier once another one stands: neither end is confused by late data", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping()
      const link = yield* begun
      const [near, far] = yield* stream(link)
      const there = collect(far)
      collect(near)
      link.pair[1].pause()
      near.write(Buffer.from("once "))
      yield* turn
      // The client comes back while the agent still takes the old carrier to stand, with data in it.
      const { agent } = yield* meet(link.ours)
      assert(Exit.isSuccess(agent) && agent.value._tag === "Resumed")
      link.pair[1].resume()
      near.write(Buffer.from("only"))
      near.end()
      yield* there.ended
      assert.strictEqual(text(there.chunks), "once only")
    })
  )

  it.scoped("keeps the later of two reconnects that race, and nothing is lost", () =>
    Effect.gen(function* () {
      const { begun, initiate, respond } = yield* keeping()
      const link = yield* begun
      const [near, far] = yield* stream(link)
      const there = collect(far)
      collect(near)
      link.pair[0].terminate()
      near.write(Buffer.from("whole"))
      const first = MemoryCarrier.pair("client", "agent")
      const second = MemoryCarrier.pair("client", "agent")
      first[1].pause()
      const attempts = yield* Effect.all(
        [
          Effect.exit(initiate(first[0], link.ours)),
          Effect.exit(initiate(second[0], link.ours)),
          Effect.exit(respond(second[1])),
          Effect.zipRight(
            turn,
            Effect.suspend(() => {
              first[1].resume()
              return Effect.exit(respond(first[1])).pipe(
                Effect.tap((exit) => Effect.sync(() => Exit.isFailure(exit) && first[1].terminate()))
              )
            })
          )
        ],
        { concurrency: "unbounded" }
      )
      assert.isTrue(Exit.isSuccess(attempts[1]))
      near.end()
      yield* there.ended
      assert.strictEqual(text(there.chunks), "whole")
    })
  )

  it.scoped("resets its streams, and never ends them, when nobody comes back", () =>
    Effect.gen(function* () {
      const { begun } = yield* keeping()
      const link = yield* begun
      const [near, far] = yield* stream(link)
      const [here, there] = [collect(near), collect(far)]
      link.pair[0].terminate()
      yield* link.ours.tunnel.detached
      link.ours.tunnel.abandon("nobody came")
      link.theirs.tunnel.abandon("nobody came")
      assert.strictEqual((yield* here.closed)?.code, ResetCode.lost)
      assert.strictEqual((yield* there.closed)?.reason, "nobody came")
    })
  )

  it.scoped("is over at the other end when its client says goodbye", () =>
    Effect.gen(function* () {
      const { begun } = yield* keeping()
      const link = yield* begun
      link.ours.tunnel.close("Ctrl-C")
      const how = yield* link.theirs.tunnel.closed
      assert.deepStrictEqual([how.kind, how.reason], ["closed", "Ctrl-C"])
    })
  )
})

describe("a hub that saw everything", () => {
  it.scoped("cannot go on with somebody's link as another client, or for another principal", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping()
      const link = yield* begun
      link.pair[0].terminate()
      yield* link.ours.tunnel.detached
      const stolen = { ...link.ours }
      const other = yield* meet(stolen, { identity: generate() })
      assert(Exit.isSuccess(other.client) && other.client.value._tag === "Begun")
      assert.strictEqual(other.client.value.hello.notResumed, "not yours")
      const renamed = yield* meet(stolen, { principal: "mallory" })
      assert(Exit.isSuccess(renamed.client) && renamed.client.value._tag === "Begun")
      const { client } = yield* meet(link.ours)
      assert(Exit.isSuccess(client) && client.value._tag === "Resumed")
    })
  )

  it.scoped("cannot go on with it without the secret of its first handshake, even with both keys", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping()
      const link = yield* begun
      link.pair[0].terminate()
      yield* link.theirs.tunnel.detached
      const forged = yield* meet({ ...link.ours, secret: Buffer.alloc(32, 7) })
      assert.strictEqual(kindOf(forged.agent), "forged")
      assert.isFalse(link.theirs.link.isOver)
      assert.isFalse(link.theirs.tunnel.isAttached())
    })
  )

  it.scoped("cannot make the client go on with an agent that lacks the secret", () =>
    Effect.gen(function* () {
      const { begun, links, meet } = yield* keeping()
      const link = yield* begun
      link.pair[0].terminate()
      yield* link.ours.tunnel.detached
      links.set(link.ours.id, { ...link.theirs, secret: Buffer.alloc(32, 7) })
      const { client } = yield* meet(link.ours)
      assert.isTrue(Exit.isFailure(client))
      assert.isFalse(link.ours.tunnel.isAttached())
    })
  )

  it.scoped("cannot play an attempt again", () =>
    Effect.gen(function* () {
      const { begun, initiate, meet, respond } = yield* keeping()
      const link = yield* begun
      const recorded: Array<Uint8Array> = []
      const pair = MemoryCarrier.pair("client", "agent")
      const recording: Carrier = {
        ...bound(pair[0]),
        send: (message) => {
          recorded.push(Uint8Array.from(message))
          return pair[0].send(message)
        }
      }
      yield* Effect.all([initiate(recording, link.ours), respond(pair[1])], { concurrency: 2 })
      const before = link.theirs.attempt
      const [hub, agent] = MemoryCarrier.pair("hub", "agent")
      hub.receive({ binary: () => {}, text: () => {}, drain: () => {}, closed: () => {} })
      for (const message of recorded) hub.send(message)
      const replayed = yield* Effect.exit(respond(agent))
      assert(!Exit.isSuccess(replayed) || replayed.value._tag === "Begun")
      assert.strictEqual(link.theirs.attempt, before)
      assert.isTrue(link.theirs.tunnel.isAttached())
      assert.isTrue(link.ours.tunnel.isAttached())
      const again = yield* meet(link.ours)
      assert(Exit.isSuccess(again.client) && again.client.value._tag === "Resumed")
    })
  )

  it.scoped("cannot use an attempt that is no later than the last", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping()
      const link = yield* begun
      yield* meet(link.ours)
      const old = yield* meet({ ...link.ours, attempt: 0 })
      assert(Exit.isSuccess(old.client) && old.client.value._tag === "Begun")
      assert.strictEqual(old.client.value.hello.notResumed, "late")
      assert.isTrue(link.theirs.tunnel.isAttached())
    })
  )
})

describe("memory for what waits", () => {
  it.scoped("is given back to the last byte, whatever became of the link", () =>
    Effect.gen(function* () {
      const { begun, budgets, meet } = yield* keeping()
      const [agent, client] = [budgets.agent.left, budgets.client.left]
      const link = yield* begun
      const [near, far] = yield* stream(link)
      collect(near)
      far.attach({ data: () => {}, end: () => {}, drain: () => {}, closed: () => {} })
      far.pause()
      near.write(Buffer.alloc(200_000, 1))
      yield* turn
      link.pair[0].terminate()
      yield* link.ours.tunnel.detached
      near.write(Buffer.alloc(100_000, 1))
      assert.isBelow(budgets.client.left, client - KEPT_RESERVE)
      yield* meet(link.ours)
      link.ours.tunnel.close("done")
      yield* link.theirs.tunnel.closed
      assert.deepStrictEqual([budgets.agent.left, budgets.client.left], [agent, client])
    })
  )

  it.scoped("is never exceeded: a link that finds none cannot be resumed, and works all the same", () =>
    Effect.gen(function* () {
      const { links, meet } = yield* keeping(new KeepBudget({ total: 4 * KEPT_RESERVE }))
      const met: Array<Exit.Exit<Stream1.Initiated, Stream1.TunnelRefused>> = []
      for (let i = 0; i < 5; i++) met.push((yield* meet()).client)
      assert.deepStrictEqual(
        met.map((exit) => Exit.isSuccess(exit) && exit.value.kept !== undefined),
        [true, true, true, false, false]
      )
      assert.strictEqual(links.size, 3)
    })
  )

  it.scoped("may be all but used up at both ends: they go on all the same, through one loss after the other", () =>
    Effect.gen(function* () {
      const { begun, meet } = yield* keeping(
        new KeepBudget({ total: 2 * KEPT_RESERVE }),
        new KeepBudget({ total: 2 * KEPT_RESERVE })
      )
      const link = yield* begun
      const [near, far] = yield* stream(link)
      const [here, there] = [collect(near), collect(far)]
      const chunk = Buffer.alloc(65_536, 5)
      const CHUNKS = 60
      /** Writes as the stream has room. */
      const pour = (end: ByteStream, seen: Collected) =>
        Effect.gen(function* () {
          for (let i = 0; i < CHUNKS; i++) {
            const drains = seen.drains
            if (!end.write(chunk)) yield* seen.drained(drains)
          }
          end.end()
        })
      yield* Effect.forkScoped(pour(near, here))
      yield* Effect.forkScoped(pour(far, there))
      let { pair } = link
      for (const part of [10, 25, 45]) {
        yield* there.until(part * chunk.length)
        pair[1].terminate()
        const met = yield* meet(link.ours)
        assert(Exit.isSuccess(met.client) && met.client.value._tag === "Resumed")
        pair = met.pair
      }
      yield* there.ended
      yield* here.ended
      assert.deepStrictEqual([here.bytes, there.bytes], [CHUNKS * chunk.length, CHUNKS * chunk.length])
    })
  )

  it.scoped("runs out for one identity before it does for others", () =>
    Effect.gen(function* () {
      const budget = new KeepBudget({ perIdentity: (8 * KEPT_RESERVE) / 3 })
      const { meet } = yield* keeping(budget)
      const resumable = (principal: string) =>
        Effect.map(
          meet(undefined, { principal }),
          ({ client }) => Exit.isSuccess(client) && client.value.kept !== undefined
        )
      assert.deepStrictEqual(
        [yield* resumable("a"), yield* resumable("a"), yield* resumable("a"), yield* resumable("b")],
        [true, true, false, true]
      )
      assert.strictEqual(budget.usedBy("a"), 2 * KEPT_RESERVE)
    })
  )
})
