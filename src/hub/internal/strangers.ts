/**
 * Sockets that were turned away before they had said who they are, for there were too many: counted, and told in one line a
 * minute, whoever floods the hub.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TURNED_AWAY_LOG } from "../../protocol/Limits.ts"
import * as HubMetrics from "../../telemetry/HubMetrics.ts"
import type { Crowd } from "../../transport/Guard.ts"

/** What is to be called for each. */
export const make: Effect.Effect<(crowd: Crowd, address: string) => void, never, Scope.Scope> = Effect.gen(
  function* () {
    let ofAddresses = 0
    let inAll = 0
    let last = ""

    yield* Effect.suspend(() => {
      if (ofAddresses + inAll === 0) return Effect.void
      const said = { ofAddresses, inAll, last }
      ofAddresses = inAll = 0
      return Effect.logWarning(
        "connections were turned away in the last minute: too many had not said who they are, of an address or in all; " +
          "if it is a proxy's address, name it in trustedProxies",
        said
      )
    }).pipe(Effect.delay(TURNED_AWAY_LOG), Effect.forever, Effect.forkScoped)

    return (crowd, address) => {
      if (crowd === "address") ofAddresses += 1
      else inAll += 1
      last = address
      HubMetrics.countRefused(crowd === "address" ? "address strangers" : "strangers")
    }
  }
)
