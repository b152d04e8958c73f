/**
 * stream/1: the tunnel of docs/protocol.md, put together from its layers: carrier, secure channel, link, mux.
 */
import { performance } from "node:perf_hooks"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { KeyPair, PublicKeyHex } from "../crypto/KeyPair.ts"
import * as Noise from "../crypto/Noise.ts"
import { HANDSHAKE_TIMEOUT, LINK_STREAMS } from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { Inbox } from "../transport/Inbox.ts"
import * as Handshake from "./Handshake.ts"
import { Link } from "./Link.ts"
import { Mux } from "./Mux.ts"
import * as SecureChannel from "./SecureChannel.ts"
import type { Incoming, Tunnel, TunnelClosed } from "./Tunnel.ts"

export { name } from "./Handshake.ts"
export type { AgentHello, ClientHello, OfferedService, Session } from "./Handshake.ts"

/**
 * The tunnel did not come up. `forged`: a handshake that is not authentic, never to be retried; `refused`: the peer may not
 * be here; `lost`: the connection ended, or the time, before the handshake was done.
 */
export class TunnelRefused extends Schema.TaggedError<TunnelRefused>()("TunnelRefused", {
  kind: Schema.Literal("forged", "refused", "lost"),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

const decodeClientHello = Handshake.decodeHello(Handshake.ClientHello)
const decodeAgentHello = Handshake.decodeHello(Handshake.AgentHello)

const cancelled = new StreamReset({ code: ResetCode.cancelled, reason: "no longer wanted" })

const forged = (reason: string) => new TunnelRefused({ kind: "forged", reason })
const lost = (reason: string) => new TunnelRefused({ kind: "lost", reason })

/** WireGuard's message types; a deployed client opens with one of them (spec: wire 4). */
const isWireGuard = (type: number): boolean => type >= 1 && type <= 4

const wireGuard = new TunnelRefused({
  kind: "refused",
  reason: `client speaks no ${Handshake.name}: it opened with WireGuard; update tela there`
})

/** Runs a step of the Noise handshake. */
const noise = <A>(step: () => A, what: string): Effect.Effect<A, TunnelRefused> =>
  Effect.try({
    try: step,
    catch: (error) => forged(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  })

/** The next tunnel message; text on the way and control frames of deployed peers are not for us. */
const takeMessage = (inbox: Inbox, type: number, what: string): Effect.Effect<Uint8Array, TunnelRefused> =>
  Effect.gen(function* () {
    for (;;) {
      const inbound = yield* Effect.mapError(inbox.take, (closed) =>
        lost(`the connection ended during the handshake: ${closed.message}`)
      )
      const message = inbound._tag === "Binary" ? SecureChannel.parseMessage(inbound.data) : undefined
      if (message === undefined) continue
      if (message.type !== type) return yield* isWireGuard(message.type) ? wireGuard : forged(`no ${what} arrived`)
      return message.body
    }
  })

const inTime = Effect.timeoutFail({
  duration: HANDSHAKE_TIMEOUT,
  onTimeout: () => lost(`no handshake within ${HANDSHAKE_TIMEOUT / 1000} s`)
})

/** Builds the tunnel on a finished handshake; it ends with the scope. */
const build = (options: {
  readonly inbox: Inbox
  readonly transport: Noise.Transport
  readonly sender: number
  readonly initiator: boolean
  /** The first record of the peer has opened. */
  readonly live: () => void
}): Effect.Effect<Tunnel, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { inbox, transport, sender } = options
    const closed = yield* Deferred.make<TunnelClosed>()
    // Bounded by LINK_STREAMS: the mux refuses further streams while that many are unanswered.
    const incoming = yield* Mailbox.make<Incoming, TunnelClosed>(LINK_STREAMS)
    const mux = new Mux({
      initiator: options.initiator,
      link: (source) =>
        new Link({
          source,
          now: () => performance.now(),
          live: options.live,
          channel: (receiver) =>
            SecureChannel.make({ carrier: inbox.carrier, transport, sender, takeOver: inbox.handOver, receiver })
        }),
      incoming: (stream) => void incoming.unsafeOffer(stream),
      closed: (how) => {
        incoming.unsafeDone(Exit.fail(how))
        Deferred.unsafeDone(closed, Effect.succeed(how))
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => mux.close("the program ended the session")))
    const end = Effect.flatMap(Deferred.await(closed), (how) => Effect.fail(how))
    return {
      open: (target) =>
        Effect.async((resume) => {
          const stream = mux.open(target, {
            accepted: (accepted) => resume(Effect.succeed(accepted)),
            refused: (reset) => resume(Effect.fail(reset))
          })
          return Effect.sync(() => stream?.reset(cancelled))
        }),
      accept: Effect.catchTag(incoming.take, "NoSuchElementException", () => end),
      closed: Deferred.await(closed),
      close: (reason) => mux.close(reason),
      revoke: (reason) => mux.revoke(reason),
      held: () => mux.held
    }
  })

/**
 * The client's side. Sends the first handshake message, takes the second, and owns the inbox's carrier from then on.
 * The tunnel ends, and the carrier closes, with the scope.
 */
export const initiate = (options: {
  readonly inbox: Inbox
  readonly session: Handshake.Session
  readonly identity: KeyPair
  readonly hello: Handshake.ClientHello
}): Effect.Effect<{ readonly tunnel: Tunnel; readonly hello: Handshake.AgentHello }, TunnelRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const { inbox, session, identity } = options
    const sender = SecureChannel.senderId()
    const initiator = yield* noise(
      () =>
        Noise.initiate(
          { prologue: Handshake.prologue(session), identity },
          Buffer.from(session.agentIdentity, "hex"),
          Handshake.encodeHello(options.hello)
        ),
      "the agent's identity key is unusable"
    )
    inbox.carrier.send(SecureChannel.message(SecureChannel.MessageType.handshakeInit, sender, initiator.first))
    const second = yield* takeMessage(inbox, SecureChannel.MessageType.handshakeResponse, "answer of the agent")
    const finished = yield* noise(() => initiator.finish(second), "the agent did not prove its identity key")
    const hello = decodeAgentHello(finished.payload)
    if (hello === undefined) return yield* forged("the agent's hello cannot be read")
    const tunnel = yield* build({ inbox, transport: finished.transport, sender, initiator: true, live: () => {} })
    return { tunnel, hello }
  }).pipe(inTime)

