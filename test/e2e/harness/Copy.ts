/** A large copy by scp that goes on while a test does something to the network, and must be whole in the end. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { createHash, randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import type { ProgramFailed } from "./Program.ts"
import * as Sshd from "./Sshd.ts"

const MiB = 1024 * 1024

/** What passes in a second: so slow that there is time for what the test does. */
const MEGABYTES_PER_SECOND = 20

export interface Copy {
  /** Waits until that part of it has come, from 0 to 1. */
  readonly until: (part: number) => Effect.Effect<void, ProgramFailed>
  /** Waits for its end; fails when scp does, or when the copy is not identical. */
  readonly whole: Effect.Effect<void, ProgramFailed | Error>
}

const sha256 = (file: string): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const hash = createHash("sha256")
    Fs.createReadStream(file, { highWaterMark: MiB })
      .on("data", (chunk) => hash.update(chunk))
      .on("end", () => resume(Effect.succeed(hash.digest("hex"))))
  })

const sizeOf = (file: string): number => Fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0

/** From the machine to the operator, or the other way round. */
export type Way = "download" | "upload"

/** Starts to copy so many MiB of chance. */
export const start = (
  sshd: Sshd.Sshd,
  localPort: number,
  mebibytes: number,
  way: Way = "download"
): Effect.Effect<Copy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const [from, to] = [Path.join(folder, "from"), Path.join(folder, "to")]
    const file = Fs.openSync(from, "w", 0o600)
    for (let i = 0; i < mebibytes; i++) Fs.writeSync(file, randomBytes(MiB))
    Fs.closeSync(file)
    const [source, target] = way === "download" ? [`remote:${from}`, to] : [from, `remote:${to}`]
    const copying = yield* Effect.forkScoped(Sshd.scp(sshd, localPort, source, target, MEGABYTES_PER_SECOND))
    return {
      until: (part) =>
        Effect.raceFirst(
          Effect.sync(() => sizeOf(to)).pipe(
            Effect.delay(20),
            Effect.repeat({ until: (size) => size >= part * mebibytes * MiB }),
            Effect.asVoid
          ),
          Effect.asVoid(Fiber.join(copying))
        ),
      whole: Effect.gen(function* () {
        yield* Fiber.join(copying)
        const [sent, come] = yield* Effect.all([sha256(from), sha256(to)])
        if (sent !== come) return yield* Effect.fail(new Error("the copy is not identical"))
      })
    }
  })
