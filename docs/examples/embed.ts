/**
 * A hub, an agent and a client inside one Effect program. Run by a test, so what stands here works.
 *
 * The service exposed is a small web page on a free port; the program reads it through the tunnel and prints it.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Agent from "tela/agent/Agent"
import * as Connect from "tela/client/Connect"
import { generate } from "tela/crypto/KeyPair"
import * as Token from "tela/crypto/Token"
import * as Hub from "tela/hub/Hub"
import { makeSnapshot } from "tela/policy/Identity"
import { VERSION } from "tela/protocol/Version"
import { fromFlags } from "tela/store/AgentFile"
import { fresh } from "tela/store/AgentState"
import * as KnownMachines from "tela/store/KnownMachines"
import { Dialer, layer as dialerLayer } from "tela/transport/Dialer"

// Who may do what: an agent that may register "barn", and alice, who may connect to it.
const tokens = { agent: Token.generate(), alice: Token.generate() }
const identity = (id: keyof typeof tokens) => ({
  id,
  role: "user" as const,
  tokenHash: Token.hashOf(tokens[id]),
  prefix: Token.prefixOf(tokens[id])
})
const snapshot = makeSnapshot(
  1,
  [identity("agent"), identity("alice")],
  [
    { machine: "barn", permission: "register", id: "agent" },
    { machine: "barn", permission: "connect", id: "alice", services: ["http"] }
  ]
)

// The hub is a layer: it listens when the layer is built and closes politely when its scope ends. This one keeps
// everything in memory; Hub.layer keeps it where its storage does.
const HubLive = Hub.layerMemory({
  snapshot,
  version: VERSION,
  config: {
    hubId: "6f1c2a52-6e43-4a3e-9d8e-3a1f5f0f6f0e",
    name: "example",
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    trustedProxies: []
  }
})

/** Something worth reaching. */
const page = Effect.acquireRelease(
  Effect.async<Http.Server>((resume) => {
    const server = Http.createServer((_request, response) => response.end("hello from the barn\n"))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(Effect.map((server) => (server.address() as AddressInfo).port))

export const program = Effect.gen(function* () {
  const hub = yield* Hub.Hub
  const { dial } = yield* Dialer
  const url = hub.url.replace("http", "ws")
  const port = yield* page

  // The agent: what `telad -hub ... -machine barn -ports PORT:http` runs.
  const config = yield* fromFlags({
    hub: url,
    machine: "barn",
    ports: `${port}:http`,
    token: tokens.agent,
    targetHost: undefined
  })
  const agent = yield* Agent.make({ config, identity: generate(), state: fresh(["barn"]) })
  yield* agent.registered("barn")

  // The client: what `tela connect` runs. Its pins live in memory here; KnownMachines.make(file) keeps them.
  const connection = yield* Connect.make({
    hub: url,
    machine: "barn",
    token: tokens.alice,
    identity: generate(),
    known: KnownMachines.memory(),
    fingerprint: agent.fingerprint,
    dial,
    ports: [{ local: 0, remote: port }]
  })

  const [service] = connection.services
  const text = yield* Effect.promise(() => fetch(`http://127.0.0.1:${service?.local}/`).then((answer) => answer.text()))
  yield* Console.log(`${service?.label} of ${service?.machine}: ${text.trim()}`)
  return text
}).pipe(Effect.scoped, Effect.provide(Layer.merge(HubLive, dialerLayer)))
