/** Why a hub does not take, or give, a file of a channel. Nothing has changed. The message says what to do. */
import * as Data from "effect/Data"

export class HostingError extends Data.TaggedError("HostingError")<{
  /**
   * `invalid`: a name that makes no sense (400). `conflict`: it cannot be done as things stand (409). `untrusted`: it is
   * not signed as it must be (422). `large` (413), `full` (507), `busy` (503), `unwritable` (500).
   */
  readonly kind: "invalid" | "conflict" | "untrusted" | "large" | "full" | "busy" | "unwritable"
  readonly message: string
}> {}

export const invalid = (message: string): HostingError => new HostingError({ kind: "invalid", message })
export const conflict = (message: string): HostingError => new HostingError({ kind: "conflict", message })
export const untrusted = (message: string): HostingError => new HostingError({ kind: "untrusted", message })
