/**
 * What a hub may ask of an agent, and what the agent answers with (spec: wire 7.3). Names and members are the deployed
 * programs'; what they do not know is marked "ours".
 */
import * as Schema from "effect/Schema"
import { MachineName } from "./Control.ts"

/** Every action that our agents know. */
export const actions = [
  "config-get",
  "config-set",
  "logs",
  "restart",
  "update",
  "update-status",
  "update-channel",
  "channel-sources-list",
  "channel-sources-set",
  "channel-sources-remove"
] as const
export type Action = (typeof actions)[number]

/** Whether it is an action that our agents know. */
export const isAction = (word: string): word is Action => actions.some((action) => action === word)

/** Actions that change nothing, and so may be asked for with GET. */
export const isReading = (action: string): boolean =>
  action === "config-get" || action === "logs" || action === "update-status" || action === "channel-sources-list"

/**
 * In an agent's capabilities. `management` is the deployed agents' word for taking requests at all; `machineManagement` is
 * ours: what is asked about one machine tells and changes nothing of another.
 */
export const capability = { management: true, machineManagement: true } as const

/** Go programs write an empty list or map as null, so null means absent. */
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

/** A plain JSON object. */
export const JsonObject = Schema.Record({ key: Schema.String, value: Schema.Unknown })
export type JsonObject = typeof JsonObject.Type

export const levels = ["debug", "info", "warn", "error"] as const
export const Level = Schema.Literal(...levels)
export type Level = typeof Level.Type

/** Of `logs`. All but `lines` is ours. */
export const LogsQuery = Schema.Struct({
  /** How many of the newest; with `after`, at most so many of the oldest after that. */
  lines: optional(Schema.Number),
  /** Only lines of this level or a higher one. */
  level: optional(Level),
  /** A cursor of an earlier answer: only what came later. */
  after: optional(Schema.String),
  /** Waits so many milliseconds at most until there is something. */
  wait: optional(Schema.Number)
})
export type LogsQuery = typeof LogsQuery.Type

/** Lines, oldest first. */
export const LogsAnswer = Schema.Struct({
  lines: optional(Schema.Array(Schema.String)),
  /** Ours: where the next answer is to go on. */
  cursor: optional(Schema.String),
  /** Ours: lines after the given cursor that are not remembered any more. */
  missed: optional(Schema.Int)
})
export type LogsAnswer = typeof LogsAnswer.Type

/** Of `config-get`: entries of `machines:` as they stand in the agent's file, without tokens. */
export const ConfigAnswer = Schema.Struct({
  hub: optional(Schema.String),
  configPath: optional(Schema.String),
  machines: optional(Schema.Array(JsonObject))
})
export type ConfigAnswer = typeof ConfigAnswer.Type

/** Of `config-set`: a JSON merge patch (RFC 7386) whose root is the machine's entry. */
export const ConfigPatch = Schema.Struct({ machine: optional(MachineName), fields: JsonObject })
export type ConfigPatch = typeof ConfigPatch.Type

/** One key of an entry that is another now; a side that is absent was not there. */
export const ConfigChange = Schema.Struct({
  key: Schema.String,
  from: Schema.optional(Schema.Unknown),
  to: Schema.optional(Schema.Unknown)
})
export type ConfigChange = typeof ConfigChange.Type

/** Ours; deployed agents answer `config-set` without one. */
export const ConfigChanged = Schema.Struct({
  changes: Schema.Array(ConfigChange),
  /** Keys that come into force with the next restart. */
  restart: optional(Schema.Array(Schema.String)),
  warnings: optional(Schema.Array(Schema.String))
})
export type ConfigChanged = typeof ConfigChanged.Type

/** Of `update`. */
export const UpdateQuery = Schema.Struct({
  version: optional(Schema.String),
  channel: optional(Schema.String),
  manifestBase: optional(Schema.String)
})
export type UpdateQuery = typeof UpdateQuery.Type

/** Of `update-status`, and of the hub about itself (spec: hub-api 1.16). */
export const UpdateStatus = Schema.Struct({
  channel: optional(Schema.String),
  manifestUrl: optional(Schema.String),
  currentVersion: optional(Schema.String),
  latestVersion: optional(Schema.String),
  updateAvailable: optional(Schema.Boolean),
  error: optional(Schema.String),
  /** Ours: what became of the last update. */
  last: optional(Schema.Struct({ version: Schema.String, state: Schema.String, text: Schema.String }))
})
export type UpdateStatus = typeof UpdateStatus.Type

/** Ours, of `update`: the version that will run when the update is done; absent when there is nothing to do. */
export const UpdateAnswer = Schema.Struct({ version: optional(Schema.String) })

/** Of `update-channel`. */
export const ChannelQuery = Schema.Struct({ channel: optional(Schema.String), manifestBase: optional(Schema.String) })

/** What `update-channel` answers with. */
export const ChannelAnswer = Schema.Struct({ channel: optional(Schema.String), manifestUrl: optional(Schema.String) })

/** Sources of channels, by the channel's name. */
export const SourcesAnswer = Schema.Struct({
  sources: optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

/** Of `channel-sources-set` and `channel-sources-remove`, and what they answer with. */
export const SourceQuery = Schema.Struct({ name: Schema.String, base: optional(Schema.String) })
