/**
 * `tela admin agent list`: the machines that you may manage, and whether their agents are there.
 */
import * as Effect from "effect/Effect"
import type { Presence } from "../../../../protocol/api/Agents.ts"
import type { MachineStatus } from "../../../../protocol/HubApi.ts"
import * as Command from "../../../Command.ts"
import { print, printJson } from "../../../Shell.ts"
import * as Table from "../../../Table.ts"
import { json } from "../../HubFlags.ts"
import { type Admin, hubFlags, open, shownTime } from "../AdminFlags.ts"

const fromStatus = ({ agentConnected, agentVersion, id, lastSeen, services }: MachineStatus): Presence => ({
  id,
  agentConnected,
  ...(lastSeen && { lastSeen }),
  ...(agentVersion && { agentVersion }),
  services: (services ?? []).map(({ name }) => name)
})

/** Deployed hubs have no such list; there it is that of the machines that one may see. */
const listed = (admin: Admin) =>
  admin
    .tryAsk((api, headers) => api.agents.list({ headers }))
    .pipe(
      Effect.map(({ agents }) => agents),
      Effect.catchIf(
        ({ kind }) => kind === "not-found",
        () =>
          Effect.map(
            admin.tryAsk((api, headers) => api.hub.status({ headers })),
            ({ machines }) => machines.map(fromStatus)
          )
      ),
      Effect.mapError(admin.explain)
    )

export const command = Command.make(
  {
    name: "list",
    summary: "list the machines that you may manage",
    flags: [...hubFlags, json],
    examples: ["tela admin agent list -hub wss://hub.example.com"]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const agents = yield* listed(yield* open(given))
      if (asJson) return yield* printJson({ agents })
      if (agents.length === 0) return yield* print("No machine is registered that you may manage.")
      yield* print(
        Table.render(
          ["MACHINE", "STATUS", "VERSION", "SERVICES", "LAST SEEN"],
          agents.map(({ agentConnected, agentVersion = "-", id, lastSeen, services = [] }) => [
            id,
            agentConnected ? "online" : "offline",
            agentVersion,
            services.join(", ") || "-",
            agentConnected ? "now" : shownTime(lastSeen)
          ])
        )
      )
    })
)
