/**
 * The agent's side of one session: join it, say who answers, let the client prove its key, then connect each stream that
 * it opens to a service (docs/protocol.md, "Setting up a session"; spec: wire 3). Everything ends with the scope.
 *
 * After signalling, text on this socket is ignored: through a deployed hub a client could forge any of it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { fingerprintOfHex, generate, type KeyPair, type PublicKeyHex } from "../crypto/KeyPair.ts"
import * as Control from "../protocol/Control.ts"
import { DELIVERY_LINGER, HANDSHAKE_TIMEOUT, TARGET_DIAL_TIMEOUT } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import { label, type Service } from "../protocol/Service.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import { VERSION } from "../protocol/Version.ts"
import type { MachineConfig } from "../store/AgentFile.ts"
import { type ByteStream, splice } from "../transport/ByteStream.ts"
import type { CarrierClosed, Dial } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"
import type * as Tcp from "../transport/Tcp.ts"
import * as Stream1 from "../tunnel/Stream1.ts"
import type { Incoming, Tunnel } from "../tunnel/Tunnel.ts"
import * as Admission from "./Admission.ts"
import type { Grant } from "./Grant.ts"
import * as Offer from "./Offer.ts"

/** A session that did not come up, or is over. The message is for the agent's log. */
export class SessionEnded extends Schema.TaggedError<SessionEnded>()("SessionEnded", {
  /** Whether somebody should look into it. */
  level: Schema.Literal("info", "warning"),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

export interface SessionHostOptions {
  readonly hub: string
  readonly machine: MachineConfig
  readonly identity: KeyPair
  readonly request: Control.SessionRequest
  /** What the session may use, as long as it lasts. */
  readonly grant: Grant
  readonly dial: Dial
  /** How a service is reached; `Tcp.connect` but for tests. */
  readonly reach: typeof Tcp.connect
  /** Told of the tunnel while it stands. */
  readonly onTunnel: (tunnel: Tunnel) => Effect.Effect<void, never, Scope.Scope>
}

const over = (reason: string) => new SessionEnded({ level: "info", reason: printable(reason) })
const suspicious = (reason: string) => new SessionEnded({ level: "warning", reason: printable(reason) })
const lost = (how: CarrierClosed) => over(`the hub ended the session: ${how.message}`)

const inTime = (what: string) =>
  Effect.timeoutFail({
    duration: HANDSHAKE_TIMEOUT,
    onTimeout: () => over(`${what} did not come within ${HANDSHAKE_TIMEOUT / 1000} s`)
  })

/** The hub's answer to session-join must be session-start, and nothing before it. */
const awaitStart = (inbox: Inbox.Inbox) =>
  Effect.gen(function* () {
    const message = yield* Effect.mapError(inbox.take, lost)
    const decoded = message._tag === "Text" ? Control.decode(message.text) : undefined
    if (decoded !== undefined && Either.isRight(decoded)) {
      if (decoded.right.type === "session-start") return
      if (decoded.right.type === "error") return yield* over(`the hub refused the session: ${decoded.right.message}`)
    }
    return yield* suspicious("the hub answered session-join with something else than session-start")
  }).pipe(inTime("session-start"))

/** The services that a session may use at this moment, and the streams that use them. */
interface Usable {
  services: ReadonlyArray<Service>
  readonly streams: Map<ByteStream, Service>
}

const noLonger = (service: Service) =>
  new StreamReset({
    code: ResetCode.denied,
    reason: `this session may no longer use ${label(service)} (port ${service.port})`
  })

/** Serves one stream from its opening to its end; never fails. */
const serveStream = (options: SessionHostOptions, usable: Usable, incoming: Incoming) => {
  const { machine, reach } = options
  const resolved = Admission.resolve(machine, usable.services, incoming.target)
  if (Either.isLeft(resolved)) {
    incoming.refuse(new StreamReset({ code: ResetCode.denied, reason: resolved.left }))
    return Effect.logWarning(`stream denied: ${printable(resolved.left)}`)
  }
  const meant = resolved.right
  const service = label(meant)
  const refused = (reset: StreamReset) => {
    incoming.refuse(reset)
    return Effect.logWarning(`stream refused: ${service}: ${reset.reason}`)
  }
  return reach({ host: machine.target, port: meant.port, timeout: TARGET_DIAL_TIMEOUT }).pipe(
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
        if (!usable.services.includes(meant)) {
          target.reset(noLonger(meant))
          return refused(noLonger(meant))
        }
        const stream = incoming.accept()
        usable.streams.set(stream, meant)
        return splice(target, stream).pipe(
          Effect.ensuring(Effect.sync(() => usable.streams.delete(stream))),
          Effect.flatMap(({ received, reset, sent }) =>
            Effect.logDebug(`stream ended: ${service}`, { sent, received, reset: reset?.reason })
          )
        )
      }
    })
  )
}

