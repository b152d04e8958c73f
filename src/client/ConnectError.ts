/** Why a client has no session. The kind decides whether trying again can help; the reason is for people. */
import * as Schema from "effect/Schema"

/**
 * - `unreachable`: the hub could not be dialled.
 * - `not-found`: the hub knows no such machine, or it is offline (hubs do not tell these apart).
 * - `denied`: the hub refuses this token, or this identity on this machine.
 * - `revoked`: a session stood, or was coming up, when the right to it ended.
 * - `untrusted`: the other end is not who it should be, or somebody meddles between: never to be retried.
 * - `incompatible`: the agent speaks no tunnel that this client speaks.
 * - `local`: something on this computer: an unreadable file, an unknown service, a port that is taken.
 * - `refused`: the hub or the agent refuses for another reason, such as too many sessions.
 * - `restarting`: the hub is about to stop, and another one will be in its place.
 * - `lost`: the connection ended, or the time.
 */
export const ConnectErrorKind = Schema.Literal(
  "unreachable",
  "not-found",
  "denied",
  "revoked",
  "untrusted",
  "incompatible",
  "local",
  "refused",
  "restarting",
  "lost"
)
export type ConnectErrorKind = typeof ConnectErrorKind.Type

/** No session, or no more. The message is one line and says what to do. */
export class ConnectError extends Schema.TaggedError<ConnectError>()("ConnectError", {
  kind: ConnectErrorKind,
  reason: Schema.String,
  /** When the hub wants to be asked again, in milliseconds, if it says so. */
  retryIn: Schema.optional(Schema.Number)
}) {
  override get message(): string {
    return this.reason
  }
}

/** Whether no other try can help, even after there has been a session. */
export const isFinal = ({ kind }: ConnectError): boolean => final.has(kind)

const final: ReadonlySet<ConnectErrorKind> = new Set(["denied", "revoked", "untrusted", "incompatible", "local"])
