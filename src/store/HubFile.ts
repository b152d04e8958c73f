/**
 * telahubd.yaml: the hub's settings, identities and grants (spec: hub-api 3.1). Reads the form of the deployed hub and
 * ours, which may stand in one file; writes only at the first start.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Token from "../crypto/Token.ts"
import { identitiesOf } from "../policy/Identity.ts"
import type { Role, Snapshot } from "../policy/Identity.ts"
import { HUB_FILE_BYTES } from "../protocol/Limits.ts"
import { isRange } from "../transport/ClientAddress.ts"
import { Auth, identityLine, interpret } from "./HubAuth.ts"
import * as Files from "./internal/files.ts"
import { optional, optionalOr, read } from "./YamlFile.ts"

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
    return (
      `${this.path}: an owner exists and its token is not shown again; for a new one, run \`telahubd user rotate owner\` on ` +
      "the hub's machine, or, in versions without it, add `tokens: [{ id: owner-2, token: TOKEN, hubRole: owner }]` under auth:"
    )
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

/** What a hub runs with: flags, file and defaults put together. */
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
const DEFAULT_PORT = 80

const FILE_NAME = "telahubd.yaml"

const exists = (path: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    Fs.stat(path).then(
      () => true,
      // A file that may not be looked at is there, and loading it will say why it is of no use.
      (cause: unknown) =>
        !(cause instanceof Error && "code" in cause && ["ENOENT", "ENOTDIR"].includes(String(cause.code)))
    )
  )

const canWrite = (folder: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    Fs.access(folder, Fs.constants.W_OK).then(
      () => true,
      () => false
    )
  )

/**
 * Finds the file by the one rule of every subcommand: the flag, else ./data, else the system folder. A file that is
 * nowhere yet belongs in the system folder where that can be written, else in ./data.
 */
export const locate = (options: {
  readonly configFlag: Option.Option<string>
  readonly cwd: string
  /** Folder of system-wide configuration, `/etc/tela`. */
  readonly systemDir: string
}): Effect.Effect<Located> =>
  Effect.gen(function* () {
    const { configFlag, cwd, systemDir } = options
    if (Option.isSome(configFlag)) {
      const path = Path.resolve(cwd, configFlag.value)
      return { path, exists: yield* exists(path) }
    }
    const local = Path.join(cwd, "data", FILE_NAME)
    const system = Path.join(systemDir, FILE_NAME)
    if (yield* exists(local)) return { path: local, exists: true }
    if (yield* exists(system)) return { path: system, exists: true }
    const folder = (yield* exists(systemDir)) ? systemDir : Path.dirname(systemDir)
    return { path: (yield* canWrite(folder)) ? system : local, exists: false }
  })

/** Settings of the deployed hub that this version does not serve. */
const notServed = ["udpPort", "udpHost", "wwwDir", "shutdownTimeout", "portals", "update", "bridges", "channels"]

const isPort = (port: number) => Number.isInteger(port) && port >= 0 && port <= 65_535

const FileShape = Schema.Struct({
  hubId: optional(Schema.String),
  name: optional(Schema.String),
  host: optional(Schema.String),
  port: optional(
    Schema.Number.pipe(Schema.filter(isPort), Schema.annotations({ description: "a port from 0 to 65535" }))
  ),
  tls: optional(Schema.Struct({ cert: Schema.NonEmptyString, key: Schema.NonEmptyString })),
  trustedProxies: optionalOr(Schema.Array(Schema.String), []),
  auth: optional(Auth)
})

const ownerless = (path: string, empty: boolean) =>
  new HubFileError({
    path,
    reason:
      `${path}: ${empty ? "this file is empty" : "no identity in this file has the role owner"}; a hub never starts like ` +
      "that. Restore the file from a backup, or, if this hub is new, move it away and start again"
  })

