/** What the commands `update` and `channel` do, apart from printing: the release that runs, its file, its channel. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { VERSION } from "../protocol/Version.ts"
import { none } from "../store/UpdateSettings.ts"
import type { UpdateSettings } from "../store/UpdateSettings.ts"
import type { UpdateStore } from "../store/UpdateStore.ts"
import type * as Decision from "../system/release/Decision.ts"
import * as Installation from "../system/release/Installation.ts"
import * as Look from "../system/release/Look.ts"
import * as Origin from "../system/release/Origin.ts"
import type { ProgramName, ReleaseFile } from "../system/release/ReleaseFile.ts"
import * as Runner from "../system/release/Runner.ts"
import * as Source from "../system/release/Source.ts"
import * as Update from "../system/release/Update.ts"
import type { UpdateRefused, UpdateRequest } from "../system/release/Updater.ts"
import * as Version from "../system/release/Version.ts"
import type { Given } from "./Command.ts"
import { Failed, type Failure, WrongUsage } from "./Failure.ts"
import type * as Flags from "./Flags.ts"
import type { Shell } from "./Shell.ts"

/** How one of the programs is updated. */
export interface Program {
  readonly name: ProgramName
  /** What finds the file: nothing, or -config. */
  readonly flags: ReadonlyArray<Flags.Flag<unknown>>
  /** The file that keeps the channel; undefined when there is none. */
  readonly store: (given: Given) => Effect.Effect<UpdateStore | undefined, Failure, Shell>
  /** The key that a daemon makes for itself beside that file. */
  readonly keyFile?: (file: string) => Effect.Effect<string>
  /** What to do when there is no file and one is needed. */
  readonly noFile: string
  /** What brings an update into force; undefined where the next command does. */
  readonly restart: string | undefined
}

const installationOf = (program: ProgramName) =>
  Effect.map(Installation.locate(process.argv[1]), (home) =>
    home === undefined ? undefined : Installation.make(home, { program, ...Update.machine })
  )

/** The installation that this program runs from. */
export const installation = ({ name }: Program): Effect.Effect<typeof Installation.Installation.Service, Failed> =>
  Effect.flatMap(installationOf(name), (found) =>
    found === undefined
      ? new Failed({
          message: `this ${name} was not installed from a release, so it cannot update itself; update it the way it came here`
        })
      : Effect.succeed(found)
  )

/** What a copy that was not installed from a release is taken for: a release without a key of its own. */
const unreleased = (program: ProgramName): ReleaseFile => ({
  program,
  version: VERSION,
  ...Update.machine,
  channel: Either.getOrUndefined(Either.map(Version.parse(VERSION), Version.channelOf)) ?? "stable",
  key: ""
})

/** The release that is installed. */
export const release = ({ name }: Program): Effect.Effect<ReleaseFile> =>
  Effect.gen(function* () {
    const found = yield* installationOf(name)
    if (found === undefined) return unreleased(name)
    return yield* Effect.match(found.installed, {
      onFailure: () => unreleased(name),
      onSuccess: (installed) => installed.release
    })
  })

/** What the file says of updates. */
export const settings = (program: Program, given: Given): Effect.Effect<UpdateSettings, Failure, Shell> =>
  Effect.flatMap(program.store(given), (store) => (store === undefined ? Effect.succeed(none) : store.read))

/** The file, to change it. */
export const writable = (program: Program, given: Given): Effect.Effect<UpdateStore, Failure, Shell> =>
  Effect.flatMap(program.store(given), (store) =>
    store === undefined ? new Failed({ message: program.noFile }) : Effect.succeed(store)
  )

/** A channel's name, checked; `what` names it in the sentence of an error. */
export const channelName = (text: string, what: string): Effect.Effect<string, WrongUsage> =>
  Effect.mapError(Source.channelName(text), (why) => new WrongUsage({ message: `${what}: ${why}` }))

/** A base address, checked, as it is kept. */
export const baseAddress = (text: string, what: string): Effect.Effect<string, WrongUsage> =>
  Effect.mapError(Source.normalize(text), (why) => new WrongUsage({ message: `${what}: ${why}` }))

/** How two versions stand to each other, in words. */
export const stateOf = (latest: Version.Version, current: Version.Version): string => {
  if (latest.text === current.text) return "up to date"
  return Version.compare(latest, current) < 0 ? "the installed one is newer" : "update available"
}

/** Where a channel is, and what it offers; whether that is to be installed is another question. */
export interface Found {
  readonly release: ReleaseFile
  readonly place: Look.Place
  readonly current: Version.Version
  readonly offer: Effect.Effect<Look.Offer, UpdateRefused>
}

/** Looks at the channel that is followed, or at another one. */
export const find = (
  program: Program,
  asked: Pick<UpdateRequest, "channel">,
  kept: UpdateSettings
): Effect.Effect<Found, UpdateRefused> =>
  Effect.gen(function* () {
    const about = yield* release(program)
    const place = yield* Look.place(asked, kept, about)
    const subject = yield* Update.subjectOf(about)
    const offer = Effect.provide(Update.offerAt(place, subject), Origin.layer)
    return { release: about, place, current: subject.version, offer }
  })

/** Why a version is put in force without a trial: who runs the daemon cannot write its installation. */
const whyUntried = (
  { keyFile, store }: Program,
  given: Given,
  { home }: typeof Installation.Installation.Service
): Effect.Effect<string | undefined, Failure, Shell> =>
  Effect.gen(function* () {
    const kept = keyFile && (yield* store(given))
    if (kept === undefined || keyFile === undefined) return undefined
    const key = yield* keyFile(kept.file)
    const user = yield* Runner.withoutRights(home, key)
    return user === undefined ? undefined : `user ${user}, whose is ${key}, cannot write ${home}`
  })

/** What an update would do, and how it is done. */
export const plan = (program: Program, given: Given, asked: UpdateRequest & { readonly allowDowngrade: boolean }) =>
  Effect.gen(function* () {
    const where = yield* installation(program)
    const kept = yield* settings(program, given)
    const untried = yield* whyUntried(program, given, where)
    const how = { allowDowngrade: asked.allowDowngrade, untried: untried !== undefined }
    const provide = <A, E>(effect: Effect.Effect<A, E, Installation.Installation | Origin.Origin>) =>
      Effect.provide(Effect.provideService(effect, Installation.Installation, where), Origin.layer)
    const { installed, offer } = yield* provide(Update.look(asked, kept))
    return {
      installed: installed.release.version,
      offer,
      decision: Either.mapLeft(offer.decision, (refused) => {
        const older = `${refused.message}; to install it, give -allow-downgrade`
        return new Failed({ message: refused.kind === "older" ? older : `${offer.address}: ${refused.message}` })
      }),
      /** Why there is no trial; undefined where there is one, or none is needed. */
      untried,
      /** Ends the trial of what is installed, which whoever runs it cannot do. */
      settle: untried === undefined ? Effect.void : where.confirm(installed.release.version),
      install: (candidate: Decision.Candidate, from: string, progress: Parameters<typeof Update.install>[2]) =>
        provide(Update.install(candidate, from, progress, how))
    }
  })
