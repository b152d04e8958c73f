/**
 * WebSocket close codes and the refusal texts that deployed peers key on (spec: wire 1.5).
 *
 * Deployed agents stop for good on a text containing "access denied" or "invalid token", whatever the case; deployed
 * clients stop on "invalid token" only. Change no text here without reading that section.
 */

export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  /** What ws reports for a socket that vanished without a close frame. */
  abnormal: 1006,
  policy: 1008,
  tooBig: 1009,
  /** The hub restarts (RFC 6455 registry): come back. */
  restart: 1012
} as const

export const Refusal = {
  expectedJson: "Expected JSON for first message",
  badFrame: "relay frame: unsupported version",
  agentIdRequired: "register: agentId is required",
  accessDenied: "Access denied",
  machineNotFound: "Machine not found",
  tooManySessions: "Too many sessions for this machine (max 254)",
  sessionNotFound: "Session not found",
  clientGone: "Client gone",
  agentDidNotJoin: "agent did not join session",
  agentDisconnected: "agent disconnected",
  agentSessionEnded: "agent session ended",
  /** To the other end of a session whose peer did not read what it was sent. */
  heldTooMuch: "the other end did not read, and the hub's memory for that is used up",
  /** To whoever asks for something new while the hub is about to stop. */
  draining: "this hub is restarting; try again in a moment",
  /** To a client whose session policy no longer permits. Ours end on the first two words, deployed ones on the last two. */
  accessRevoked: "access revoked: invalid token",
  /** To an agent whose registration policy no longer permits: holds neither of the texts that would stop it for good. */
  registrationRevoked: "registration revoked"
} as const

/** A close reason must fit in a control frame: 125 bytes less the code (RFC 6455, section 5.5). */
export const CLOSE_REASON_BYTES = 123

/** Cuts a text to what a close frame can carry, at a character boundary. */
export const closeReason = (text: string): string => {
  if (Buffer.byteLength(text) <= CLOSE_REASON_BYTES) return text
  let cut = text.slice(0, CLOSE_REASON_BYTES)
  while (Buffer.byteLength(cut) > CLOSE_REASON_BYTES) cut = cut.slice(0, -1)
  return cut
}
