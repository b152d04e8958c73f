/**
 * `tela admin hub status`: the hub in numbers.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { HubDetails } from "../../../../protocol/api/Operations.ts"
import * as Duration from "../../../../protocol/Duration.ts"
import type { Status } from "../../../../protocol/HubApi.ts"
import type { UpdateStatus } from "../../../../protocol/Management.ts"
import { printable } from "../../../../protocol/Printable.ts"
import * as Command from "../../../Command.ts"
import { print, printJson } from "../../../Shell.ts"
import { json } from "../../HubFlags.ts"
import { type Admin, hubFlags, open, shownTime } from "../AdminFlags.ts"
import { block, stateOf } from "../ChannelWords.ts"

const units = ["B", "KB", "MB", "GB", "TB", "PB"]

/** `1.2 GB` */
const size = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`
}

/** `3d 4h`, `12m 5s` */
const span = (seconds: number): string => {
  const parts: ReadonlyArray<readonly [number, string]> = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"]
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first === -1) return "0s"
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ")
}

const certificate = (details: HubDetails, now: number): string => {
  if (details.certificate === undefined) return "none of its own; TLS ends before the hub, if it is used"
  const { expiresAt } = details.certificate
  const days = Either.match(Duration.parseInstant(expiresAt), {
    onLeft: () => "",
    onRight: (at) => (at < now ? "EXPIRED since " : `ends in ${Math.floor((at - now) / 86_400_000)} days, `)
  })
  return `${days}${shownTime(expiresAt)}`
}

const update = (status: UpdateStatus | undefined): string => {
  if (status === undefined) return "with the program that the hub is a part of"
  const { channel, latestVersion } = status
  const of = channel === undefined || channel === "" ? "" : ` on ${printable(channel)}`
  return status.updateAvailable === true
    ? `${printable(latestVersion ?? "")} available${of}`
    : `${stateOf(status)}${of}`
}

const lines = (hub: string, details: HubDetails, now: number): ReadonlyArray<readonly [string, string]> => [
  ["Hub", details.hubName === undefined ? hub : `${details.hubName} (${hub})`],
  ["Version", details.version],
  ["Up since", `${shownTime(details.startedAt)} (${span(details.uptime)})`],
  ["Machines", `${details.machines.online} online, ${details.machines.known} known`],
  ["Sessions", String(details.sessions)],
  ["Relayed", size(details.relayedBytes)],
  ["Waiting", `${size(details.heldBytes)} for peers that read slowly`],
  ["Memory", `${size(details.memory.resident)} resident, ${size(details.memory.heap)} heap`],
  ["Certificate", certificate(details, now)],
  ["Update", update(details.update)]
]

const table = (rows: ReadonlyArray<readonly [string, string]>): string =>
  rows.map(([name, value]) => `${`${name}:`.padEnd(13)} ${printable(value)}`).join("\n")

const deployed = (hub: string, { hub: about, hubName, machines }: Status): string =>
  table([
    ["Hub", hubName ? `${hubName} (${hub})` : hub],
    ["Version", about?.version ?? "-"],
    ["Up", span(about?.uptime ?? 0)],
    ["Machines", `${machines.filter(({ agentConnected }) => agentConnected).length} online, ${machines.length} known`],
    ["Sessions", String(machines.reduce((sum, { sessionCount }) => sum + sessionCount, 0))]
  ])

/** What a hub of the deployed kind tells. */
const older = (admin: Admin, asJson: boolean) =>
  Effect.gen(function* () {
    const status = yield* admin.ask((api, headers) => api.hub.status({ headers }))
    const updates = yield* Effect.mapError(
      admin.patient((api, headers) => api.operations.updateStatus({ headers })),
      admin.explain
    )
    if (asJson) return yield* printJson({ hub: status.hub, update: updates })
    yield* print(`${deployed(admin.hub, status)}\n${block("Update:", updates)}`)
  })

export const command = Command.make(
  {
    name: "status",
    summary: "show the hub in numbers",
    flags: [...hubFlags, json],
    examples: ["tela admin hub status -hub wss://hub.example.com", "tela admin hub status -json"],
    notes: ["What streams there are only their two ends know."]
  },
  (given) =>
    Effect.gen(function* () {
      const asJson = yield* given.flag(json)
      const admin = yield* open(given)
      const details = yield* admin
        .patient((api, headers) => api.operations.details({ headers }))
        .pipe(
          Effect.catchIf(
            ({ kind }) => kind === "not-found",
            () => Effect.succeed(undefined)
          ),
          Effect.mapError(admin.explain)
        )
      if (details === undefined) return yield* older(admin, asJson)
      if (asJson) return yield* printJson(details)
      yield* print(table(lines(admin.hub, details, yield* Clock.currentTimeMillis)))
    })
)
