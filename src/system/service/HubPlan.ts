/**
 * What makes a hub's service out of a hub that somebody runs, or a new one: its file, and beside it its record and its key.
 * Loads SQLite, and so is for `telahubd` alone.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { SHUTDOWN_TIMEOUT } from "../../protocol/Limits.ts"
import * as Database from "../../store/Database.ts"
import * as HubFile from "../../store/HubFile.ts"
import * as HubStorage from "../../store/HubStorage.ts"
import type { Place } from "./Place.ts"
import * as Placing from "./Placing.ts"
import { copyOf, type Plan, realpath, type Step } from "./Plan.ts"
import * as ProgramFiles from "./ProgramFiles.ts"
import { ServiceError } from "./ServiceError.ts"
import { isHidden } from "./Unit.ts"

/** Settings that flags give. */
export interface HubSettings {
  readonly host?: string
  readonly port?: number
}

export interface HubPlanOptions {
  /** The hub's file, if one is meant; a new hub otherwise, unless one is installed. */
  readonly source: string | undefined
  readonly place: Place
  /** What its file is to say, in place of what it says. */
  readonly settings: HubSettings
  /** TELA_OWNER_TOKEN. */
  readonly ownerToken: Option.Option<Redacted.Redacted>
  /** Told the owner's token when a new hub has been made; nothing shows it again. */
  readonly announce: (token: Redacted.Redacted) => Effect.Effect<void>
}

const say = ({ message }: { readonly message: string }) => new ServiceError({ problem: message })

const load = (file: string) => Effect.mapError(HubFile.load(file), say)

const drainOf = ({ settings }: HubFile.HubFile): number => settings.shutdownTimeout ?? SHUTDOWN_TIMEOUT.default

/** Writes settings into the file of a hub that does not run yet, each on a line of its own. */
const write = (staged: string, settings: HubSettings): Effect.Effect<void, ServiceError> =>
  Effect.gen(function* () {
    const given = Object.entries(settings)
    if (given.length === 0) return
    const text = yield* Placing.attempt(staged, () => Fs.readFile(staged, "utf8"))
    const lines = text.split("\n").filter((line) => !given.some(([key]) => line.startsWith(`${key}:`)))
    const changed = [...given.map(([key, value]) => `${key}: ${JSON.stringify(value)}`), ...lines].join("\n")
    yield* Placing.attempt(staged, () => Fs.writeFile(staged, changed))
    const { settings: now } = yield* load(staged)
    const wrong = given.find(([key, value]) => (key === "host" ? now.host : now.port) !== value)
    if (wrong === undefined) return
    yield* new ServiceError({
      problem: `${wrong[0]} cannot be set in this hub's file; write it there, and leave out -${wrong[0]}`
    })
  })

/** Whether the system has a user of that name, whom systemd then takes for the service. */
const isUser = (name: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    Fs.readFile("/etc/passwd", "utf8").then(
      (text) => text.split("\n").some((line) => line.startsWith(`${name}:`)),
      () => false
    )
  )

/** Certificates that the service's own user cannot read. */
const tlsNotes = ({ settings }: HubFile.HubFile, place: Place): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    if (place.stateDirectory === undefined) return []
    const name = Path.basename(place.folder)
    const notes = new Set<string>()
    for (const file of Object.values(settings.tls ?? {})) {
      if (isHidden(file)) notes.add(`${file} is hidden from the service; keep it outside of homes and /tmp`)
      // Only whoever made that user knows what it may read.
      else if (!(yield* isUser(name)) && !file.startsWith(`${place.folder}/`)) {
        const closed = yield* ProgramFiles.barrier(file)
        if (closed === undefined) continue
        notes.add(
          `the service's own user may not read ${closed}; run: useradd --system ${name}; and let ${name} read it`
        )
      }
    }
    return [...notes]
  })

/** Releases that the hub serves: a folder that may be large, and that the service can write only in its own. */
const channelNotes = ({ settings: { channels } }: HubFile.HubFile, { folder }: Place): ReadonlyArray<string> =>
  channels === undefined
    ? []
    : [`the channels in ${channels.data} are not carried along; the service can write them only in ${folder}`]

