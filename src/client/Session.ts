/**
 * One session with a machine: ask the hub, hear from hub and agent, check whose key it is, raise the tunnel or go on with
 * one (docs/protocol.md, "Setting up a session"; spec: wire 3). The session's socket ends with the scope.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { fingerprintOfHex, generate, type KeyPair } from "../crypto/KeyPair.ts"
import { CloseCode, Refusal } from "../protocol/Close.ts"
import type { Ready, WgPubkey } from "../protocol/Control.ts"
import * as Control from "../protocol/Control.ts"
import { HANDSHAKE_TIMEOUT, SESSION_READY_TIMEOUT } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import { VERSION } from "../protocol/Version.ts"
import type { KnownMachines } from "../store/KnownMachines.ts"
import type { CarrierClosed, Dial } from "../transport/Carrier.ts"
import * as Inbox from "../transport/Inbox.ts"
import type { KeepAccount } from "../tunnel/KeepBudget.ts"
import * as Stream1 from "../tunnel/Stream1.ts"
import type { Tunnel } from "../tunnel/Tunnel.ts"
import { ConnectError, type ConnectErrorKind } from "./ConnectError.ts"
import * as HubWord from "./HubWord.ts"

/** Whom to reach, as whom, and what must be true of the other end. */
export interface SessionOptions {
  /** As `HubUrl.parse` takes it. */
  readonly hub: string
  readonly machine: string
  readonly token: Redacted.Redacted | undefined
  /** The client's long-term key. */
  readonly identity: KeyPair
  readonly known: KnownMachines
  /** A fingerprint that the machine must have, known from elsewhere; pins before the first use. */
  readonly fingerprint?: string | undefined
  /** Remote ports that are asked for: a hint for the hub's records, no more. */
  readonly ports?: ReadonlyArray<number> | undefined
  readonly dial: Dial
}

/** A session that stands. */
export interface Session {
  readonly machine: string
  readonly tunnel: Tunnel
  /** What the agent lets this session use. */
  readonly services: ReadonlyArray<Stream1.OfferedService>
  /** Whom hub and agent take the client for; undefined through a hub that vouches for nobody. */
  readonly principal: string | undefined
  /** The agent's, pinned by now. */
  readonly fingerprint: string
  /** Whether the pin was made by this session. */
  readonly firstUse: boolean
}

/** A tunnel to go on with, or what a new one lives in. */
export interface Begin {
  /** Where a tunnel lives that is begun; it outlives this session when it can go on in another. */
  readonly scope: Scope.Scope
  /** Memory of a new link; undefined: it ends with this session. */
  readonly account?: (() => KeepAccount | undefined) | undefined
  /** The link to go on with, if the agent still has it. */
  readonly kept?: Stream1.Kept | undefined
}

/** A session that came up. */
export interface Opened {
  readonly session: Session
  /** With which its tunnel can go on in another session; undefined when it cannot. */
  readonly kept: Stream1.Kept | undefined
  /** Whether it is the link that was to go on. */
  readonly resumed: boolean
  /** Why that link cannot go on, in the agent's words. */
  readonly notResumed: string | undefined
  /** Waits until the hub says that it is about to stop: in so many milliseconds it wants to be asked again. */
  readonly draining: Effect.Effect<number>
}

const failure = (kind: ConnectErrorKind, reason: string, retryIn?: number) =>
  new ConnectError({ kind, reason, ...(retryIn !== undefined && { retryIn }) })

/** What an error text of a hub means (spec: wire 1.5). Deployed hubs are told by their texts, ours says the same. */
const hubError = (options: SessionOptions, message: string, retryIn?: number): ConnectError => {
  const text = printable(message)
  const said = text.toLowerCase()
  const { hub, machine } = options
  if (said.includes("invalid token")) {
    const advice = options.token === undefined ? "no token was given" : "check the token"
    return failure("denied", `${hub} refused the token (${text}); ${advice}`)
  }
  if (said.includes("access denied")) {
    return failure("denied", `access refused to "${machine}" at ${hub} (${text}); ask the hub's owner for a grant`)
  }
  if (said.includes("not found")) {
    return failure(
      "not-found",
      `"${machine}" is unknown at ${hub}, or offline; run: tela machines -hub ${hub}`,
      retryIn
    )
  }
  if (message === Refusal.draining) return failure("restarting", `${hub}: ${text}`, retryIn)
  return failure("refused", `${hub} refused the session: ${text}`, retryIn)
}

