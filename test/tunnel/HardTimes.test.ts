/** Links on slow paths, without memory, and whose tries are given up. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { KEPT_RESERVE } from "../../src/protocol/Limits.ts"
import { ResetCode } from "../../src/protocol/StreamReset.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import * as FaultCarrier from "../../src/transport/FaultCarrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import { KeepBudget } from "../../src/tunnel/KeepBudget.ts"
import * as Stream1 from "../../src/tunnel/Stream1.ts"
import { bound, holding } from "../support/carriers.ts"
import { collect } from "../support/collect.ts"
import { turn } from "../support/turn.ts"
import { agentHello, agentIdentity, clientIdentity, session } from "./support.ts"

const ends = (budget = new KeepBudget()) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const links = new Map<string, Stream1.Kept>()
    const keeper: Stream1.Keeper = {
      grace: 60_000,
      goOn: () => {},
      account: () => budget.open("alice"),
      find: ({ attempt, link }) => {
        const kept = links.get(link)
        if (kept === undefined || kept.link.isOver) return Either.left("gone")
        return attempt > kept.attempt ? Either.right(kept) : Either.left("late")
      }
    }
    const respond = (carrier: Carrier) =>
      Stream1.respond({
        inbox: Inbox.make(carrier),
        session,
        identity: agentIdentity,
        scope,
        keeper,
        authorise: () => Effect.succeed(agentHello)
      }).pipe(
        Effect.tap((responded) =>
          Effect.sync(() => {
            if (responded._tag === "Begun" && responded.kept) links.set(responded.kept.id, responded.kept)
          })
        )
      )
    const initiate = (carrier: Carrier, kept?: Stream1.Kept) =>
      Stream1.initiate({
        inbox: Inbox.make(carrier),
        session,
        identity: clientIdentity,
        scope,
        software: "tela/test",
        account: () => budget.open("alice"),
        kept
      })
    const begin = (left: Carrier, right: Carrier) =>
      Effect.gen(function* () {
        const [client, agent] = yield* Effect.all([initiate(left), respond(right)], { concurrency: 2 })
        if (!client.kept || !agent.kept) return yield* Effect.dieMessage("not resumable")
        return { ours: client.kept, theirs: agent.kept }
      })
    return { respond, initiate, begin }
  })

const stream = ({ ours, theirs }: { readonly ours: Stream1.Kept; readonly theirs: Stream1.Kept }) =>
  Effect.all([ours.tunnel.open({ port: 22 }), Effect.map(theirs.tunnel.accept, (incoming) => incoming.accept())], {
    concurrency: 2
  })

const settle = Effect.repeatN(turn, 50)

describe("a link in hard times", () => {
  it.scoped("a client that leaves in the middle of an upload ends the link at the agent", () =>
    Effect.gen(function* () {
      const { begin } = yield* ends()
      const [left, right] = MemoryCarrier.pair("client", "agent")
      const link = yield* begin(left, right)
      const [near, far] = yield* stream(link)
      collect(near)
      const there = collect(far)
      right.pause()
      for (let i = 0; i < 6; i++) near.write(Buffer.alloc(65_536, 1))
      yield* settle
      assert.isAtLeast(left.buffered, 256 * 1024)
      link.ours.tunnel.close("Ctrl-C")
      right.resume()
      yield* settle
      assert.isAbove(there.bytes, 0)
      assert.isFalse(link.theirs.tunnel.isAttached())
      assert.isTrue(link.theirs.link.isOver, "the agent's link waits for a client that said goodbye")
    })
  )

  it.scoped("a client that leaves while it sends again what was lost ends the link at the agent", () =>
    Effect.gen(function* () {
      const { begin, initiate, respond } = yield* ends()
      const [left, right] = MemoryCarrier.pair("client", "agent")
      const link = yield* begin(left, right)
      const [near, far] = yield* stream(link)
      collect(near)
      const there = collect(far)
      right.pause()
      for (let i = 0; i < 4; i++) near.write(Buffer.alloc(65_536, 1))
      yield* settle
      left.terminate()
      yield* link.ours.tunnel.detached
      const again = MemoryCarrier.pair("client", "agent")
      yield* Effect.all([initiate(full(again[0]), link.ours), respond(again[1])], { concurrency: 2 })
      yield* settle
      assert.isAbove(link.ours.link.kept, 3 * 65_536, "it waits for room")
      link.ours.tunnel.close("Ctrl-C")
      yield* settle
      const how = link.theirs.link.isOver ? yield* link.theirs.tunnel.closed : undefined
      assert.deepStrictEqual([how?.kind, how?.reason], ["closed", "Ctrl-C"])
      assert.strictEqual((yield* there.closed)?.code, ResetCode.lost, "what came short is not taken for the end")
    })
  )

  it.scopedLive("a link whose memory is used up is not taken for a peer that breaks the protocol", () =>
    Effect.gen(function* () {
      // The reserve, and nothing beyond it.
      const { begin } = yield* ends(new KeepBudget({ total: 4 * KEPT_RESERVE, perIdentity: 2 * KEPT_RESERVE * 4 }))
      const [left, right] = MemoryCarrier.pair("client", "agent")
      const { carried, weather } = path(left, 0)
      const budgetless = yield* begin(carried, right)
      const { ours, theirs } = budgetless
      const streams = yield* Effect.all([
        stream(budgetless),
        stream(budgetless),
        stream(budgetless),
        stream(budgetless)
      ])
      for (const [near, there] of streams) {
        collect(near)
        collect(there)
      }
      weather.delay = 2_000
      for (const [near] of streams) for (let i = 0; i < 4; i++) near.write(Buffer.alloc(65_536, 1))
      yield* turn
      // Programs open connections, as a browser does; one in each turn.
      yield* Effect.forkScoped(
        Effect.forever(Effect.map(theirs.tunnel.accept, (incoming) => void collect(incoming.accept())))
      )
      for (let i = 0; i < 400 && !ours.link.isOver; i++) {
        yield* Effect.forkScoped(ours.tunnel.open({ port: 22 }))
        yield* turn
      }
      const how = ours.link.isOver ? yield* ours.tunnel.closed : undefined
      assert.isUndefined(how && `${how.kind}: ${how.reason}`)
    })
  )

  it.scopedLive(
    "a download of 4 KB/s is not given up",
    () =>
      Effect.gen(function* () {
        const { begin } = yield* ends()
        const [left, right] = MemoryCarrier.pair("client", "agent")
        const slow = FaultCarrier.make(left)
        const link = yield* begin(slow, right)
        const [near, far] = yield* stream(link)
        collect(near)
        collect(far)
        slow.set({ delay: 50, jitter: 0, bytesPerSecond: 4_000 })
        for (let i = 0; i < 4; i++) far.write(Buffer.alloc(65_536, 1))
        const how = yield* Effect.timeoutOption(
          Effect.raceFirst(link.ours.tunnel.detached, link.theirs.tunnel.detached),
          15_000
        )
        assert.isTrue(how._tag === "None")
      }),
    60_000
  )

  it.scopedLive(
    "an upload whose path becomes slow is not given up",
    () =>
      Effect.gen(function* () {
        const { begin } = yield* ends()
        const [left, right] = MemoryCarrier.pair("client", "agent")
        const { carried, weather } = path(left, 5, 20e6)
        const link = yield* begin(carried, right)
        const [near, far] = yield* stream(link)
        const here = collect(near)
        collect(far)
        const pour = Effect.gen(function* () {
          while (true) {
            const { drains } = here
            if (!near.write(Buffer.alloc(65_536, 1))) yield* here.drained(drains)
          }
        })
        yield* Effect.forkScoped(pour)
        yield* Effect.sleep(1_500)
        weather.bytesPerSecond = 40_000
        const how = yield* Effect.timeoutOption(
          Effect.raceFirst(link.ours.tunnel.detached, link.theirs.tunnel.detached),
          22_000
        )
        assert.isTrue(how._tag === "None")
      }),
    60_000
  )

  it.scoped("a try of the client that was given up does not go on with the link", () =>
    Effect.gen(function* () {
      const { begin, initiate, respond } = yield* ends()
      const [left, right] = MemoryCarrier.pair("client", "agent")
      const link = yield* begin(left, right)
      left.terminate()
      yield* link.ours.tunnel.detached
      yield* link.theirs.tunnel.detached
      const pair = MemoryCarrier.pair("client", "agent")
      // The agent's second word, its proof, is under way for long.
      const { late, release } = holding(pair[1])
      const asked = yield* Effect.fork(initiate(pair[0], link.ours))
      yield* Effect.forkScoped(respond(late))
      yield* settle
      yield* Fiber.interrupt(asked)
      release()
      yield* settle
      assert.isFalse(link.ours.tunnel.isAttached(), "an interrupted try attached the link")
    })
  )

  it.scoped("a session of the agent that was ended does not go on with the link", () =>
    Effect.gen(function* () {
      const { begin, initiate, respond } = yield* ends()
      const [left, right] = MemoryCarrier.pair("client", "agent")
      const link = yield* begin(left, right)
      left.terminate()
      yield* link.ours.tunnel.detached
      yield* link.theirs.tunnel.detached
      const pair = MemoryCarrier.pair("client", "agent")
      const { late, release } = holding(pair[0])
      yield* Effect.forkScoped(initiate(late, link.ours))
      const answering = yield* Effect.fork(respond(pair[1]))
      yield* settle
      yield* Fiber.interrupt(answering)
      release()
      yield* settle
      assert.isFalse(link.theirs.tunnel.isAttached(), "a session that had ended attached the link")
    })
  )

  it.scopedLive(
    "memory beyond the reserve is given back while little passes",
    () =>
      Effect.gen(function* () {
        const budget = new KeepBudget()
        const { begin } = yield* ends(budget)
        const [left, right] = MemoryCarrier.pair("client", "agent")
        const link = yield* begin(path(left, 20).carried, right)
        const [near, far] = yield* stream(link)
        const here = collect(near)
        const there = collect(far)
        for (let i = 0; i < 200; i++) {
          const { drains } = here
          if (!near.write(Buffer.alloc(65_536, 1))) yield* here.drained(drains)
        }
        yield* there.until(200 * 65_536)
        // A log that somebody follows: a line every 100 ms.
        for (let i = 0; i < 60; i++) {
          near.write(Buffer.alloc(100, 1))
          yield* Effect.sleep(100)
        }
        assert.isBelow(budget.usedBy("alice"), 6 * KEPT_RESERVE)
      }),
    60_000
  )
})

/** A carrier that takes what it is given, and never has room for more. */
const full = (carrier: Carrier): Carrier => ({
  ...bound(carrier),
  send: (message) => {
    carrier.send(message)
    return false
  }
})

/** A long way of which the system and the hub hold everything: it takes what it is given and blocks nobody. */
const path = (carrier: Carrier, delay: number, bytesPerSecond = Number.POSITIVE_INFINITY) => {
  const weather = { delay, bytesPerSecond }
  let freeAt = 0
  let last = 0
  const waiting: Array<Uint8Array> = []
  const leave = () => {
    const message = waiting.shift()
    if (message !== undefined) carrier.send(message)
  }
  const carried: Carrier = {
    ...bound(carrier),
    send: (message) => {
      const copy = Uint8Array.from(message)
      freeAt = Math.max(freeAt, performance.now()) + (1_000 * copy.length) / weather.bytesPerSecond
      last = Math.max(last, freeAt + weather.delay)
      waiting.push(copy)
      setTimeout(leave, last - performance.now())
      return true
    }
  }
  return { carried, weather }
}
