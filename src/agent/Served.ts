/**
 * What an agent serves over one tunnel, from its first session to its end: each stream that the client opens is led to a
 * service that the session may use. A changed grant is felt in the turn in which it arrives, by streams that stand too.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { PublicKeyHex } from "../crypto/KeyPair.ts"
import { DELIVERY_LINGER, TARGET_DIAL_TIMEOUT } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import { label, type Service } from "../protocol/Service.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import * as AgentMetrics from "../telemetry/AgentMetrics.ts"
import { type ByteStream, splice } from "../transport/ByteStream.ts"
import type * as Tcp from "../transport/Tcp.ts"
import type { Incoming, Tunnel, TunnelClosed } from "../tunnel/Tunnel.ts"
import * as Admission from "./Admission.ts"
import type { Grant } from "./Grant.ts"
import type { LiveMachine } from "./LiveMachine.ts"

export interface ServedOptions {
  readonly machine: LiveMachine
  /** The client's long-term key. */
  readonly client: PublicKeyHex
  readonly tunnel: Tunnel
  /** How a service is reached; `Tcp.connect` but for tests. */
  readonly reach: typeof Tcp.connect
  /** Whether the agent is about to stop, and begins nothing new. */
  readonly isStopping: () => boolean
}

/** A tunnel that is served. */
export interface Served {
  /** Holds it to a grant in place of the one before; what that does not cover is reset during this call. */
  readonly regrant: (grant: Grant) => void
  /** What it may use at this moment. */
  readonly services: () => ReadonlyArray<Service>
  /** Names of the services that are in use. */
  readonly inUse: () => ReadonlyArray<string>
  /** Serves until the tunnel is over. */
  readonly run: Effect.Effect<TunnelClosed>
}

/** What a stream leads to: the service as it was when the stream was opened, and its host. */
interface Destination {
  readonly service: Service
  readonly host: string
}

const noLonger = (service: Service) =>
  new StreamReset({
    code: ResetCode.denied,
    reason: `this session may no longer use ${label(service)} (port ${service.port})`
  })

const stopping = new StreamReset({ code: ResetCode.busy, reason: "the agent is about to stop" })

/** Nothing may be used before the first {@link Served.regrant}. What a revoked grant held is reset, and the tunnel over. */
export const make = (options: ServedOptions): Effect.Effect<Served, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { client, isStopping, machine, reach, tunnel } = options
    const streams = new Map<ByteStream, Destination>()
    let services: ReadonlyArray<Service> = []
    /** How many streams may be open at a time, and what it is called in the log. */
    let most = Number.POSITIVE_INFINITY
    let opening = 0
    let unlisten = () => {}

    /** Whether a stream may lead there still: a service that only got another name goes on. */
    const isServed = ({ host, service }: Destination) =>
      host === machine.now().target && services.some(({ port }) => port === service.port)

    const hold = (grant: Grant) => {
      const asked = grant.client()
      most = asked?.streams ?? Number.POSITIVE_INFINITY
      services = Either.match(Admission.admit(machine.now(), asked, client), {
        onLeft: () => [],
        onRight: (admitted) => admitted.services
      })
      for (const [stream, to] of streams) {
        if (!isServed(to)) stream.reset(noLonger(to.service))
      }
    }

    const regrant = (grant: Grant) => {
      unlisten()
      hold(grant)
      const ofGrant = grant.listen({
        changed: () => hold(grant),
        revoked: (reason) => tunnel.revoke(`access revoked: ${reason}`)
      })
      const ofMachine = machine.listen(() => hold(grant))
      unlisten = () => {
        ofGrant()
        ofMachine()
      }
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => unlisten()))

    /** Serves one stream from its opening to its end; never fails. */
    const serve = (incoming: Incoming) => {
      const resolved = Admission.resolve(machine.now(), services, incoming.target)
      if (Either.isLeft(resolved)) {
        incoming.refuse(new StreamReset({ code: ResetCode.denied, reason: resolved.left }))
        return Effect.logWarning(`stream denied: ${printable(resolved.left)}`)
      }
      const meant = resolved.right
      const host = machine.now().target
      const service = label(meant)
      const refused = (reset: StreamReset) => {
        incoming.refuse(reset)
        return Effect.logWarning(`stream refused: ${service}: ${reset.reason}`)
      }
      if (isStopping()) return refused(stopping)
      if (streams.size + opening >= most) {
        AgentMetrics.countRefused()
        const reason = `no more than ${most} connections in a session: the hub's limit`
        return refused(new StreamReset({ code: ResetCode.busy, reason }))
      }
      opening++
      return reach({ host, port: meant.port, timeout: TARGET_DIAL_TIMEOUT }).pipe(
        Effect.ensuring(Effect.sync(() => opening--)),
        Effect.onInterrupt(() =>
          Effect.sync(() => incoming.refuse(new StreamReset({ code: ResetCode.lost, reason: "the session has ended" })))
        ),
        // A bug of ours must not leave the peer's program waiting for ever.
        Effect.catchAllDefect((defect) =>
          Effect.zipRight(
            Effect.logError(`stream failed: ${service}`, defect),
            new StreamReset({ code: ResetCode.protocol, reason: "the agent failed" })
          )
        ),
        Effect.matchEffect({
          onFailure: refused,
          onSuccess: (target) => {
            // What the session may use can have changed while the service was reached.
            if (!isServed({ service: meant, host })) {
              target.reset(noLonger(meant))
              return refused(noLonger(meant))
            }
            const stream = incoming.accept()
            streams.set(stream, { service: meant, host })
            return splice(target, stream).pipe(
              Effect.ensuring(Effect.sync(() => streams.delete(stream))),
              Effect.flatMap(({ received, reset, sent }) =>
                Effect.logDebug(`stream ended: ${service}`, { sent, received, reset: reset?.reason })
              )
            )
          }
        })
      )
    }

    const fibers = yield* FiberSet.make<void>()
    const run = tunnel.accept.pipe(
      Effect.flatMap((incoming) =>
        FiberSet.run(
          fibers,
          Effect.suspend(() => serve(incoming))
        )
      ),
      Effect.forever,
      // What the client had finished before is still on its way to services; all other streams have been reset.
      Effect.tapError(() => Effect.timeoutOption(FiberSet.awaitEmpty(fibers), DELIVERY_LINGER)),
      Effect.flip
    )

    return {
      regrant,
      services: () => services,
      inUse: () => [...streams.values()].map(({ service }) => label(service)),
      run
    }
  })
