/**
 * The settings in telahubd.yaml, and what a hub runs with: flags, file and defaults put together.
 */
import * as Crypto from "node:crypto"
import * as Path from "node:path"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SHUTDOWN_TIMEOUT } from "../protocol/Limits.ts"
import { Auth } from "./HubAuth.ts"
import { limitsOf, LimitsShape } from "./HubLimits.ts"
import type { HubLimits } from "./HubLimits.ts"
import { settingsOf as updateSettingsOf, UpdateShape } from "./UpdateSettings.ts"
import type { UpdateSettings } from "./UpdateSettings.ts"
import { duration, optional, optionalOr } from "./YamlFile.ts"

/** What the file itself says; undefined where it says nothing. */
export interface FileSettings {
  readonly hubId: string | undefined
  readonly name: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  /** Paths as they stand, resolved against the file's folder. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** Those of them that stand there relative to the file, and so have to move with it. */
  readonly relativeFiles: ReadonlyArray<string>
  readonly trustedProxies: ReadonlyArray<string>
  /** Milliseconds. */
  readonly shutdownTimeout: number | undefined
  /** Taken from the file while the hub runs, too. */
  readonly limits: HubLimits
  readonly update: UpdateSettings
  readonly channels: ChannelsConfig | undefined
}

/** The release channels that a hub serves. */
export interface ChannelsConfig {
  /** The folder that holds them, resolved against the file's. */
  readonly data: string
  /** Where the world reaches `/channels`, for example `https://hub.example.com/channels`; undefined when nobody said. */
  readonly publicURL: string | undefined
  /** The public key that releases must be signed with to be published here. */
  readonly key: string | undefined
}

/** What a hub runs with. */
export interface HubConfig {
  readonly hubId: string
  /** What people call the hub; may be empty. */
  readonly name: string
  /** Address to listen on; empty for all. */
  readonly host: string
  readonly port: number
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** Addresses or CIDR ranges whose X-Forwarded-For is believed. */
  readonly trustedProxies: ReadonlyArray<string>
  /** How long a hub that stops waits for those who cannot go on elsewhere, in milliseconds; SHUTDOWN_TIMEOUT unless given. */
  readonly shutdownTimeout?: number | undefined
  /** The release channels that it serves; none unless given. */
  readonly channels?: ChannelsConfig | undefined
}

/** What the command line, or the environment in its place, may set. */
export interface HubFlags {
  readonly host: Option.Option<string>
  readonly port: Option.Option<number>
  readonly name: Option.Option<string>
}

/** Port of a hub when nothing else says. */
const DEFAULT_PORT = 80

/** Settings of the deployed hub that this version does not serve. */
export const notServed = ["udpPort", "udpHost", "wwwDir", "portals", "bridges"]

const isPort = (port: number) => Number.isInteger(port) && port >= 0 && port <= 65_535

/** The whole file as a Schema. */
export const FileShape = Schema.Struct({
  hubId: optional(Schema.String),
  name: optional(Schema.String),
  host: optional(Schema.String),
  port: optional(
    Schema.Number.pipe(Schema.filter(isPort), Schema.annotations({ description: "a port from 0 to 65535" }))
  ),
  tls: optional(Schema.Struct({ cert: Schema.NonEmptyString, key: Schema.NonEmptyString })),
  trustedProxies: optionalOr(Schema.Array(Schema.String), []),
  shutdownTimeout: optional(duration(SHUTDOWN_TIMEOUT.most)),
  limits: optional(LimitsShape),
  update: optional(UpdateShape),
  channels: optional(
    Schema.Struct({
      enabled: optionalOr(Schema.Boolean, false),
      data: optional(Schema.NonEmptyString),
      publicURL: optional(Schema.String),
      key: optional(Schema.String)
    })
  ),
  auth: optional(Auth)
})

/** Beside the file, unless said otherwise. */
const CHANNELS_FOLDER = "channels"

/** The settings in a file. */
export const settingsOf = (path: string, file: typeof FileShape.Type): FileSettings => {
  const beside = (name: string) => Path.resolve(Path.dirname(path), name)
  return {
    hubId: file.hubId || undefined,
    name: file.name,
    host: file.host,
    port: file.port || undefined,
    tls: file.tls && { cert: beside(file.tls.cert), key: beside(file.tls.key) },
    relativeFiles: Object.values(file.tls ?? {}).filter((name) => !Path.isAbsolute(name)),
    trustedProxies: file.trustedProxies,
    shutdownTimeout: file.shutdownTimeout,
    limits: limitsOf(file.limits),
    update: updateSettingsOf(file.update),
    channels: file.channels?.enabled
      ? {
          data: beside(file.channels.data ?? CHANNELS_FOLDER),
          publicURL: file.channels.publicURL || undefined,
          key: file.channels.key || undefined
        }
      : undefined
  }
}

/**
 * Puts flag, file and default together, in this order; a flag stands for its environment variable too. Port 0 means the
 * default in the file, and a port that the system chooses in a flag. A file without hubId gets one that lasts as long as
 * the result.
 */
export const resolve = (file: { readonly settings: FileSettings }, flags: HubFlags): HubConfig => {
  const { channels, hubId, host, name, port, shutdownTimeout, tls, trustedProxies } = file.settings
  return {
    hubId: hubId ?? Crypto.randomUUID(),
    name: Option.getOrElse(flags.name, () => name ?? ""),
    host: Option.getOrElse(flags.host, () => host ?? ""),
    port: Option.getOrElse(flags.port, () => port ?? DEFAULT_PORT),
    tls,
    trustedProxies,
    shutdownTimeout,
    channels
  }
}
