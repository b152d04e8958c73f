/**
 * What `machines`, `services` and `status` ask the hub. Loaded when one of them runs, so that the others start faster.
 */
import * as Effect from "effect/Effect"
import type { ConnectError } from "../../client/ConnectError.ts"
import * as HubClient from "../../client/HubClient.ts"
import type { Status } from "../../protocol/HubApi.ts"
import * as HttpClient from "../../transport/HttpClient.ts"

/** The hub's status, for the token's eyes. */
export const status = (options: HubClient.HubClientOptions): Effect.Effect<Status, ConnectError> =>
  Effect.provide(HubClient.status(options), HttpClient.layer)
