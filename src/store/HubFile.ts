/**
 * telahubd.yaml: the hub's settings, identities and grants (spec: hub-api 3.1). Reads the form of the deployed hub and
 * ours, which may stand in one file; writes only at the first start.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Snapshot } from "../policy/Identity.ts"

/** A hub file that is unusable, or could not be written. The message is one line: where, what, and what to do. */
export class HubFileError extends Schema.TaggedError<HubFileError>()("HubFileError", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/** `user bootstrap`, or a first start, on a file that has an owner already. */
export class OwnerExists extends Schema.TaggedError<OwnerExists>()("OwnerExists", { path: Schema.String }) {
  override get message(): string {
    return `${this.path}: an owner exists and its token is not shown again; for a new one, run \`telahubd user rotate owner\` on the hub's machine`
  }
}

/** What the file itself says; undefined where it says nothing. */
export interface FileSettings {
  readonly hubId: string | undefined
  readonly name: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  /** Paths as they stand, resolved against the file's folder. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  readonly trustedProxies: ReadonlyArray<string>
}

/** A loaded file. */
export interface HubFile {
  readonly path: string
  readonly settings: FileSettings
  readonly snapshot: Snapshot
  /** For the log, one line each. */
  readonly warnings: ReadonlyArray<string>
}

/** What a hub runs with: flags, environment, file and defaults put together. */
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
}

/** Where the file is, or will be created. */
export interface Located {
  readonly path: string
  readonly exists: boolean
}

/** Port of a hub when nothing else says. */
export const DEFAULT_PORT = 80

export const FILE_NAME = "telahubd.yaml"

/** Finds the file by the one rule of every subcommand: the flag, else ./data, else the system folder. */
export const locate = (_options: {
  readonly configFlag: Option.Option<string>
  readonly cwd: string
  /** Folder of system-wide configuration, `/etc/tela`. */
  readonly systemDir: string
}): Effect.Effect<Located> => Effect.succeed({ path: "", exists: false })

/** Reads a file that exists. */
export const load = (path: string): Effect.Effect<HubFile, HubFileError> =>
  Effect.fail(new HubFileError({ path, reason: "not built yet" }))

/**
 * Creates the file: a new hub id, the identities `owner` and `console-viewer`. Returns the owner's token, which nothing
 * shows again. `ownerToken` (TELA_OWNER_TOKEN) is taken instead of a fresh one.
 */
export const bootstrap = (
  path: string,
  _options: { readonly ownerToken: Option.Option<Redacted.Redacted>; readonly settings?: { readonly port?: number } }
): Effect.Effect<Redacted.Redacted, HubFileError | OwnerExists> =>
  Effect.fail(new HubFileError({ path, reason: "not built yet" }))

/** What the command line may set. */
export interface HubFlags {
  readonly host: Option.Option<string>
  readonly port: Option.Option<number>
  readonly name: Option.Option<string>
}

/** Puts flag, environment (TELAHUBD_HOST, TELAHUBD_PORT, TELAHUBD_NAME), file and default together, in this order. */
export const resolve = (
  file: HubFile,
  _env: Readonly<Record<string, string | undefined>>,
  _flags: HubFlags
): Effect.Effect<HubConfig, HubFileError> => Effect.fail(new HubFileError({ path: file.path, reason: "not built yet" }))