/** A session that ended while it was being set up. Hubs close with the refusal's text as the reason. */
const ended = (options: SessionOptions, how: CarrierClosed): ConnectError => {
  const { hub } = options
  if (how.code === CloseCode.policy) return hubError(options, how.reason)
  if (how.code === CloseCode.restart) return failure("restarting", `${hub}: ${Refusal.draining}`)
  // No hub has said so: it is what the socket died of.
  if (how.code === CloseCode.abnormal && how.reason !== "") return failure("lost", `${hub}: ${how.reason}`)
  return failure("lost", `${hub} ended the session: ${printable(how.message)}`)
}

/** Takes messages until both sides have spoken, in whatever order. */
const hearBoth = (options: SessionOptions, inbox: Inbox.Inbox) =>
  Effect.gen(function* () {
    let ready: Ready | undefined
    let offer: WgPubkey | undefined
    const next = Effect.mapError(inbox.take, (how) => ended(options, how))
    const hear = Effect.gen(function* () {
      const message = yield* next
      if (message._tag === "Binary") return
      const decoded = Control.decode(message.text)
      if (Either.isLeft(decoded)) {
        if (decoded.left._tag === "Malformed" && decoded.left.type === "wg-pubkey") {
          return yield* failure("incompatible", `the agent of "${options.machine}" sent a key that is none`)
        }
        return
      }
      switch (decoded.right.type) {
        case "ready":
          ready ??= decoded.right
          return
        case "wg-pubkey":
          offer ??= decoded.right
          return
        case "error":
          return yield* hubError(options, decoded.right.message, decoded.right.retryIn)
        default:
          return
      }
    })
    const hearAll = (isDone: () => boolean, timeout: number, what: string) =>
      Effect.whileLoop({ while: () => !isDone(), body: () => hear, step: () => {} }).pipe(
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => failure("lost", `no answer from ${what} within ${timeout / 1000} s`)
        })
      )
    yield* hearAll(() => ready !== undefined, SESSION_READY_TIMEOUT, options.hub)
    yield* hearAll(() => offer !== undefined, HANDSHAKE_TIMEOUT, `the agent of "${options.machine}"`)
    if (ready === undefined || offer === undefined) return yield* Effect.dieMessage("unreachable: both were heard")
    return { ready, offer }
  })

