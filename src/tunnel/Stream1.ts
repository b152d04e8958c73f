/**
 * stream/1: the tunnel of docs/protocol.md, put together from its layers: carrier, secure channel, link, mux. A tunnel is
 * begun by a handshake on one carrier, and goes on after a handshake on another.
 */
import { randomBytes } from "node:crypto"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import type { KeyPair, PublicKeyHex } from "../crypto/KeyPair.ts"
import * as Noise from "../crypto/Noise.ts"
import { HANDSHAKE_TIMEOUT } from "../protocol/Limits.ts"
import type { Inbox } from "../transport/Inbox.ts"
import * as Handshake from "./Handshake.ts"
import type { KeepAccount, Linger } from "./KeepBudget.ts"
import { goOn, type Kept } from "./Kept.ts"
import * as LinkTunnel from "./LinkTunnel.ts"
import * as ResumeProof from "./ResumeProof.ts"
import * as SecureChannel from "./SecureChannel.ts"
import { type Tunnel, TunnelRefused } from "./Tunnel.ts"

export { name } from "./Handshake.ts"
export type { AgentHello, ClientHello, OfferedService, Session } from "./Handshake.ts"
export type { Kept } from "./Kept.ts"
export { TunnelRefused } from "./Tunnel.ts"

const decodeClientHello = Handshake.decodeHello(Handshake.ClientHello)
const decodeAgentHello = Handshake.decodeHello(Handshake.AgentHello)

const forged = (reason: string) => new TunnelRefused({ kind: "forged", reason })
const lost = (reason: string) => new TunnelRefused({ kind: "lost", reason })

/** Bytes of a link's name: nobody can guess one, and guessing would not help. */
const LINK_ID_BYTES = 16

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

/** The channel of a finished handshake, and what waits for its end. */
const channelOf = (inbox: Inbox, transport: Noise.Transport, sender: number) => {
  const ended = Deferred.unsafeMake<void>(FiberId.none)
  const channel = SecureChannel.make({
    carrier: inbox.carrier,
    transport,
    sender,
    takeOver: inbox.handOver,
    ended: () => Deferred.unsafeDone(ended, Effect.void)
  })
  return { channel, ended: Deferred.await(ended) }
}

/** A tunnel that a handshake began. */
export interface Begun {
  readonly _tag: "Begun"
  readonly tunnel: Tunnel
  /** With which it can go on in another carrier; undefined when it cannot. */
  readonly kept: Kept | undefined
}

/** A tunnel that goes on in this carrier. */
export interface Resumed {
  readonly _tag: "Resumed"
  readonly kept: Kept
}

export interface InitiateOptions {
  readonly inbox: Inbox
  readonly session: Handshake.Session
  readonly identity: KeyPair
  readonly software: string
  /** Where the tunnel lives that is begun; it outlives the carrier when it can be resumed. */
  readonly scope: Scope.Scope
  /** Memory of a new link; undefined: it ends with its carrier. */
  readonly account?: () => KeepAccount | undefined
  /** The link to go on with, if the agent still has it. */
  readonly kept?: Kept | undefined
}

/** What a client has after its handshake. */
export type Initiated = (Begun | Resumed) & {
  readonly hello: Handshake.AgentHello
  /** Waits until this carrier is over; the tunnel may go on in another. */
  readonly ended: Effect.Effect<void>
}

/**
 * The client's side. Sends the first handshake message, takes the second, and owns the inbox's carrier from then on. Asked
 * to go on with a link that the agent no longer has, it begins a new one: what becomes of the old one is the caller's.
 */
export const initiate = (options: InitiateOptions): Effect.Effect<Initiated, TunnelRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const { account, identity, inbox, kept, scope, session, software } = options
    const sender = SecureChannel.senderId()
    const attempt = kept === undefined ? 0 : ++kept.attempt
    const asked = kept === undefined ? (account === undefined ? undefined : {}) : { link: kept.id, attempt }
    const initiator = yield* noise(
      () =>
        Noise.initiate(
          { prologue: Handshake.prologue(session), identity },
          Buffer.from(session.agentIdentity, "hex"),
          Handshake.encodeHello({ software, ...(asked && { resume: asked }) })
        ),
      "the agent's identity key is unusable"
    )
    inbox.carrier.send(SecureChannel.message(SecureChannel.MessageType.handshakeInit, sender, initiator.first))
    const second = yield* takeMessage(inbox, SecureChannel.MessageType.handshakeResponse, "answer of the agent")
    const { payload, transport } = yield* noise(
      () => initiator.finish(second),
      "the agent did not prove its identity key"
    )
    const hello = decodeAgentHello(payload)
    if (hello === undefined) return yield* forged("the agent's hello cannot be read")
    const { channel, ended } = channelOf(inbox, transport, sender)

    if (kept !== undefined && hello.resume?.resumed === true) {
      if (hello.resume.link !== kept.id) return yield* forged("the agent goes on with another link than asked for")
      // From here on both positions stand still, and what the old carrier still brings is nobody's.
      kept.link.detach("the session goes on elsewhere")
      yield* goOn({ kept, channel, transport, side: "client", attempt })
      return { _tag: "Resumed" as const, kept, hello, ended }
    }

    const memory = hello.resume === undefined ? undefined : account?.()
    const { link, tunnel } = yield* LinkTunnel.make({ initiator: true, account: memory }).pipe(Scope.extend(scope))
    link.attach(channel)
    const begun: Kept | undefined =
      hello.resume === undefined || memory === undefined
        ? undefined
        : {
            id: hello.resume.link,
            secret: ResumeProof.secretOf(transport),
            peer: session.agentIdentity,
            grace: hello.resume.grace,
            link,
            tunnel,
            attempt: 0
          }
    return { _tag: "Begun" as const, tunnel, kept: begun, hello, ended }
  }).pipe(inTime)

