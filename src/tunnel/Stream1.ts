/**
 * stream/1: the tunnel of docs/protocol.md, put together from its layers: carrier, secure channel, link, mux.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { KeyPair, PublicKeyHex } from "../crypto/KeyPair.ts"
import type { Inbox } from "../transport/Inbox.ts"
import type { Tunnel } from "./Tunnel.ts"

/** The name under which both sides agree on this tunnel. */
export const name = "stream/1"

/** What both ends know of the session before the handshake, and bind it to (docs/protocol.md, "Prologue"). */
export interface Session {
  readonly machine: string
  /** The client's session key, from `connect`. */
  readonly clientSessionKey: PublicKeyHex
  /** From the agent's wg-pubkey message: its session key, identity, tunnels and ports, exactly as said there. */
  readonly agentSessionKey: PublicKeyHex
  readonly agentIdentity: PublicKeyHex
  readonly tunnels: ReadonlyArray<string>
  readonly ports: ReadonlyArray<number>
}

/** A service as the agent tells the client of it, inside the handshake. */
export interface OfferedService {
  readonly port: number
  readonly name: string
}

/** Said inside the first handshake message. */
export interface ClientHello {
  readonly software: string
}

/** Said inside the second: for whom the agent serves the session, and what. */
export interface AgentHello {
  readonly software: string
  /** The identity that the hub vouched for; undefined through a hub that vouches for nobody. */
  readonly principal: string | undefined
  readonly services: ReadonlyArray<OfferedService>
}

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

/**
 * The client's side. Sends the first handshake message, takes the second, and owns the inbox's carrier from then on.
 * The tunnel ends, and the carrier closes, with the scope.
 */
export const initiate = (_options: {
  readonly inbox: Inbox
  readonly session: Session
  readonly identity: KeyPair
  readonly hello: ClientHello
}): Effect.Effect<{ readonly tunnel: Tunnel; readonly hello: AgentHello }, TunnelRefused, Scope.Scope> =>
  Effect.fail(new TunnelRefused({ kind: "lost", reason: "not built yet" }))

/**
 * The agent's side. Takes the first handshake message and asks `authorise` whether that client may be here and what to
 * answer; acts on nothing until the client's first record has decrypted.
 */
export const respond = (_options: {
  readonly inbox: Inbox
  readonly session: Session
  readonly identity: KeyPair
  readonly authorise: (client: PublicKeyHex, hello: ClientHello) => Effect.Effect<AgentHello, TunnelRefused>
}): Effect.Effect<{ readonly tunnel: Tunnel; readonly client: PublicKeyHex }, TunnelRefused, Scope.Scope> =>
  Effect.fail(new TunnelRefused({ kind: "lost", reason: "not built yet" }))