/** Reads a file that exists. */
export const load = (path: string): Effect.Effect<HubFile, HubFileError> =>
  Effect.gen(function* () {
    const { problemAt, value, warnings } = yield* read(path, {
      schema: FileShape,
      notServed,
      secrets: true,
      maxBytes: HUB_FILE_BYTES
    })
    for (const [index, range] of value.trustedProxies.entries()) {
      if (isRange(range)) continue
      const expected = "expected an address or a range such as 10.0.0.0/8"
      return yield* problemAt(["trustedProxies", index], `trustedProxies[${index}]: ${expected}`)
    }
    const empty = Object.values(value).every((each) => each === undefined || (Array.isArray(each) && each.length === 0))
    if (value.auth === undefined) return yield* ownerless(path, empty)
    const { snapshot, warnings: authWarnings } = interpret(value.auth)
    if (!identitiesOf(snapshot).some((identity) => identity.role === "owner")) {
      return yield* ownerless(path, false)
    }
    const beside = (file: string) => Path.resolve(Path.dirname(path), file)
    const settings: FileSettings = {
      hubId: value.hubId || undefined,
      name: value.name,
      host: value.host,
      port: value.port || undefined,
      tls: value.tls && { cert: beside(value.tls.cert), key: beside(value.tls.key) },
      trustedProxies: value.trustedProxies
    }
    const noId = `no hubId, so each start makes one up; to keep one, add the line: hubId: ${Crypto.randomUUID()}`
    const own = [...(settings.hubId === undefined ? [noId] : []), ...authWarnings]
    return { path, settings, snapshot, warnings: [...warnings, ...own.map((text) => `${path}: ${text}`)] }
  }).pipe(
    Effect.catchTags({
      YamlFileMissing: (error) => new HubFileError({ path, reason: error.message }),
      YamlFileError: (error) => new HubFileError({ path, reason: error.message })
    })
  )

const firstFile = (ownerToken: Redacted.Redacted, now: number): string => {
  const line = (id: string, role: Role, token: Redacted.Redacted) =>
    `    ${id}: ${identityLine({ id, role, tokenHash: Token.hashOf(token), prefix: Token.prefixOf(token), issuedAt: now })}`
  return [
    "# The hub's settings, identities and grants. Of a token only its SHA-256 and its first characters are kept.",
    `hubId: ${Crypto.randomUUID()}`,
    "auth:",
    "  revision: 1",
    "  identities:",
    line("owner", "owner", ownerToken),
    line("console-viewer", "viewer", Token.generate()),
    "  machines:",
    '    "*": {"connect":[{"id":"console-viewer"}]}',
    ""
  ].join("\n")
}

/**
 * Creates the file: a new hub id, the identities `owner` and `console-viewer`. Returns the owner's token, which nothing
 * shows again. `ownerToken` (TELA_OWNER_TOKEN) is taken instead of a fresh one.
 */
export const bootstrap = (
  path: string,
  options: { readonly ownerToken: Option.Option<Redacted.Redacted> }
): Effect.Effect<Redacted.Redacted, HubFileError | OwnerExists> =>
  Effect.gen(function* () {
    const token = Option.getOrElse(options.ownerToken, Token.generate)
    const now = yield* Clock.currentTimeMillis
    yield* Files.createOnce(path, firstFile(token, now))
    return token
  }).pipe(
    Effect.catchTag("FileProblem", (error): Effect.Effect<never, HubFileError | OwnerExists> => {
      if (error.code === "EEXIST") return Effect.zipRight(load(path), new OwnerExists({ path }))
      return new HubFileError({
        path,
        reason: `${path}: cannot create it: ${error.problem}; name another with -config`
      })
    })
  )

/** A file that was loaded; with the owner's token if it was created by this start. */
export interface Opened {
  readonly file: HubFile
  readonly created: Option.Option<Redacted.Redacted>
}

/** Loads the file, or, where there is none, starts for the first time. */
export const open = (
  located: Located,
  options: { readonly ownerToken: Option.Option<Redacted.Redacted> }
): Effect.Effect<Opened, HubFileError> =>
  Effect.gen(function* () {
    const created = located.exists
      ? Option.none()
      : yield* bootstrap(located.path, options).pipe(
          Effect.asSome,
          // Somebody else was first; what they made is loaded as it is.
          Effect.catchTag("OwnerExists", () => Effect.succeedNone)
        )
    return { file: yield* load(located.path), created }
  })

/** What the command line, or the environment in its place, may set. */
export interface HubFlags {
  readonly host: Option.Option<string>
  readonly port: Option.Option<number>
  readonly name: Option.Option<string>
}

/**
 * Puts flag, file and default together, in this order; a flag stands for its environment variable too. Port 0 means the
 * default in the file, and a port that the system chooses in a flag. A file without hubId gets one that lasts as long as
 * the result.
 */
export const resolve = (file: HubFile, flags: HubFlags): HubConfig => {
  const { hubId, host, name, port, tls, trustedProxies } = file.settings
  return {
    hubId: hubId ?? Crypto.randomUUID(),
    name: Option.getOrElse(flags.name, () => name ?? ""),
    host: Option.getOrElse(flags.host, () => host ?? ""),
    port: Option.getOrElse(flags.port, () => port ?? DEFAULT_PORT),
    tls,
    trustedProxies
  }
}
