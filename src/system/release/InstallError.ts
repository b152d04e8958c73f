/** Why a release was not installed. What was installed before is as it was, unless the message says otherwise. */
import * as Data from "effect/Data"

export class InstallError extends Data.TaggedError("InstallError")<{
  /**
   * `damaged`: the archive, or the installation, is not as it should be. `mismatch`: it is of another program, version or
   * machine. `older`: than what is in force by now. `unproved`: the new version does not run here. `unwritable`: the
   * installation cannot be changed. `busy`: somebody else changes it.
   */
  readonly kind: "damaged" | "mismatch" | "older" | "unproved" | "unwritable" | "busy"
  readonly message: string
}> {}