const quoted = (text: string) => (/^[\w.:/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

const changed = (options: SessionOptions, pinned: string, shown: string): ConnectError => {
  const where = `${quoted(options.machine)} -hub ${quoted(options.hub)}`
  return failure(
    "untrusted",
    `the key of "${options.machine}" at ${options.hub} has CHANGED: ${options.known.file} has ${pinned}, now it is ${shown}; ` +
      `somebody may be between you and the machine; if its owner confirms the new key, run: ` +
      `tela trust accept ${where} -fingerprint ${shown} (or: tela trust forget ${where})`
  )
}

/** Whether the key that the agent claims is the one it should have. Asked before a byte of the handshake is sent. */
const checkKey = (options: SessionOptions, shown: string) =>
  Effect.gen(function* () {
    if (options.fingerprint !== undefined && options.fingerprint !== shown) {
      return yield* failure(
        "untrusted",
        `"${options.machine}" at ${options.hub} has the key ${shown}, not ${options.fingerprint} as -fingerprint says; ` +
          "compare with what telad prints there"
      )
    }
    const known = yield* options.known.check(options.hub, options.machine, shown)
    if (known._tag === "Changed") return yield* changed(options, known.pinned, shown)
    return known
  })

const tunnelRefused = (options: SessionOptions, refused: Stream1.TunnelRefused): ConnectError => {
  const who = `"${options.machine}" at ${options.hub}`
  const ownKey = fingerprintOfHex(options.identity.publicHex)
  switch (refused.kind) {
    case "forged":
      return failure(
        "untrusted",
        `${who} did not prove its key, or somebody meddles between: ${printable(refused.reason)}`
      )
    case "refused":
      return failure(
        "denied",
        `access refused by ${who}: ${printable(refused.reason)} (this client's key is ${ownKey})`
      )
    case "lost":
      return failure(
        "lost",
        `${who} hung up: ${printable(refused.reason)}; its agent's log says why (this client's key is ${ownKey})`
      )
  }
}

/** A client serves nobody: what an agent asks it to open is refused, so that it holds nothing. */
const refuseAll = (tunnel: Tunnel) =>
  Effect.map(tunnel.accept, (incoming) =>
    incoming.refuse(new StreamReset({ code: ResetCode.denied, reason: "a client offers nothing" }))
  ).pipe(Effect.forever, Effect.ignore, Effect.forkScoped)

/**
 * Opens a session, with a new tunnel or with one that goes on. Every way in which it can fail is a ConnectError; nothing is
 * pinned unless the tunnel came up. Access that is revoked ends the tunnel in the turn in which the hub says so.
 */
export const attempt = (
  options: SessionOptions,
  { account, kept, scope }: Begin
): Effect.Effect<Opened, ConnectError, Scope.Scope> => {
  /** Set when the hub has said that this session may not be. */
  let revoked: string | undefined
  let standing = kept?.tunnel
  return Effect.gen(function* () {
    const { hub, identity, known, machine } = options
    const draining = yield* Deferred.make<number>()
    const carrier = yield* options.dial(hub)
    const inbox = HubWord.listen(Inbox.make(carrier), {
      revoked: (reason) => {
        revoked ??= reason
        standing?.revoke(reason)
      },
      draining: (retryIn) => Deferred.unsafeDone(draining, Effect.succeed(retryIn))
    })
    const sessionKey = generate()
    const connect: Control.Connect = {
      type: "connect",
      protocolVersion: 1,
      machineId: machine,
      wgPubKey: sessionKey.publicHex,
      ...(options.ports !== undefined && options.ports.length > 0 ? { ports: options.ports } : {}),
      ...(options.token !== undefined ? { token: Redacted.value(options.token) } : {}),
      identity: identity.publicHex,
      ...(account !== undefined && { resumes: true })
    }
    carrier.sendText(Control.encode(connect))

    const { offer, ready } = yield* hearBoth(options, inbox)
    const tunnels = offer.tunnels ?? []
    if (!tunnels.includes(Stream1.name) || offer.identity === undefined) {
      return yield* failure(
        "incompatible",
        `agent speaks no ${Stream1.name}: "${machine}" at ${hub} offers no tunnel that this client trusts; ` +
          "update telad there, and if it is up to date, suspect the hub"
      )
    }
    const fingerprint = fingerprintOfHex(offer.identity)
    const before = yield* checkKey(options, fingerprint)

    const initiated = yield* Stream1.initiate({
      inbox,
      session: {
        machine,
        clientSessionKey: sessionKey.publicHex,
        agentSessionKey: offer.wgPubKey,
        agentIdentity: offer.identity,
        tunnels,
        ports: offer.ports ?? []
      },
      identity,
      software: `tela ${VERSION}`,
      scope,
      ...(account !== undefined && { account }),
      kept
    })
    const { hello } = initiated
    const resumed = initiated._tag === "Resumed"
    const tunnel = resumed ? initiated.kept.tunnel : initiated.tunnel
    standing = tunnel
    if (revoked !== undefined) tunnel.revoke(revoked)
    if (!resumed) yield* Scope.extend(refuseAll(tunnel), scope)
    if (hello.principal !== ready.principal) {
      return yield* failure(
        "untrusted",
        `"${machine}" serves this session for ${said(hello.principal)}, but ${hub} says it is for ${said(ready.principal)}; ` +
          "the hub mixes sessions, or lies"
      )
    }
    // Only now: a key that nobody has proved is not worth remembering.
    const pinned = before._tag === "New" ? yield* known.pin(hub, machine, fingerprint) : before
    if (pinned._tag === "Changed") return yield* changed(options, pinned.pinned, fingerprint)
    const firstUse = pinned._tag === "New"
    return {
      session: { machine, tunnel, services: hello.services, principal: ready.principal, fingerprint, firstUse },
      kept: initiated.kept,
      resumed,
      notResumed: hello.notResumed,
      draining: Deferred.await(draining)
    }
  }).pipe(
    Effect.catchTags({
      DialError: (error) => failure(error.untrusted === true ? "untrusted" : "unreachable", error.message),
      TunnelRefused: (refused) => tunnelRefused(options, refused),
      YamlFileError: (error) => failure("local", error.message)
    }),
    // Whatever it looked like from here: an error text, a hang-up, an answer that did not come.
    Effect.mapError((error) => (revoked === undefined ? error : failure("revoked", revoked)))
  )
}

/** Opens a session whose tunnel, too, ends with the scope. */
export const open = (options: SessionOptions): Effect.Effect<Session, ConnectError, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) => Effect.map(attempt(options, { scope }), ({ session }) => session))

const said = (principal: string | undefined) =>
  principal === undefined ? "nobody in particular" : `"${printable(principal)}"`