const kept = (
  { place, settings }: HubPlanOptions,
  notes: ReadonlyArray<string> = []
): Effect.Effect<Plan, ServiceError> =>
  Effect.gen(function* () {
    const file = yield* load(place.configFile)
    const differs = Object.entries(settings).filter(
      ([key, value]) => file.settings[key === "host" ? "host" : "port"] !== value
    )
    return {
      steps: [{ what: "configuration", file: place.configFile, how: "stays as it is" }],
      notes: [
        ...notes,
        ...differs.map(([key, value]) => `to change the ${key}, write ${key}: ${value} into ${place.configFile}`),
        ...(yield* tlsNotes(file, place))
      ],
      leavesWithin: drainOf(file)
    }
  })

/** The hub's file is its memory: one that is installed goes on, and is not replaced by what it was once copied from. */
const keptInsteadOf = (source: string, options: HubPlanOptions): Effect.Effect<Plan, ServiceError> =>
  Effect.gen(function* () {
    const { place } = options
    if ((yield* realpath(source)) === (yield* realpath(place.configFile))) return yield* kept(options)
    const [given, installed] = yield* Effect.all([load(source), load(place.configFile)])
    if (given.settings.hubId !== installed.settings.hubId) {
      return yield* new ServiceError({
        problem: `${place.configFile} is another hub than ${source}; give that one a -name of its own, or move ${place.folder} away`
      })
    }
    return yield* kept(options, [`the service goes on with its own file; ${source}, the same hub, is not looked at`])
  })

const fresh = ({ announce, ownerToken, place, settings }: HubPlanOptions): Effect.Effect<Plan, ServiceError> =>
  Effect.gen(function* () {
    yield* Effect.mapError(Database.available, say)
    let token: Redacted.Redacted | undefined
    const make = (staged: string) =>
      Effect.gen(function* () {
        token = yield* Effect.mapError(HubFile.bootstrap(staged, { ownerToken }), say)
        yield* write(staged, settings)
      })
    const placed = Effect.suspend(() => (token === undefined ? Effect.void : announce(token)))
    return {
      steps: [{ what: "configuration", file: place.configFile, how: "new, with an owner", make, placed }],
      notes: [],
      leavesWithin: SHUTDOWN_TIMEOUT.default
    }
  })

const copied = (source: string, { place, settings }: HubPlanOptions): Effect.Effect<Plan, ServiceError> =>
  Effect.gen(function* () {
    const file = yield* load(source)
    const [relative] = file.settings.relativeFiles
    if (relative !== undefined) {
      return yield* new ServiceError({
        problem: `${source}: tls names ${relative} relative to the file, which is copied to ${place.folder}; write its whole path`
      })
    }
    const real = yield* realpath(source)
    const besides: Array<Step> = []
    const beside = (what: string, of: (hubFile: string) => string, make: (from: string) => Required<Step>["make"]) =>
      Effect.map(Placing.exists(of(real)), (there) => {
        const step = { what, file: of(place.configFile), how: "carried along", make: make(of(real)) }
        if (there) besides.push(step)
      })
    yield* beside(
      "record",
      HubStorage.databaseFile,
      (from) => (staged) => Effect.mapError(Database.copy(from, staged), say)
    )
    yield* beside("key", HubStorage.keyFile, copyOf)
    const make = (staged: string) => Effect.zipRight(copyOf(source)(staged), write(staged, settings))
    return {
      // The file last: with it the service is there.
      steps: [...besides, { what: "configuration", file: place.configFile, how: `copied from ${source}`, make }],
      notes: [
        `stop the hub that runs on ${source}, if one does, before you start this: what it changes from now on stays there`,
        ...channelNotes(file, place),
        ...(yield* tlsNotes(file, place))
      ],
      leavesWithin: drainOf(file)
    }
  })

/** Looks at what there is and says what is to be done. */
export const make = (options: HubPlanOptions): Effect.Effect<Plan, ServiceError> =>
  Effect.gen(function* () {
    const { place, source } = options
    const isInstalled = yield* Placing.exists(place.configFile)
    if (source === undefined) return isInstalled ? yield* kept(options) : yield* fresh(options)
    return isInstalled ? yield* keptInsteadOf(source, options) : yield* copied(source, options)
  })
