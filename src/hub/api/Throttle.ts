/**
 * How often the API answers somebody: an identity by itself, and strangers by their address, so that guessing a token is
 * slow and one address behind a proxy takes nothing from the rest.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { Identity } from "../../policy/Identity.ts"
import { API_RATE, STRANGER_RATE } from "../../protocol/Limits.ts"
import { network } from "../../transport/ClientAddress.ts"
import * as RateLimit from "../RateLimit.ts"
import { addressOf } from "./Asker.ts"
import { tooOften } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

/** Why a request is to wait; undefined when it need not. `identity` is whose valid token it has. */
export type Throttle = (request: HttpServerRequest, identity: Identity | undefined, now: number) => Problem | undefined

export const make = (): Throttle => {
  const identities = RateLimit.make(API_RATE)
  const strangers = RateLimit.make(STRANGER_RATE)
  return (request, identity, now) => {
    // By the token: it is the same one after a rename.
    const wait =
      identity === undefined
        ? strangers.take(network(addressOf(request)), now)
        : identities.take(identity.tokenHash, now)
    if (wait === 0) return undefined
    const who = identity === undefined ? "your address, which has shown no valid token," : identity.id
    return tooOften(`too many requests from ${who}`, wait)
  }
}
