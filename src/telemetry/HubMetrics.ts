/**
 * What a hub counts. Labels are words of our own, never a name that somebody chose. Whoever counts bytes or messages adds
 * them up and brings them here a few times a second.
 */
import * as Metric from "effect/Metric"

/** Why somebody was refused, or ended, for a limit rather than a right. */
export type LimitReason =
  | "hub sessions"
  | "identity sessions"
  | "machine sessions"
  | "machines"
  | "memory"
  | "draining"
  | "waiting"
  | "strangers"
  | "address strangers"

const refused = Metric.counter("tela_hub_refused_total", {
  description: "Attempts that were refused, and sessions that were ended, for a limit of the hub",
  incremental: true
})

/** One for each reason; made once, since a label that is set anew at each count costs more than the count. */
const refusedFor: Readonly<Record<LimitReason, Metric.Metric.Counter<number>>> = {
  "hub sessions": Metric.tagged(refused, "reason", "hub_sessions"),
  "identity sessions": Metric.tagged(refused, "reason", "identity_sessions"),
  "machine sessions": Metric.tagged(refused, "reason", "machine_sessions"),
  machines: Metric.tagged(refused, "reason", "machines"),
  memory: Metric.tagged(refused, "reason", "memory"),
  draining: Metric.tagged(refused, "reason", "draining"),
  waiting: Metric.tagged(refused, "reason", "waiting"),
  strangers: Metric.tagged(refused, "reason", "strangers"),
  "address strangers": Metric.tagged(refused, "reason", "address_strangers")
}

/** Counts one that was refused. */
export const countRefused = (reason: LimitReason): void => refusedFor[reason].unsafeUpdate(1, [])

export const sessions = Metric.gauge("tela_hub_sessions", { description: "Sessions up or coming up" })

export const detached = Metric.gauge("tela_hub_detached_sessions", {
  description: "Sessions that ended a short while ago and whose link may go on in another"
})

export const held = Metric.gauge("tela_hub_held_bytes", {
  description: "Bytes in the hub's memory for peers that have not read them, or have not finished what they say"
})

export const relayed = Metric.counter("tela_hub_relayed_bytes_total", {
  description: "Bytes that passed between clients and agents, both ways",
  incremental: true
})

export const paced = Metric.counter("tela_hub_paced_total", {
  description: "Times that reading from a peer stopped because its identity was ahead of its bandwidth",
  incremental: true
})

export const drained = Metric.counter("tela_hub_drained_total", {
  description: "Sessions that were up when the hub was asked to stop",
  incremental: true
})
