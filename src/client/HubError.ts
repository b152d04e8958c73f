/**
 * Why the hub's HTTP interface did not do what it was asked: one error for every status and every way to fail, with a
 * sentence for people. Deployed hubs refuse all administration alike (spec: hub-api 0.4); ours says which it was.
 */
import type * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { printable } from "../protocol/Printable.ts"

/**
 * - `unauthorized`: the token is missing, unknown, revoked or expired.
 * - `forbidden`: the token is good, but its identity may not do this.
 * - `not-found`, `conflict`, `stale`: no such thing; not as things stand; changed meanwhile.
 * - `invalid`: the hub makes no sense of the request.
 * - `throttled`: too many requests for now.
 * - `failed`: the hub could not do it; nothing has changed.
 * - `offline`: the agent that was to be asked is not connected; nothing was asked.
 * - `unanswered`: whom the hub asked did not answer, or not sensibly; what was done is not known.
 * - `unreachable`: no answer, or somebody who is no hub, or not the pinned one.
 */
export const HubErrorKind = Schema.Literal(
  "unauthorized",
  "forbidden",
  "not-found",
  "conflict",
  "stale",
  "invalid",
  "throttled",
  "failed",
  "offline",
  "unanswered",
  "unreachable"
)
export type HubErrorKind = typeof HubErrorKind.Type

/** The message is one line; where the token came from is for the caller to add. */
export class HubError extends Schema.TaggedError<HubError>()("HubError", {
  kind: HubErrorKind,
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/** What a call of the typed client can fail with. */
export type ApiFailure =
  | HttpClientError.HttpClientError
  | HttpApiError.HttpApiDecodeError
  | ParseResult.ParseError
  /** A refusal of the hub that its interface declares. */
  | {
      readonly error: string
      readonly status?: number
      readonly current?: unknown
      readonly events?: unknown
      readonly offline?: unknown
    }

const kindOf = (status: number): HubErrorKind => {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return "invalid"
    case 401:
      return "unauthorized"
    case 403:
      return "forbidden"
    case 404:
      return "not-found"
    case 409:
      return "conflict"
    case 412:
      return "stale"
    case 429:
      return "throttled"
    default:
      return status >= 500 ? "failed" : "unreachable"
  }
}

/** A text of the hub as the end of a sentence. */
const said = (text: string) => printable(text).replace(/\.$/, "")

/** In what circumstances a call failed. */
export interface Circumstances {
  readonly hub: string
  /** What the hub was shown. */
  readonly presented: "token" | "code"
  /** The header of that name in the last answer. */
  readonly retryAfter: string | undefined
}

const refusal = ({ hub, presented, retryAfter }: Circumstances, status: number, text: string): HubError => {
  const kind = kindOf(status)
  const error = (reason: string) => new HubError({ kind, reason })
  switch (kind) {
    case "unauthorized":
      return error(`${hub} refused the ${presented}: ${said(text)}`)
    case "forbidden":
      // The only word that deployed hubs have, for a wrong token too.
      return text === "forbidden"
        ? error(`${hub} refused: the token is unknown, expired or revoked, or no owner's or admin's`)
        : error(`${hub} refused: ${said(text)}`)
    case "stale":
      return error(`${said(text)}; look again with: tela admin access`)
    case "throttled": {
      const seconds = /^\d{1,6}$/.test(retryAfter ?? "") ? `try again in ${retryAfter} s` : "try again in a minute"
      return error(`${hub} takes no more requests for now; ${seconds}`)
    }
    case "failed":
      return error(`${hub} could not do it, and nothing has changed: ${said(text)}`)
    default:
      return error(`${hub}: ${said(text)}`)
  }
}

/** The error that a failed call means. */
export const of = (circumstances: Circumstances, failure: ApiFailure): HubError => {
  const { hub } = circumstances
  const noHub = `${hub} does not answer as a Tela hub; check the address`
  if (!("_tag" in failure)) {
    const status = failure.status ?? (failure.current !== undefined ? 412 : failure.events !== undefined ? 401 : 500)
    if (failure.offline !== undefined) return new HubError({ kind: "offline", reason: said(failure.error) })
    const text = failure.error === "auth_required" ? "it is missing, unknown, expired or revoked" : failure.error
    // Said by the hub itself, and not by what stands before it.
    if (status === 502 || status === 504) return new HubError({ kind: "unanswered", reason: said(text) })
    return refusal(circumstances, status, text)
  }
  switch (failure._tag) {
    case "RequestError":
      // The hub has no part in it.
      if (failure.reason === "Encode")
        return new HubError({ kind: "invalid", reason: failure.description ?? failure.message })
      return new HubError({
        kind: "unreachable",
        reason: `cannot reach ${hub}: ${failure.description ?? failure.message}`
      })
    case "ResponseError": {
      const { status } = failure.response
      if (status === 429) return refusal(circumstances, status, "")
      if (status >= 500) return refusal(circumstances, status, `HTTP ${status}`)
      const kind = kindOf(status)
      return status === 404 || status === 405
        ? new HubError({
            kind: "not-found",
            reason: `${hub} does not know this request; it may be older (HTTP ${status})`
          })
        : new HubError({ kind, reason: `${noHub} (HTTP ${status})` })
    }
    default:
      return new HubError({ kind: "unreachable", reason: noHub })
  }
}
