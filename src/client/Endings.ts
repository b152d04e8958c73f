/** What the end of a session, of a try to open one, or of the whole client means. */
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { printable } from "../protocol/Printable.ts"
import type { TunnelClosed } from "../tunnel/Tunnel.ts"
import { ConnectError, isFinal } from "./ConnectError.ts"

/** What ends a first try, when nothing ever worked: with `wait`, a machine that is not there yet does not. */
export const endsFirstTry = (error: ConnectError, wait: boolean, attempt: number): boolean =>
  isFinal(error) || !wait || (error.kind === "unreachable" && attempt === 0)

/** The error that the end of a session is. */
export const whyEnded = (machine: string, how: TunnelClosed): ConnectError => {
  const reason = printable(how.reason)
  switch (how.kind) {
    case "revoked":
      return new ConnectError({ kind: "revoked", reason })
    case "tampered": {
      const meddled = `the session with "${machine}" was meddled with, by the hub or on the way: ${reason}`
      return new ConnectError({ kind: "untrusted", reason: meddled })
    }
    case "lost":
    case "closed":
      return new ConnectError({ kind: "lost", reason })
  }
}

/** Nothing failed: it was told to stop. */
export const stopped: ConnectError = new ConnectError({ kind: "local", reason: "the client has stopped" })

/** The error that ended the loop; a defect is a bug of ours, and told as such. */
export const whyStopped = (cause: Cause.Cause<ConnectError>): ConnectError =>
  Option.getOrElse(Cause.failureOption(cause), () => {
    if (Cause.isInterruptedOnly(cause)) return stopped
    const bug = printable(String(Cause.squash(cause)))
    return new ConnectError({ kind: "local", reason: `the client stopped on a bug, please report it: ${bug}` })
  })
