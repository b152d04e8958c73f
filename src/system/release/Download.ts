/**
 * Takes in what an origin sends, within bounds and time: manifests whole, and archives under the digest that a signed
 * manifest has of them, made while they come in.
 */
import * as Crypto from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { UPDATE_BUSY_TRIES, UPDATE_BUSY_WAIT, UPDATE_DOWNLOAD_TIMEOUT, UPDATE_PROGRESS } from "../../protocol/Limits.ts"
import { FetchError } from "../../transport/Fetch.ts"
import type { Binary } from "./Manifest.ts"
import { Origin } from "./Origin.ts"

/** How far a download is, in bytes. */
export interface Progress {
  readonly received: number
  readonly size: number
}

/** A server that is busy is asked again: a fleet that updates at once is many requests. */
const patiently = <A, R>(
  effect: Effect.Effect<A, FetchError, R>,
  tries = UPDATE_BUSY_TRIES
): Effect.Effect<A, FetchError, R> =>
  Effect.catchIf(
    effect,
    ({ retryAfter }) => retryAfter !== undefined && tries > 1,
    ({ retryAfter = 0 }) => Effect.delay(patiently(effect, tries - 1), Math.min(retryAfter, UPDATE_BUSY_WAIT))
  )

/** The whole of a small file. */
export const small = (address: string, most: number): Effect.Effect<Uint8Array, FetchError, Origin> =>
  Effect.gen(function* () {
    const origin = yield* Origin
    const { body, length = 0 } = yield* origin.open(address)
    const failed = new FetchError({ address, reason: `it is larger than ${most} bytes` })
    if (length > most) return yield* failed
    const chunks: Array<Uint8Array> = []
    let received = 0
    yield* Stream.runForEachChunk(body, (arrived) =>
      Effect.suspend(() => {
        for (const bytes of arrived) {
          received += bytes.length
          chunks.push(bytes)
        }
        return received > most ? failed : Effect.void
      })
    )
    return Buffer.concat(chunks)
  }).pipe(Effect.scoped, patiently)

/**
 * The bytes of an archive; fails, having kept none of them, unless they are exactly those that the manifest has the size
 * and the digest of. `onProgress` is called every UPDATE_PROGRESS at most, and at the end.
 */
export const archive = (
  address: string,
  { sha256, size }: Binary,
  onProgress: (progress: Progress) => Effect.Effect<void>
): Effect.Effect<Uint8Array, FetchError, Origin> =>
  Effect.gen(function* () {
    const origin = yield* Origin
    const { body, length = size } = yield* origin.open(address)
    const failed = (reason: string) => new FetchError({ address, reason })
    const wrongSize = (is: string) =>
      failed(`it has ${is} bytes, and ${size} by the signed manifest; nothing was installed`)
    if (length !== size) return yield* wrongSize(String(length))
    const hash = Crypto.createHash("sha256")
    const chunks: Array<Uint8Array> = []
    let received = 0
    let told = yield* Clock.currentTimeMillis
    yield* Stream.runForEachChunk(body, (arrived) =>
      Effect.gen(function* () {
        for (const bytes of arrived) {
          received += bytes.length
          if (received > size) return yield* wrongSize("more")
          hash.update(bytes)
          chunks.push(bytes)
        }
        const now = yield* Clock.currentTimeMillis
        if (now - told < UPDATE_PROGRESS) return
        told = now
        yield* onProgress({ received, size })
      })
    )
    if (received !== size) return yield* wrongSize(String(received))
    if (hash.digest("hex") !== sha256.toLowerCase()) {
      return yield* failed("it is not what the signed manifest says (another SHA-256); nothing was installed")
    }
    yield* onProgress({ received, size })
    return Buffer.concat(chunks)
  }).pipe(
    Effect.scoped,
    patiently,
    Effect.timeoutFail({
      duration: UPDATE_DOWNLOAD_TIMEOUT,
      onTimeout: () =>
        new FetchError({ address, reason: `it did not come within ${UPDATE_DOWNLOAD_TIMEOUT / 60_000} minutes` })
    })
  )