/**
 * The agent's side. Takes the first handshake message and asks `authorise` whether that client may be here and what to
 * answer; acts on nothing until the client's first record has opened, since the first message alone can be replayed.
 */
export const respond = (options: {
  readonly inbox: Inbox
  readonly session: Handshake.Session
  readonly identity: KeyPair
  readonly authorise: (
    client: PublicKeyHex,
    hello: Handshake.ClientHello
  ) => Effect.Effect<Handshake.AgentHello, TunnelRefused>
}): Effect.Effect<{ readonly tunnel: Tunnel; readonly client: PublicKeyHex }, TunnelRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const { inbox, session, identity } = options
    const first = yield* takeMessage(inbox, SecureChannel.MessageType.handshakeInit, "stream/1 handshake")
    const responder = yield* noise(
      () => Noise.respond({ prologue: Handshake.prologue(session), identity }, first),
      "the client's handshake does not fit this session"
    )
    const client = Buffer.from(responder.initiator).toString("hex")
    const clientHello = decodeClientHello(responder.payload)
    if (clientHello === undefined) return yield* forged("the client's hello cannot be read")
    const hello = yield* options.authorise(client, clientHello)
    const { second, transport } = yield* noise(() => responder.answer(Handshake.encodeHello(hello)), "handshake")
    const sender = SecureChannel.senderId()
    const live = yield* Deferred.make<void>()
    inbox.carrier.send(SecureChannel.message(SecureChannel.MessageType.handshakeResponse, sender, second))
    const tunnel = yield* build({
      inbox,
      transport,
      sender,
      initiator: false,
      live: () => Deferred.unsafeDone(live, Effect.void)
    })
    yield* Effect.raceFirst(
      Deferred.await(live),
      Effect.flatMap(tunnel.closed, (how) =>
        Effect.fail(new TunnelRefused({ kind: how.kind === "tampered" ? "forged" : "lost", reason: how.reason }))
      )
    )
    return { tunnel, client }
  }).pipe(inTime)
