/**
 * What an end remembers of a tunnel so that it can go on in another carrier, and how it goes on there: each side proves in
 * its first record that it is the same link, and states where it stands; then what the other has not is sent again
 * (docs/protocol.md, "Resuming").
 */
import * as Effect from "effect/Effect"
import type { PublicKeyHex } from "../crypto/KeyPair.ts"
import type { Transport } from "../crypto/Noise.ts"
import * as Frames from "./Frames.ts"
import type { Link } from "./Link.ts"
import * as ResumeProof from "./ResumeProof.ts"
import type { SecureChannel } from "./SecureChannel.ts"
import { type Tunnel, TunnelClosed, TunnelRefused } from "./Tunnel.ts"

export interface Kept {
  /** The link's name, which the agent gave it. */
  readonly id: string
  /** Of the first handshake: {@link ResumeProof.secretOf}. */
  readonly secret: Uint8Array
  /** The other end's long-term key: it goes on with nobody else. */
  readonly peer: PublicKeyHex
  /** How long the agent waits for the client to come back, in milliseconds. */
  readonly grace: number
  readonly link: Link
  readonly tunnel: Tunnel
  /** The client's last try, and the last one that the agent went on with: an older one never counts. */
  attempt: number
}

const refused = (kind: TunnelRefused["kind"], reason: string) => new TunnelRefused({ kind, reason })

/**
 * Goes on in a channel whose handshake is done. The agent answers the client, and drops its old carrier only when the client
 * has proved that it is the one; the client has dropped its own before.
 */
export const goOn = (options: {
  readonly kept: Kept
  readonly channel: SecureChannel
  readonly transport: Transport
  readonly side: ResumeProof.Side
  readonly attempt: number
  /** Called when the other end has proved that it is the one, before anything passes. */
  readonly proved?: () => void
}): Effect.Effect<void, TunnelRefused> =>
  Effect.async<void, TunnelRefused>((resume) => {
    const { attempt, channel, kept, proved = () => {}, side, transport } = options
    const { link, secret } = kept
    const peer = side === "client" ? "agent" : "client"
    const state = () => {
      const record = Frames.resumeRecord(link.positions, ResumeProof.proof(secret, side, transport))
      channel.send([record], record.length)
    }
    const fail = (how: TunnelRefused) => {
      resume(Effect.fail(how))
      channel.close(new TunnelClosed({ kind: how.kind === "forged" ? "tampered" : "closed", reason: how.reason }))
    }
    let isDone = false
    const hear = (record: Buffer) => {
      const stated = Frames.readResumeRecord(record)
      if (stated === undefined || !ResumeProof.verify(secret, peer, transport, stated.proof)) {
        return fail(refused("forged", `the ${peer} did not prove that the link is its own`))
      }
      if (link.isOver) return fail(refused("lost", "the session is over"))
      if (side === "agent") {
        if (attempt <= kept.attempt) return fail(refused("lost", "a later try of the client has come first"))
        kept.attempt = attempt
        link.detach("the client has come back elsewhere")
        if (link.isOver) return fail(refused("lost", "the session is over"))
        state()
      }
      proved()
      if (link.isOver) return fail(refused("lost", "the session is over"))
      if (!link.attach(channel, stated.positions)) {
        return fail(refused("forged", `the ${peer} states a position where it cannot be`))
      }
      isDone = true
      resume(Effect.void)
    }
    channel.receive({
      record: hear,
      drain: () => {},
      closed: ({ kind, reason }) => resume(Effect.fail(refused(kind === "tampered" ? "forged" : "lost", reason)))
    })
    if (link.isOver) fail(refused("lost", "the session is over"))
    else if (side === "client") state()
    // A try that was given up must not act on the link: its carrier may deliver for a while.
    return Effect.sync(() => {
      if (!isDone) channel.close(new TunnelClosed({ kind: "closed", reason: "no longer wanted" }))
    })
  })
