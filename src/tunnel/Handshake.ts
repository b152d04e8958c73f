/**
 * What the two ends say to each other before the first record: the prologue that binds the handshake to this one session,
 * and the maps inside the two handshake messages (docs/protocol.md, "Handshake").
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { PublicKeyHex } from "../crypto/KeyPair.ts"
import { HELLO_BYTES } from "../protocol/Limits.ts"
import { Port } from "../protocol/Service.ts"

/** The name under which both sides agree on this tunnel. */
export const name = "stream/1"

/** What both ends know of the session before the handshake, and bind it to. */
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

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const field = (bytes: Uint8Array) => Buffer.concat([uint32(bytes.length), bytes])
const text = (value: string) => field(Buffer.from(value))
const key = (hex: PublicKeyHex) => field(Buffer.from(hex, "hex"))

/**
 * The Noise prologue. Both session keys are fresh, so a handshake fits no other session; the rest is what a hub could
 * otherwise change on the way: the machine, the tunnels offered, the ports.
 */
export const prologue = (session: Session): Buffer =>
  Buffer.concat([
    text(`tela ${name}`),
    text(session.machine),
    key(session.clientSessionKey),
    key(session.agentSessionKey),
    key(session.agentIdentity),
    uint32(session.tunnels.length),
    ...session.tunnels.map(text),
    uint32(session.ports.length),
    ...session.ports.map(uint32)
  ])

/** A service as the agent tells the client of it. */
const OfferedService = Schema.Struct({ port: Port, name: Schema.String })
export type OfferedService = typeof OfferedService.Type

/** What a client says of going on after a lost carrier: that it can, or with which link it wants to, in which try. */
const ResumeAsked = Schema.Struct({
  link: Schema.optional(Schema.String),
  attempt: Schema.optional(Schema.NonNegativeInt)
})

/** What the agent answers: the link that is begun, or gone on with. */
const ResumeAnswered = Schema.Struct({
  link: Schema.String,
  /** How long the agent waits for the client to come back, in milliseconds. */
  grace: Schema.NonNegativeInt,
  /** Whether it is the link that was asked for. */
  resumed: Schema.optional(Schema.Boolean)
})

/** The map in the first message. Unknown members are ignored. */
export const ClientHello = Schema.Struct({ software: Schema.String, resume: Schema.optional(ResumeAsked) })
export type ClientHello = typeof ClientHello.Type

/** The map in the second message: for whom the agent serves the session, and what. */
export const AgentHello = Schema.Struct({
  software: Schema.String,
  /** The identity that the hub vouched for; absent through a hub that vouches for nobody. */
  principal: Schema.optional(Schema.String),
  services: Schema.Array(OfferedService),
  /** Absent when the link ends with its carrier. */
  resume: Schema.optional(ResumeAnswered),
  /** Why the link that was asked for cannot go on. */
  notResumed: Schema.optional(Schema.String)
})
export type AgentHello = typeof AgentHello.Type

export const encodeHello = (hello: ClientHello | AgentHello): Buffer => Buffer.from(JSON.stringify(hello))

/** Reads a hello; undefined when it is too long or not one. */
export const decodeHello = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknownEither(Schema.parseJson(schema))
  return (payload: Uint8Array): A | undefined =>
    payload.length > HELLO_BYTES ? undefined : Either.getOrUndefined(decode(Buffer.from(payload).toString()))
}
