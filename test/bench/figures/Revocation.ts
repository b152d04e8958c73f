/**
 * How long bytes go on after access has ended: from the hub's answer, or the instant of an expiry, to the last byte of a
 * saturated stream, for each way in which access can end. Hub, agent and service are processes of their own.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Connect from "../../../src/client/Connect.ts"
import type { Listen } from "../../../src/client/Listeners.ts"
import { generate } from "../../../src/crypto/KeyPair.ts"
import type { StreamReset } from "../../../src/protocol/StreamReset.ts"
import * as KnownMachines from "../../../src/store/KnownMachines.ts"
import * as Dialer from "../../../src/transport/Dialer.ts"
import * as Tcp from "../../../src/transport/Tcp.ts"
import * as HubConfig from "../../e2e/harness/HubConfig.ts"
import * as Sockets from "../../e2e/harness/Sockets.ts"
import * as Tela from "../../e2e/harness/Tela.ts"
import * as Contenders from "./Contenders.ts"
import type { Figure } from "./Figure.ts"

const MACHINE = "bench"

/** What a stream has carried before access ends. */
const SATURATED = { fast: 4_000_000, slow: 500_000 }

/** A slow reader takes what Node reads at a time, and then nothing for this long: 1 MB/s. */
const SLOW_PAUSE = 64

/** From a request that sets an expiry to that expiry. */
const EXPIRY = 800

interface Api {
  /** Sends a request that must succeed; its JSON answer. */
  readonly ask: (
    method: string,
    path: string,
    body?: unknown
  ) => Effect.Effect<{ readonly token?: string; readonly version?: number }, Error>
}

const api = (hub: Tela.Hub, owner: string): Api => ({
  ask: (method, path, body) =>
    Effect.tryPromise({
      try: async () => {
        const response = await fetch(`http://127.0.0.1:${hub.port}/api/admin/${path}`, {
          method,
          headers: { authorization: `Bearer ${owner}`, "content-type": "application/json" },
          ...(body !== undefined && { body: JSON.stringify(body) })
        })
        const text = await response.text()
        if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
        return JSON.parse(text) as { readonly token?: string; readonly version?: number }
      },
      catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause)))
    })
})

/** A way in which access ends; succeeds with the instant from which nothing may come, by performance.now(). */
export interface Way {
  readonly role?: string
  readonly end: (api: Api, id: string) => Effect.Effect<number, Error>
}

const answered = (request: Effect.Effect<unknown, Error>) => Effect.map(request, () => performance.now())

/** Sets an expiry shortly after now, and waits for it. */
const expired = (request: (expiresAt: string) => Effect.Effect<unknown, Error>) =>
  Effect.gen(function* () {
    const at = Date.now() + EXPIRY
    const instant = performance.now() + EXPIRY
    yield* request(new Date(at).toISOString())
    yield* Effect.sleep(Math.max(0, instant - performance.now()))
    return instant
  })

const grantPath = (id: string) => `access/${id}/machines/${MACHINE}`

/** In which ways access can end. */
export const ways: Readonly<Record<string, Way>> = {
  removed: { end: (hub, id) => answered(hub.ask("DELETE", `access/${id}`)) },
  revoked: { end: (hub, id) => answered(hub.ask("POST", `tokens/${id}/revoke`)) },
  rotated: { end: (hub, id) => answered(hub.ask("POST", `rotate/${id}`)) },
  "grant taken": { end: (hub, id) => answered(hub.ask("DELETE", grantPath(id))) },
  "service taken": {
    end: (hub, id) => answered(hub.ask("PUT", grantPath(id), { permissions: ["connect"], services: ["other"] }))
  },
  demoted: { role: "admin", end: (hub, id) => answered(hub.ask("PATCH", `access/${id}`, { role: "user" })) },
  "token expired": { end: (hub, id) => expired((expiresAt) => hub.ask("PATCH", `access/${id}`, { expiresAt })) },
  "grant expired": {
    end: (hub, id) => expired((expiresAt) => hub.ask("PUT", grantPath(id), { permissions: ["connect"], expiresAt }))
  }
}

