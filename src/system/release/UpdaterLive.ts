/**
 * The updates of a running program that is installed from a release: one at a time, in the background, with what became of
 * it for whoever asks afterwards. A downgrade is never done from here.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { UPDATE_RESTART_DELAY } from "../../protocol/Limits.ts"
import { none } from "../../store/UpdateSettings.ts"
import type { UpdateEdit, UpdateSettings } from "../../store/UpdateSettings.ts"
import type { UpdateStore } from "../../store/UpdateStore.ts"
import type * as Decision from "./Decision.ts"
import { Installation } from "./Installation.ts"
import * as Look from "./Look.ts"
import type { Origin } from "./Origin.ts"
import * as Source from "./Source.ts"
import * as Update from "./Update.ts"
import { Updater, UpdateRefused } from "./Updater.ts"
import type { LastUpdate, UpdateRequest, UpdateStatus } from "./Updater.ts"
import * as Version from "./Version.ts"

export interface UpdaterOptions {
  /** The version that runs, which may be another one than is installed by now. */
  readonly version: string
  /** Where the channel is kept; undefined when the program has no file. */
  readonly store: UpdateStore | undefined
  /** Starts the program anew, in order; fails with a sentence when that cannot be done. */
  readonly restart: Effect.Effect<void, { readonly message: string }>
}

const noFile = new UpdateRefused({
  kind: "refused",
  message: "it runs from flags, without a configuration file in which a channel could be kept; start it with -config"
})

const busy = new UpdateRefused({
  kind: "busy",
  message: "an update is under way; ask for the status to see how far it is"
})

const invalid = (message: string) => new UpdateRefused({ kind: "invalid", message })

const percent = (received: number, size: number) => `${Math.floor((100 * received) / size)} % of ${size} bytes`

