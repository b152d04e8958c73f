/**
 * telahubd.yaml: where it is, the first start that creates it, and loading it (spec: hub-api 3.1 to 3.3).
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
import { ANY_MACHINE, noGrants } from "../policy/Identity.ts"
import type { Role, Snapshot, StoredIdentity } from "../policy/Identity.ts"
import * as Quote from "../protocol/Quote.ts"
import * as AuthLine from "./AuthLine.ts"
import type { FileSettings } from "./HubSettings.ts"
import * as HubState from "./HubState.ts"
import * as Files from "./internal/files.ts"

export { resolve } from "./HubSettings.ts"
export type { FileSettings, HubConfig, HubFlags } from "./HubSettings.ts"

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
      `${this.path}: an owner exists and its token is not shown again; for a new one, run \`telahubd user rotate owner ` +
      `${Quote.flag("config", this.path)}\` on the hub's machine`
    )
  }
}

/** A loaded file. */
export interface HubFile {
  readonly path: string
  readonly settings: FileSettings
  /** Identities and grants as they were when it was loaded; a hub has them from {@link HubIdentities}. */
  readonly snapshot: Snapshot
  /** For the log, one line each. */
  readonly warnings: ReadonlyArray<string>
  /** What {@link HubIdentities} goes on from. */
  readonly loaded: HubState.Taken
}

/** Where the file is, or will be created. */
export interface Located {
  readonly path: string
  readonly exists: boolean
}

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

/** Reads a file that exists. Writes nothing. */
export const load = (path: string): Effect.Effect<HubFile, HubFileError> =>
  HubState.load(path, { ownerless: "refused" }).pipe(
    Effect.map((loaded) => {
      const { settings, snapshot, warnings } = loaded.state
      return { path, settings, snapshot, warnings, loaded }
    }),
    Effect.mapError(({ message }) => new HubFileError({ path, reason: message }))
  )

const firstFile = (ownerToken: Redacted.Redacted, now: number): string => {
  const identity = (id: string, role: Role, token: Redacted.Redacted): StoredIdentity => ({
    id,
    role,
    ...Token.kept(token),
    issuedAt: now
  })
  const line = (key: string, body: string) => AuthLine.format({ key, body, trail: "" })
  // Without versions: they go on from those in a record that a hub of before may have left beside the file.
  const identities = [identity("owner", "owner", ownerToken), identity("console-viewer", "viewer", Token.generate())]
  const view = AuthLine.writeMachine({
    ...noGrants,
    connect: new Map([["console-viewer", [{ id: "console-viewer" }]]])
  })
  return [
    "# The hub's settings, identities and grants. Of a token only its SHA-256 and its first characters are kept.\n",
    `hubId: ${Crypto.randomUUID()}\n`,
    // So is the revision above what such a record knows: it has counted fewer changes than seconds.
    `auth:\n  revision: ${Math.floor(now / 1_000)}\n`,
    `  identities:\n${identities.map((each) => line(each.id, AuthLine.writeIdentity(each))).join("")}`,
    `  machines:\n${line(ANY_MACHINE, view)}`
  ].join("")
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
