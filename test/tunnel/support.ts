/** Tunnels over an in-memory carrier, and collectors for what their streams deliver. */
import * as Effect from "effect/Effect"
import { generate } from "../../src/crypto/KeyPair.ts"
import type { StreamReset } from "../../src/protocol/StreamReset.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import type { Carrier } from "../../src/transport/Carrier.ts"
import * as Inbox from "../../src/transport/Inbox.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"
import * as Stream1 from "../../src/tunnel/Stream1.ts"

export const agentIdentity = generate()
export const clientIdentity = generate()

export const session: Stream1.Session = {
  machine: "barn",
  clientSessionKey: generate().publicHex,
  agentSessionKey: generate().publicHex,
  agentIdentity: agentIdentity.publicHex,
  tunnels: ["stream/1"],
  ports: [22, 5432]
}

export const agentHello: Stream1.AgentHello = {
  software: "telad/test",
  principal: "alice",
  services: [{ port: 22, name: "SSH" }]
}

/** Both sides of a tunnel; `between` may put itself into the carrier. */
export const tunnels = (between: (pair: readonly [Carrier, Carrier]) => readonly [Carrier, Carrier] = (pair) => pair) =>
  Effect.gen(function* () {
    const [left, right] = between(MemoryCarrier.pair("client", "agent"))
    const [client, agent] = yield* Effect.all(
      [
        Stream1.initiate({
          inbox: Inbox.make(left),
          session,
          identity: clientIdentity,
          hello: { software: "tela/test" }
        }),
        Stream1.respond({
          inbox: Inbox.make(right),
          session,
          identity: agentIdentity,
          authorise: () => Effect.succeed(agentHello)
        })
      ],
      { concurrency: 2 }
    )
    return { client, agent, carriers: [left, right] as const }
  })

/** What one end of a stream was delivered. */
export interface Collected {
  readonly chunks: Array<Uint8Array>
  bytes: number
  drains: number
  /** The peer has finished. */
  readonly ended: Effect.Effect<void>
  /** Both directions are over. */
  readonly closed: Effect.Effect<StreamReset | undefined>
  readonly until: (bytes: number) => Effect.Effect<void>
  /** Waits until more than so many drains were asked for. */
  readonly drained: (before: number) => Effect.Effect<void>
}

/** Attaches to a stream and keeps all that it delivers. */
export const collect = (stream: ByteStream): Collected => {
  const waiters = new Set<() => void>()
  let end = false
  let over = false
  let why: StreamReset | undefined
  const wake = () => {
    for (const waiter of [...waiters]) waiter()
  }
  const when = (condition: () => boolean) =>
    Effect.async<void>((resume) => {
      const check = () => {
        if (!condition()) return
        waiters.delete(check)
        resume(Effect.void)
      }
      waiters.add(check)
      check()
    })
  const collected: Collected = {
    chunks: [],
    bytes: 0,
    drains: 0,
    ended: when(() => end),
    closed: Effect.map(
      when(() => over),
      () => why
    ),
    until: (bytes) => when(() => collected.bytes >= bytes),
    drained: (before) => when(() => collected.drains > before)
  }
  stream.attach({
    data: (chunk) => {
      collected.chunks.push(chunk)
      collected.bytes += chunk.length
      wake()
    },
    end: () => {
      end = true
      wake()
    },
    drain: () => {
      collected.drains++
      wake()
    },
    closed: (reset) => {
      over = true
      why = reset
      wake()
    }
  })
  return collected
}