const header = () => {
  const asked = Buffer.alloc(9)
  asked.write("D")
  asked.writeBigUInt64LE(1n << 40n, 1)
  return asked
}

/** One trial: milliseconds from the end of access to the last byte that left for the reader. */
const trial = (hub: Tela.Hub, control: Api, service: number, way: Way, reader: Reader, id: string) =>
  Effect.gen(function* () {
    const { token = "" } = yield* control.ask("POST", "tokens", { id, role: way.role ?? "" })
    if (way.role === undefined) yield* control.ask("PUT", grantPath(id), { permissions: ["connect"] })
    const { dial } = yield* Dialer.Dialer
    const over = yield* Deferred.make<void>()
    /** When the client reset its connection to the reader: what it held for it is dropped, and no byte leaves any more. */
    let reset = Number.NaN
    const timed: Listen = (options) =>
      Tcp.listen({
        ...options,
        onConnection: (stream, peer) => {
          const end = stream.reset.bind(stream)
          const timedReset = (reason: StreamReset) => {
            reset = performance.now()
            end(reason)
          }
          options.onConnection(Object.assign(stream, { reset: timedReset }), peer)
        }
      })
    const connection = yield* Connect.make({
      hub: hub.url,
      machine: MACHINE,
      token: Redacted.make(token),
      identity: generate(),
      known: KnownMachines.memory(),
      dial,
      ports: [{ local: 0, remote: service }],
      listen: timed,
      onEvent: (event) => {
        if (event._tag === "StreamEnded") Deferred.unsafeDone(over, Effect.void)
      }
    })
    const socket = yield* Sockets.open(connection.services[0]?.local ?? 0)
    const saturated = yield* Deferred.make<void>()
    let received = 0
    let last = 0
    socket.on("data", (chunk) => {
      last = performance.now()
      received += chunk.length
      if (received >= SATURATED[reader]) Deferred.unsafeDone(saturated, Effect.void)
      if (reader === "fast") return
      socket.pause()
      setTimeout(() => socket.resume(), SLOW_PAUSE)
    })
    socket.write(header())
    yield* Deferred.await(saturated)
    const ended = yield* way.end(control, id)
    yield* Deferred.await(over)
    if (Number.isNaN(reset)) return yield* Effect.dieMessage("the stream ended without a reset")
    return Math.max(0, (reader === "fast" ? Math.max(last, 0) : reset) - ended)
  }).pipe(Effect.scoped)

const quantile = (values: ReadonlyArray<number>, share: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? Number.NaN

export type Reader = "fast" | "slow"

/** The p99 of readers over the ways named, or all of them; the details have each way's. */
export const revocation = (trials: number, readers: ReadonlyArray<Reader>, named?: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { bulk } = yield* Contenders.target
    const owner = HubConfig.token()
    const hub = yield* Tela.hub({ identities: { owner: { token: owner, role: "owner" } }, machines: {} })
    const machines = [{ name: MACHINE, ports: [bulk] }]
    yield* Tela.startAgent(yield* Tela.agentFolder(hub.url, owner, machines), machines)
    const control = api(hub, owner)
    const figures: Array<Figure> = []
    let identities = 0
    for (const reader of readers) {
      const all: Array<number> = []
      const details: Array<string> = []
      for (const [name, way] of Object.entries(ways)) {
        if (named?.includes(name) === false) continue
        const times: Array<number> = []
        for (let round = 0; round < trials; round++) {
          times.push(yield* trial(hub, control, bulk, way, reader, `trial-${identities++}`))
        }
        all.push(...times)
        details.push(`${name} ${quantile(times, 0.99).toFixed(1)}`)
      }
      figures.push({
        name: `revocation-${reader}`,
        title: `last byte after access ended, p99, ${reader === "fast" ? "a fast reader" : "a reader at 1 MB/s"}`,
        value: quantile(all, 0.99),
        unit: "ms",
        bound: { atMost: 25 },
        details: `${all.length} trials; p99 of ${details.join(", ")}`
      })
    }
    return figures
  }).pipe(Effect.scoped, Effect.provide(Dialer.layer))
