/**
 * How often the API answers somebody: an identity by itself, and strangers by their address, so that guessing a token is
 * slow and one address behind a proxy takes nothing from the rest.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { Identity } from "../../policy/Identity.ts"
import { historyPaths } from "../../protocol/HubApi.ts"
import { API_RATE, HISTORY_RATE, STRANGER_RATE } from "../../protocol/Limits.ts"
import { network } from "../../transport/ClientAddress.ts"
import * as RateLimit from "../RateLimit.ts"
import { addressOf } from "./Asker.ts"
import { tooOften } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

/**
 * Why a request is to wait; undefined when it need not. `path` is canonical, `identity` is whose valid token the request
 * has.
 */
export type Throttle = (
  request: HttpServerRequest,
  path: string,
  identity: Identity | undefined,
  now: number
) => Problem | undefined

export const make = (): Throttle => {
  const identities = RateLimit.make(API_RATE)
  const strangers = RateLimit.make(STRANGER_RATE)
  const histories = RateLimit.make(HISTORY_RATE)
  // By the token: it is the same one after a rename.
  const ofIdentity = (path: string, { tokenHash }: Identity, now: number) =>
    identities.take(tokenHash, now) || (path === historyPaths[0] ? histories.take(tokenHash, now) : 0)
  return (request, path, identity, now) => {
    const wait =
      identity === undefined ? strangers.take(network(addressOf(request)), now) : ofIdentity(path, identity, now)
    if (wait === 0) return undefined
    const who = identity === undefined ? "your address, which has shown no valid token," : identity.id
    return tooOften(`too many requests from ${who}`, wait)
  }
}
