/**
 * `tela admin hub restart`: starts the hub anew, and waits until it is back.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { HubStatus } from "../../../../protocol/HubApi.ts"
import { RESTART_LOOK, RESTART_WAIT, SHUTDOWN_TIMEOUT } from "../../../../protocol/Limits.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { Failed } from "../../../Failure.ts"
import { print } from "../../../Shell.ts"
import { type Admin, hubFlags, open } from "../AdminFlags.ts"

/** One run of the hub, as far as it says: ours by when it started, a deployed one by for how long it has been up. */
const runOf = ({ tryAsk }: Admin) =>
  Effect.orElseSucceed(
    Effect.map(
      tryAsk((api, headers) => api.hub.status({ headers })),
      ({ hub }) => hub ?? undefined
    ),
    () => undefined
  )

/** How long the hub may be on its way out; a deployed one does not say. */
const patience = ({ tryAsk }: Admin) =>
  Effect.orElseSucceed(
    Effect.map(
      tryAsk((api, headers) => api.operations.details({ headers })),
      ({ shutdownTimeout }) => shutdownTimeout
    ),
    () => SHUTDOWN_TIMEOUT.default
  )

const isAnother = (before: HubStatus | undefined, now: HubStatus): boolean =>
  now.startedAt === undefined || now.startedAt === null
    ? (now.uptime ?? 0) < (before?.uptime ?? 0)
    : now.startedAt !== before?.startedAt

export const command = Command.make(
  {
    name: "restart",
    summary: "restart the hub, and wait until it is back",
    flags: hubFlags,
    examples: ["tela admin hub restart -hub wss://hub.example.com"],
    notes: ["Agents and clients come back by themselves, most with their connections."]
  },
  (given) =>
    Effect.gen(function* () {
      const admin = yield* open(given)
      const before = yield* runOf(admin)
      const within = yield* patience(admin)
      const { message } = yield* admin.ask((api, headers) => api.operations.restart({ headers }))
      yield* print(oneLine(`${admin.hub}: ${message}`))
      const begun = yield* Clock.currentTimeMillis
      while (true) {
        yield* Effect.sleep(RESTART_LOOK)
        const now = yield* runOf(admin)
        const since = (yield* Clock.currentTimeMillis) - begun
        if (now !== undefined && isAnother(before, now)) {
          return yield* print(oneLine(`${admin.hub}: back after ${(since / 1_000).toFixed(1)} s, ${now.version ?? ""}`))
        }
        if (since > within + RESTART_WAIT) {
          const seconds = Math.round(since / 1_000)
          return yield* new Failed({
            message: `${admin.hub} is not back after ${seconds} s; look at it on its machine`
          })
        }
      }
    })
)
