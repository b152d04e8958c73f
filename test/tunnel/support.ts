/** Tunnels over an in-memory carrier. */
import * as Effect from "effect/Effect"
import { generate } from "../../src/crypto/KeyPair.ts"
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
    const scope = yield* Effect.scope
    const [client, agent] = yield* Effect.all(
      [
        Stream1.initiate({
          inbox: Inbox.make(left),
          session,
          identity: clientIdentity,
          scope,
          software: "tela/test"
        }),
        Stream1.respond({
          inbox: Inbox.make(right),
          session,
          identity: agentIdentity,
          scope,
          authorise: () => Effect.succeed(agentHello)
        })
      ],
      { concurrency: 2 }
    )
    if (client._tag === "Resumed" || agent._tag === "Resumed") return yield* Effect.dieMessage("nothing to resume")
    return { client, agent, carriers: [left, right] as const }
  })