/** Fails when the hub says that the session may not be any more, at whatever point it is. */
const revoked = (grant: Grant): Effect.Effect<never, SessionEnded> =>
  Effect.async((resume) => {
    const unlisten = grant.listen({
      changed: () => {},
      revoked: (reason) => resume(Effect.fail(over(`access revoked: ${reason}`)))
    })
    return Effect.sync(unlisten)
  })

/** Holds a tunnel to its grant: in the turn in which that changes, what it no longer covers is reset. */
const enforce = (options: SessionHostOptions, key: PublicKeyHex, tunnel: Tunnel, usable: Usable) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      options.grant.listen({
        changed: () => {
          usable.services = Either.match(Admission.admit(options.machine, options.grant.client(), key), {
            onLeft: () => [],
            onRight: (admitted) => admitted.services
          })
          for (const [stream, service] of usable.streams) {
            if (!usable.services.includes(service)) stream.reset(noLonger(service))
          }
        },
        revoked: (reason) => tunnel.revoke(`access revoked: ${reason}`)
      })
    ),
    (unlisten) => Effect.sync(unlisten)
  )

/** Serves a session until it is over, which is how it ends: in a SessionEnded that says why. */
export const serve = (options: SessionHostOptions): Effect.Effect<never, SessionEnded, Scope.Scope> =>
  Effect.raceFirst(session(options), revoked(options.grant))

const session = (options: SessionHostOptions): Effect.Effect<never, SessionEnded, Scope.Scope> =>
  Effect.gen(function* () {
    const { grant, hub, identity, machine, request } = options
    const clientSessionKey = request.wgPubKey ?? ""
    if (!Schema.is(Control.HexKey)(clientSessionKey)) return yield* suspicious("the hub passed no usable session key")

    const carrier = yield* Effect.mapError(options.dial(hub), (error) => over(error.message))
    const inbox = Inbox.make(carrier)
    carrier.sendText(Control.encode({ type: "session-join", machineId: machine.name, sessionId: request.sessionId }))
    yield* awaitStart(inbox)

    const sessionKey = generate()
    const tunnels = Offer.tunnels
    const ports = Admission.offeredByHub(machine, grant.client()).map((service) => service.port)
    carrier.sendText(
      Control.encode({
        type: "wg-pubkey",
        wgPubKey: sessionKey.publicHex,
        ports,
        capabilities: Offer.capabilities,
        tunnels,
        identity: identity.publicHex
      })
    )

    const usable: Usable = { services: [], streams: new Map() }
    let listed: string | undefined
    const { client, tunnel } = yield* Stream1.respond({
      inbox,
      session: {
        machine: machine.name,
        clientSessionKey,
        agentSessionKey: sessionKey.publicHex,
        agentIdentity: identity.publicHex,
        tunnels,
        ports
      },
      identity,
      authorise: (key: PublicKeyHex) =>
        Effect.suspend(() => {
          const admitted = Admission.admit(machine, grant.client(), key)
          if (Either.isLeft(admitted)) {
            return new Stream1.TunnelRefused({ kind: "refused", reason: admitted.left })
          }
          const { services } = admitted.right
          usable.services = services
          listed = admitted.right.listedAs
          return Effect.succeed({
            software: `telad ${VERSION}`,
            principal: admitted.right.principal,
            services: services.map((service) => ({ port: service.port, name: service.name }))
          })
        })
    }).pipe(Effect.mapError(({ kind, reason }) => (kind === "lost" ? over(reason) : suspicious(reason))))

    yield* enforce(options, client, tunnel, usable)
    const known = {
      key: fingerprintOfHex(client),
      ...(listed && { listed }),
      services: usable.services.map(label).join(",")
    }
    yield* request.client === undefined
      ? Effect.logWarning("session up; the hub vouches for nobody", known)
      : Effect.logInfo("session up", { principal: printable(request.client.principal), ...known })
    yield* options.onTunnel(tunnel)

    const streams = yield* FiberSet.make<void>()
    return yield* tunnel.accept.pipe(
      Effect.flatMap((incoming) =>
        FiberSet.run(
          streams,
          Effect.suspend(() => serveStream(options, usable, incoming))
        )
      ),
      Effect.forever,
      // What the client had finished before is still on its way to services; all other streams have been reset.
      Effect.tapError(() => Effect.timeoutOption(FiberSet.awaitEmpty(streams), DELIVERY_LINGER)),
      Effect.mapError(({ kind, reason }) => (kind === "tampered" ? suspicious(reason) : over(reason)))
    )
  })