/** The updater of an installation; an update that is under way ends with the scope, and leaves what is installed. */
export const make = (
  options: UpdaterOptions
): Effect.Effect<typeof Updater.Service, never, Installation | Origin | Scope.Scope> =>
  Effect.gen(function* () {
    const { restart, store, version: running } = options
    const installation = yield* Installation
    const services = yield* Effect.context<Installation | Origin>()
    const provide = Effect.provide(services)
    const work = yield* FiberHandle.make()
    const turns = yield* Effect.makeSemaphore(1)
    let isUnderWay = false
    let last: LastUpdate | undefined

    const settings: Effect.Effect<UpdateSettings, UpdateRefused> =
      store === undefined
        ? Effect.succeed(none)
        : Effect.mapError(store.read, ({ message }) => new UpdateRefused({ kind: "refused", message }))

    const change = (edit: UpdateEdit) =>
      store === undefined
        ? noFile
        : Effect.mapError(store.change(edit), ({ message }) => new UpdateRefused({ kind: "unwritable", message }))

    const now = Either.getOrUndefined(Version.parse(running))

    /** What is installed may be older than what still runs, if somebody at the machine wanted it so. */
    const isNewerThanRunning = (version: Version.Version) => now === undefined || Version.compare(version, now) > 0

    const note = (next: LastUpdate) => Effect.sync(() => void (last = next))

    /** What an earlier process left: a version that waits for a start, is on trial, or was rolled back. */
    const left = Effect.map(Effect.option(installation.installed), (found): LastUpdate | undefined => {
      if (found._tag === "None") return undefined
      const { pointer, release } = found.value
      if (pointer.failed !== undefined) {
        const version = pointer.failed.folder.replace(/-[0-9a-f]{8}$/, "")
        return { version, state: "rolled-back", text: `rolled back to ${release.version}: ${pointer.failed.reason}` }
      }
      const { version } = release
      if (version !== running) {
        return { version, state: "installed", text: "installed; it is in force from the next start on" }
      }
      return pointer.trial && { version, state: "on-trial", text: "it runs, and is on trial" }
    })

    const restarting = (version: string) =>
      Effect.logInfo(`${version} is installed; restarting`).pipe(
        Effect.zipRight(Effect.delay(restart, UPDATE_RESTART_DELAY)),
        Effect.catchAll(({ message }) =>
          Effect.zipRight(
            note({ version, state: "installed", text: `installed; it could not be started: ${message}` }),
            Effect.logError(`${version} is installed, but not started: ${message}`)
          )
        )
      )

    const run = ({ candidate, from }: { readonly candidate: Decision.Candidate; readonly from: string }) => {
      const version = candidate.version.text
      const progress = {
        onProgress: ({ received, size }: { readonly received: number; readonly size: number }) =>
          note({ version, state: "downloading", text: percent(received, size) }),
        onInstall: note({ version, state: "installing", text: "unpacked, tried, and put in place" })
      }
      return Effect.logInfo(`updating to ${version}`, { from }).pipe(
        Effect.zipRight(Update.install(candidate, from, progress)),
        Effect.zipRight(note({ version, state: "installed", text: "installed; restarting" })),
        Effect.zipRight(restarting(version)),
        Effect.catchAll(({ message }) =>
          Effect.zipRight(
            note({ version, state: "failed", text: message }),
            Effect.logError(`the update to ${version} failed, and nothing was replaced: ${message}`)
          )
        )
      )
    }

    /** Does it in the background; nothing else is begun meanwhile. */
    const begin = (effect: Effect.Effect<void, never, Installation | Origin>) =>
      Effect.suspend(() => {
        isUnderWay = true
        const over = Effect.sync(() => void (isUnderWay = false))
        return FiberHandle.run(work, Effect.ensuring(provide(effect), over))
      })

    const update = (request: UpdateRequest) =>
      Effect.gen(function* () {
        if (isUnderWay) return yield* busy
        const { installed, offer } = yield* Update.look(request, yield* settings)
        const decision = yield* Either.mapLeft(offer.decision, Update.ofRefusal)
        const version = offer.version.text
        if (decision._tag === "Install") {
          yield* note({ version, state: "downloading", text: "begun" })
          yield* begin(run({ candidate: decision.candidate, from: offer.address }))
          return { version, begun: true, message: `updating to ${version}` }
        }
        if (version === running) return { version, begun: false, message: `already running ${version}` }
        yield* begin(restarting(installed.release.version))
        return { version, begun: true, message: `updating to ${version}, which is installed already` }
      }).pipe(provide, turns.withPermits(1))

    const channel = Effect.gen(function* () {
      const kept = yield* settings
      const { release } = yield* Effect.mapError(installation.installed, Update.ofInstall)
      const { address = "", wanted } = yield* Look.place({}, kept, release)
      return { channel: wanted.channel, manifestUrl: address }
    })

    const offered = Effect.gen(function* () {
      const { release } = yield* Effect.mapError(installation.installed, Update.ofInstall)
      const place = yield* Look.place({}, yield* settings, release)
      const { decision, version } = yield* Update.offerAt(place, yield* Update.subjectOf(release))
      const isNew = Either.isRight(decision) && isNewerThanRunning(version)
      return { latestVersion: version.text, updateAvailable: isNew }
    }).pipe(provide)

    const status: Effect.Effect<UpdateStatus> = Effect.gen(function* () {
      const where = yield* Effect.either(channel)
      const found = yield* Effect.either(offered)
      const kept = yield* Effect.orElseSucceed(settings, () => none)
      const latest = last ?? (yield* left)
      return {
        channel: Either.isRight(where) ? where.right.channel : (kept.channel ?? ""),
        manifestUrl: Either.isRight(where) ? where.right.manifestUrl : "",
        currentVersion: running,
        ...Either.getOrElse(found, () => ({ latestVersion: "", updateAvailable: false })),
        sources: kept.sources,
        ...(Either.isLeft(found) && { error: found.left.message }),
        ...(latest !== undefined && { last: latest })
      }
    })

    const baseFor = (base: string) => Either.mapLeft(Source.normalize(base), invalid)
    const nameFor = (name: string) => Either.mapLeft(Source.channelName(name), invalid)

    return {
      status,
      update,
      channel,
      setChannel: ({ base, channel: asked }) =>
        Effect.gen(function* () {
          const name = asked ? yield* nameFor(asked) : undefined
          if (name === undefined && !base) return yield* channel
          const of = name ?? (yield* channel).channel
          yield* change({
            ...(name !== undefined && { channel: name }),
            ...(base && { source: { name: of, base: yield* baseFor(base) } })
          })
          return yield* channel
        }),
      sources: Effect.map(settings, ({ sources }) => sources),
      setSource: (name, base) =>
        Effect.gen(function* () {
          const kept = yield* baseFor(base)
          yield* change({ source: { name: yield* nameFor(name), base: kept } })
          return kept
        }),
      removeSource: (name) =>
        Effect.gen(function* () {
          const wanted = yield* nameFor(name)
          const { sources } = yield* settings
          if (!Object.hasOwn(sources, wanted)) return false
          yield* change({ source: { name: wanted, base: null } })
          return true
        })
    }
  })

/** The updater of an installation, as a service. */
export const layer = (options: UpdaterOptions): Layer.Layer<Updater, never, Installation | Origin> =>
  Layer.scoped(Updater, make(options))
