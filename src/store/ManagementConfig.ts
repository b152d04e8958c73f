/**
 * `management:` in telad.yaml: what the agent's owner lets others do from afar, for the whole file or for one machine, which
 * then stands in place of the file's. Whatever a hub asks, this counts.
 */
import * as Schema from "effect/Schema"
import * as YamlFile from "./YamlFile.ts"

/** Whether each of these may be done. */
export interface ManagementConfig {
  /** Reading the machine's configuration, which never shows a token. */
  readonly config: boolean
  /** Changing it. */
  readonly set: boolean
  /** Changing or removing a list of clients that is in force: it is what holds when the hub cannot be trusted. */
  readonly clients: boolean
  readonly logs: boolean
  /** Restarting the agent, and updating it: of an agent with several machines, each must allow it. */
  readonly restart: boolean
  readonly update: boolean
}

export type Permission = keyof ManagementConfig

/** What holds when the file says nothing: everything but what would widen the agent's own list of clients. */
export const otherwise: ManagementConfig = {
  config: true,
  set: true,
  clients: false,
  logs: true,
  restart: true,
  update: true
}

const nothing: ManagementConfig = {
  config: false,
  set: false,
  clients: false,
  logs: false,
  restart: false,
  update: false
}

const flag = (permission: Permission) => YamlFile.optionalOr(Schema.Boolean, otherwise[permission])

/** `false` forbids everything; a map forbids, or allows, what it names. */
export const schema = Schema.Union(
  Schema.Boolean,
  Schema.Struct({
    config: flag("config"),
    set: flag("set"),
    clients: flag("clients"),
    logs: flag("logs"),
    restart: flag("restart"),
    update: flag("update")
  })
).annotations({ description: "true, false, or a map of config, set, clients, logs, restart and update" })

/** What a file says, completed. */
export const make = (said: typeof schema.Type): ManagementConfig =>
  typeof said === "boolean" ? (said ? otherwise : nothing) : said
