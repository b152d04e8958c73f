/**
 * What anybody asks a hub about themselves: whom it takes a token for, and what token a pairing code is worth.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { RedeemAnswer } from "../protocol/api/Pairing.ts"
import type { WhoAmI } from "../protocol/api/Self.ts"
import * as PairCode from "../crypto/PairCode.ts"
import * as AdminClient from "./AdminClient.ts"
import type { HubClientOptions } from "./HubClient.ts"
import type { HubError } from "./HubError.ts"

/** Whom the hub takes the token for; undefined at a deployed hub, which only says whether it takes it. */
export const whoami = (options: HubClientOptions): Effect.Effect<WhoAmI | undefined, HubError, HttpClient.HttpClient> =>
  Effect.catchIf(
    AdminClient.ask(options, (api, headers) => api.self.whoami({ headers })),
    ({ kind }) => kind === "not-found",
    () =>
      Effect.as(
        AdminClient.ask(options, (api, headers) => api.hub.status({ headers })),
        undefined
      )
  )

/** Redeems a code, given in its canonical form. A register code at a deployed hub needs the machine's name. */
export const redeem = (options: {
  readonly hub: string
  readonly code: Redacted.Redacted
  readonly machine: string | undefined
  /** Our hub does not spend a code of another type; deployed ones do. */
  readonly type: "connect" | "register"
}): Effect.Effect<typeof RedeemAnswer.Type, HubError, HttpClient.HttpClient> => {
  const { code, hub, machine, type } = options
  return AdminClient.ask({ hub, token: undefined, presented: "code" }, (api) =>
    api.pairing.redeem({
      payload: { code: PairCode.show(code), type, ...(machine !== undefined && { machineId: machine }) }
    })
  )
}
