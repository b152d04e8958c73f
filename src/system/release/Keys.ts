/** The key that releases are signed with: made once, in a file that only its owner may read, and never printed. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Ed25519 from "../../crypto/Ed25519.ts"
import * as Disk from "./internal/disk.ts"

/** A key cannot be made or used. The message says what to do. */
export class ReleaseKeyError extends Schema.TaggedError<ReleaseKeyError>()("ReleaseKeyError", {
  file: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.problem}`
  }
}

/** The public half, beside it. */
export const publicFile = (file: string): string => `${file}.pub`

const attempt = <A>(file: string, run: () => Promise<A>): Effect.Effect<A, ReleaseKeyError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const code = Disk.codeOf(cause)
      const problem =
        code === "EEXIST"
          ? "it is there already, and a key is never replaced; name another file"
          : code === "ENOENT"
            ? "no such file"
            : `it cannot be used (${code})`
      return new ReleaseKeyError({ file, problem })
    }
  })

/** Makes a key: the private half in `file`, mode 0600, and the public one beside it. Both are PEM, as OpenSSL has them. */
export const create = (file: string): Effect.Effect<Ed25519.PublicKey, ReleaseKeyError> =>
  Effect.gen(function* () {
    const key = Ed25519.generate()
    yield* attempt(file, () => Disk.write(file, Redacted.value(Ed25519.privatePem(key)), 0o600))
    const beside = publicFile(file)
    yield* attempt(beside, () => Disk.write(beside, Ed25519.publicPem(key.publicKey), 0o644)).pipe(
      // Half a pair is of no use, and would be in the way of the next try.
      Effect.onError(() => Effect.promise(() => Fs.rm(file, { force: true })))
    )
    return key.publicKey
  })

/** Reads a private key, which nobody else may be able to read. */
export const load = (file: string): Effect.Effect<Ed25519.PrivateKey, ReleaseKeyError> =>
  Effect.gen(function* () {
    const failed = (problem: string) => new ReleaseKeyError({ file, problem })
    const { mode } = yield* attempt(file, () => Fs.stat(file))
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      return yield* failed(`other users can read this secret key; run: chmod 600 ${file}`)
    }
    const pem = Redacted.make(yield* attempt(file, () => Fs.readFile(file, "utf8")))
    return yield* Effect.mapError(Ed25519.parsePrivate(pem), failed)
  })

/** Reads a public key. */
export const loadPublic = (file: string): Effect.Effect<Ed25519.PublicKey, ReleaseKeyError> =>
  Effect.flatMap(
    attempt(file, () => Fs.readFile(file, "utf8")),
    (text) => Effect.mapError(Ed25519.parsePublic(text), (problem) => new ReleaseKeyError({ file, problem }))
  )
