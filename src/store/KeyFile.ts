/**
 * A long-term key in a file: the 32 secret bytes in base64 on one line, for its owner only. Created once, and never
 * replaced by this program. Agents and clients keep their X25519 key so, and hubs the key of their keyed digests.
 */
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as KeyPair from "../crypto/KeyPair.ts"
import { KEY_FILE_BYTES } from "../protocol/Limits.ts"
import * as Files from "./internal/files.ts"

/** The key cannot be used or made. The message says what to do. */
export class KeyFileError extends Schema.TaggedError<KeyFileError>()("KeyFileError", {
  file: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.problem}`
  }
}

const failure = (file: string) => (problem: Files.FileProblem) => new KeyFileError({ file, problem: problem.problem })

const parse = (file: string, read: { readonly text: string; readonly exposed: boolean }) => {
  if (read.exposed) {
    return new KeyFileError({ file, problem: `other users can read this secret key; run: chmod 600 ${file}` })
  }
  const text = read.text.trim()
  const secret = Buffer.from(text, "base64")
  if (secret.length !== KeyPair.KEY_BYTES || secret.toString("base64") !== text) {
    return new KeyFileError({
      file,
      problem: "this is no Tela key (32 bytes in base64); restore it, or move it away to get a new one"
    })
  }
  return Effect.succeed(Redacted.make<Uint8Array>(secret))
}

const pairOf = (secret: Redacted.Redacted<Uint8Array>) => KeyPair.fromSecret(Redacted.value(secret))

/** The key of an existing file. */
export const load = (file: string): Effect.Effect<KeyPair.KeyPair, KeyFileError> =>
  Files.readText(file, KEY_FILE_BYTES).pipe(
    Effect.mapError(failure(file)),
    Effect.flatMap((read) => parse(file, read)),
    Effect.map(pairOf)
  )

/** The key of the file, made at the first use. Two programs that start at once end up with the same key. */
export const loadOrCreate = (file: string): Effect.Effect<KeyPair.KeyPair, KeyFileError> =>
  Effect.map(loadOrCreateSecret(file), pairOf)

/** The same as bare bytes, for what is no key pair. */
export const loadOrCreateSecret = (file: string): Effect.Effect<Redacted.Redacted<Uint8Array>, KeyFileError> =>
  Files.readText(file, KEY_FILE_BYTES).pipe(
    Effect.catchIf(
      (problem) => problem.code === "ENOENT",
      () =>
        Effect.suspend(() => {
          const secret = Crypto.randomBytes(KeyPair.KEY_BYTES)
          return Files.createOnce(file, `${secret.toString("base64")}\n`)
        }).pipe(
          Effect.catchIf(
            (problem) => problem.code === "EEXIST",
            () => Effect.void
          ),
          Effect.zipRight(Files.readText(file, KEY_FILE_BYTES))
        )
    ),
    Effect.mapError(failure(file)),
    Effect.flatMap((read) => parse(file, read))
  )