/** Who keeps an agent's links. */
export interface Keeper {
  /** The link that a client asks to go on with; the other side is why that cannot be, fit for the peer to read. */
  readonly find: (asked: {
    readonly link: string
    readonly attempt: number
    readonly client: PublicKeyHex
    readonly principal: string | undefined
  }) => Either.Either<Kept, string>
  /** The client has proved that the link is its own: it goes on in this session, under what holds here. */
  readonly goOn: (kept: Kept) => void
  /** Memory for a new link of a client; undefined: it ends with its carrier. */
  readonly account: (client: PublicKeyHex, principal: string | undefined) => KeepAccount | undefined
  /** How long links wait for their client, in milliseconds. */
  readonly grace: number
}

export interface RespondOptions {
  readonly inbox: Inbox
  readonly session: Handshake.Session
  readonly identity: KeyPair
  /** Where the tunnel lives that is begun; it outlives the carrier when it can be resumed. */
  readonly scope: Scope.Scope
  readonly keeper?: Keeper | undefined
  /** Memory for what a client's new link leaves to be delivered after its end; without it, as much as there is. */
  readonly linger?: ((client: PublicKeyHex, principal: string | undefined) => Linger) | undefined
  /** Whether that client may be here, and what to answer. */
  readonly authorise: (
    client: PublicKeyHex,
    hello: Handshake.ClientHello
  ) => Effect.Effect<Handshake.AgentHello, TunnelRefused>
}

/** What an agent has after the client's first record. */
export type Responded = (Begun | Resumed) & {
  readonly client: PublicKeyHex
  /** Waits until this carrier is over; the tunnel may go on in another. */
  readonly ended: Effect.Effect<void>
}

/**
 * The agent's side. Takes the first handshake message and asks `authorise` whether that client may be here and what to
 * answer; acts on nothing until the client's first record has opened, since the first message alone can be replayed.
 */
export const respond = (options: RespondOptions): Effect.Effect<Responded, TunnelRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const { identity, inbox, keeper, scope, session } = options
    const first = yield* takeMessage(inbox, SecureChannel.MessageType.handshakeInit, "stream/1 handshake")
    const responder = yield* noise(
      () => Noise.respond({ prologue: Handshake.prologue(session), identity }, first),
      "the client's handshake does not fit this session"
    )
    const client = Buffer.from(responder.initiator).toString("hex")
    const clientHello = decodeClientHello(responder.payload)
    if (clientHello === undefined) return yield* forged("the client's hello cannot be read")
    const said = yield* options.authorise(client, clientHello)
    const { principal } = said

    const { attempt = 0, link: wanted } = clientHello.resume ?? {}
    const found =
      wanted === undefined || keeper === undefined
        ? undefined
        : keeper.find({ link: wanted, attempt, client, principal })
    const kept = found === undefined ? undefined : Either.getOrUndefined(found)
    const grace = keeper?.grace ?? 0
    const memory =
      kept === undefined && clientHello.resume !== undefined ? keeper?.account(client, principal) : undefined
    const id = kept?.id ?? randomBytes(LINK_ID_BYTES).toString("hex")
    const answer: Handshake.AgentHello = {
      ...said,
      ...((kept !== undefined || memory !== undefined) && {
        resume: { link: id, grace, ...(kept !== undefined && { resumed: true }) }
      }),
      ...(found !== undefined && Either.isLeft(found) && { notResumed: found.left })
    }
    const { second, transport } = yield* noise(() => responder.answer(Handshake.encodeHello(answer)), "handshake").pipe(
      Effect.tapError(() => Effect.sync(() => memory?.close()))
    )
    const sender = SecureChannel.senderId()
    inbox.carrier.send(SecureChannel.message(SecureChannel.MessageType.handshakeResponse, sender, second))
    const { channel, ended } = channelOf(inbox, transport, sender)

    if (kept !== undefined) {
      yield* goOn({ kept, channel, transport, side: "agent", attempt, proved: () => keeper?.goOn(kept) })
      return { _tag: "Resumed" as const, kept, client, ended }
    }

    const live = yield* Deferred.make<void>()
    const { link, tunnel } = yield* LinkTunnel.make({
      initiator: false,
      account: memory,
      linger: options.linger?.(client, principal)
    }).pipe(Scope.extend(scope))
    link.attach(channel, undefined, () => Deferred.unsafeDone(live, Effect.void))
    yield* Effect.raceFirst(
      Deferred.await(live),
      Effect.flatMap(Effect.raceFirst(tunnel.closed, tunnel.detached), (how) =>
        Effect.fail(new TunnelRefused({ kind: how.kind === "tampered" ? "forged" : "lost", reason: how.reason }))
      )
    ).pipe(
      Effect.onError(() =>
        Effect.sync(() => {
          tunnel.abandon("the client never spoke")
          // Nobody serves it: what its streams had to deliver would wait for ever.
          tunnel.revoke("the client never spoke")
        })
      )
    )
    const begun: Kept | undefined =
      memory === undefined
        ? undefined
        : { id, secret: ResumeProof.secretOf(transport), peer: client, grace, link, tunnel, attempt: 0 }
    return { _tag: "Begun" as const, tunnel, kept: begun, client, ended }
  }).pipe(inTime)
