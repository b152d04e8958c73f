/**
 * Certificate and key of a listener, read from files and read again when they change, so that a renewed certificate needs
 * no restart. Files that do not fit together are reported and the old ones stay.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { TLS_RELOAD_INTERVAL } from "../protocol/Limits.ts"

/** Paths of PEM files: the certificate with its chain, and its private key. */
export interface TlsPaths {
  readonly cert: string
  readonly key: string
}

/** What the files held. */
export interface TlsMaterial {
  readonly cert: Buffer
  readonly key: Buffer
}

/** Files that cannot be read, or are no certificate and key of each other. */
export class TlsError extends Schema.TaggedError<TlsError>()("TlsError", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** Reads both files and makes sure that they fit together. */
export const load = (paths: TlsPaths): Effect.Effect<TlsMaterial, TlsError> =>
  Effect.tryPromise({
    try: async () => {
      const [cert, key] = await Promise.all([Fs.readFile(paths.cert), Fs.readFile(paths.key)])
      Tls.createSecureContext({ cert, key })
      return { cert, key }
    },
    catch: (cause) =>
      new TlsError({ reason: `tls: ${paths.cert} and ${paths.key} are no usable pair: ${reasonOf(cause)}` })
  })

/** When the certificate of a file ends, in milliseconds since the epoch; undefined when the file cannot be read as one. */
export const endOf = (paths: TlsPaths): Effect.Effect<number | undefined> =>
  Effect.orElseSucceed(
    Effect.tryPromise(async () => Date.parse(new Crypto.X509Certificate(await Fs.readFile(paths.cert)).validTo)),
    () => undefined
  )

/** What changes when a file, or the link that leads to it, is replaced or written. */
const stamp = (paths: TlsPaths): Effect.Effect<string> =>
  Effect.promise(async () => {
    const stats = await Promise.all([paths.cert, paths.key].map((path) => Fs.stat(path).catch(() => undefined)))
    return stats.map((stat) => `${stat?.ino} ${stat?.mtimeMs} ${stat?.size}`).join()
  })

/** Calls `use` with what the files hold each time that has changed. Looks every TLS_RELOAD_INTERVAL, until the scope ends. */
export const watch = (paths: TlsPaths, use: (material: TlsMaterial) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    let seen = yield* stamp(paths)
    const look = Effect.gen(function* () {
      const now = yield* stamp(paths)
      if (now === seen) return
      seen = now
      use(yield* load(paths))
      yield* Effect.logInfo("tls: certificate and key were reloaded")
    }).pipe(Effect.catchTag("TlsError", (error) => Effect.logError(`${error.message}; the old ones stay in use`)))
    yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced(TLS_RELOAD_INTERVAL)))
  })
