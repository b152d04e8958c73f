/** Why a request was not done, as its answer: a status, and a sentence that says what to do next (spec: hub-api 0.4). */
import * as Data from "effect/Data"
import type { ChangeRefused } from "../../policy/Change.ts"
import type { StoreFailure } from "../../store/IdentityStore.ts"

/** Why a request was not done. `error` is a sentence without a point at its end. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: number
  readonly error: string
  /** Further members of the answer. */
  readonly more?: object
  readonly headers?: Readonly<Record<string, string>>
}> {}

/** The request makes no sense, whoever asks. */
export const bad = (error: string): Problem => new Problem({ status: 400, error })

/** Nobody's token. */
export const unknownCaller = (error: string): Problem =>
  new Problem({ status: 401, error, headers: { "www-authenticate": "Bearer" } })

/** Somebody's token, who may not do this. */
export const forbidden = (error: string): Problem => new Problem({ status: 403, error })

/** There is no such thing. */
export const notFound = (error: string): Problem => new Problem({ status: 404, error })

/** It cannot be done as things stand. */
export const conflict = (error: string): Problem => new Problem({ status: 409, error })

/** Too often; `wait` is milliseconds. */
export const tooOften = (error: string, wait: number): Problem => {
  const seconds = Math.max(1, Math.ceil(wait / 1_000))
  return new Problem({
    status: 429,
    error: `${error}; try again in ${seconds} s`,
    headers: { "retry-after": String(seconds) }
  })
}

/** A change that the rules of identities refuse; one that is stale is answered with the entry as it stands instead. */
export const ofChange = ({ kind, message }: Pick<ChangeRefused, "kind" | "message">): Problem => {
  switch (kind) {
    case "unknown-identity":
    case "no-grant":
      return notFound(message)
    case "owner-only":
    case "not-allowed":
      return forbidden(message)
    case "exists":
    case "last-owner":
    case "viewer":
      return conflict(message)
    case "stale":
      return new Problem({ status: 412, error: message })
  }
}

/** A change that could not be stored. */
export const ofStore = ({ kind, message }: StoreFailure): Problem => {
  switch (kind) {
    case "unreadable":
      return conflict(message)
    case "full":
      return new Problem({ status: 507, error: message })
    case "busy":
      return new Problem({ status: 503, error: message, headers: { "retry-after": "1" } })
    case "unwritable":
      return new Problem({ status: 500, error: message })
  }
}
