/**
 * `tela admin history`: what happened at a hub, newest first.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { HistoryEvent } from "../../../protocol/api/Self.ts"
import { HISTORY_DEFAULT, HISTORY_MAX } from "../../../protocol/Limits.ts"
import * as Command from "../../Command.ts"
import * as Flags from "../../Flags.ts"
import { print, printJson } from "../../Shell.ts"
import * as Table from "../../Table.ts"
import { json } from "../HubFlags.ts"
import { type Admin, hubFlags, open, shownTime } from "./AdminFlags.ts"

const count = Flags.integer({
  name: "n",
  placeholder: "COUNT",
  description: `how many events; ${HISTORY_DEFAULT} unless given`,
  least: 1,
  most: HISTORY_MAX
})
/** Without a variable: what is set for `tela connect` must not hide the rest. */
const machine = Flags.text({ name: "machine", placeholder: "NAME", description: "only events of this machine" })
const identity = Flags.text({
  name: "identity",
  placeholder: "ID",
  description: "only events by or about this identity"
})

/** A name as it was, and as it is now; of one that is gone, the last with a word that says so. */
const named = (then: string | undefined, now: string | undefined): string => {
  if (then === undefined || then === "") return "-"
  if (now === undefined || now === then) return then
  return now.startsWith(`${then} (`) ? now : `${then} (now ${now})`
}

/** What else is known of an event. The outcome, which the hub repeats for readers without that column, goes once. */
const detailOf = ({ detail = "", outcome, reason }: HistoryEvent): string => {
  const rest = outcome !== undefined && detail.startsWith(`${outcome}: `) ? detail.slice(outcome.length + 2) : detail
  return [rest, reason].filter((text) => text && text !== outcome).join("; ") || "-"
}

/** The table. */
export const table = (events: ReadonlyArray<HistoryEvent>): string =>
  Table.render(
    ["TIME", "EVENT", "MACHINE", "BY", "ON", "FROM", "OUTCOME", "DETAIL"],
    events.map((event) => [
      shownTime(event.timestamp),
      event.event,
      event.machineId || "-",
      named(event.actor, event.actorNow),
      named(event.target, event.targetNow),
      event.address ?? "-",
      event.outcome ?? "-",
      detailOf(event)
    ])
  )

/** The interface shows any identity its own part; administration is not for users. Deployed hubs cannot be asked. */
const requireAdmin = (admin: Admin) =>
  Effect.gen(function* () {
    const role = yield* admin
      .tryAsk((api, headers) => api.self.whoami({ headers }))
      .pipe(
        Effect.map((who) => who.role),
        Effect.catchAll(() => Effect.succeed("admin"))
      )
    if (role === "owner" || role === "admin") return
    const reason = `${admin.hub} refused: the role ${role} may not administer the hub`
    return yield* admin.explain({ kind: "forbidden", reason })
  })

export const command = Command.make(
  {
    name: "history",
    summary: "what happened, newest first",
    flags: [...hubFlags, count, machine, identity, json],
    examples: [
      "tela admin history -hub wss://hub.example.com",
      "tela admin history -n 500 -machine barn -identity alice",
      "tela admin history -json"
    ]
  },
  (given) =>
    Effect.gen(function* () {
      const limit = Option.getOrElse(yield* given.flag(count), () => HISTORY_DEFAULT)
      const on = Option.getOrUndefined(yield* given.flag(machine))
      const who = Option.getOrUndefined(yield* given.flag(identity))
      const asJson = yield* given.flag(json)
      const admin = yield* open(given)
      yield* requireAdmin(admin)
      const answer = yield* admin.ask((api, headers) =>
        api.self.history({
          headers,
          urlParams: { limit, ...(on !== undefined && { machine: on }), ...(who !== undefined && { identity: who }) }
        })
      )
      // Deployed hubs pass over what was asked, and give all that they have.
      const events = answer.events.filter((event) => on === undefined || event.machineId === on).slice(0, limit)
      if (asJson) return yield* printJson({ events })
      yield* print(events.length === 0 ? "Nothing is recorded." : table(events))
    })
)
