/**
 * Installs a service, takes it away, and does to it what people ask for. What is there already is left as it is, and what
 * has changed is said: installing twice is installing once.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { type Definition, isOurs, titles } from "./Definition.ts"
import type { ServiceState } from "./Manager.ts"
import type { ManagerCall } from "./ManagerCall.ts"
import * as Place from "./Place.ts"
import * as Placing from "./Placing.ts"
import { type Done, type Plan, realpath, type Step } from "./Plan.ts"
import type { ProgramCopy } from "./ProgramCopy.ts"
import * as ProgramFiles from "./ProgramFiles.ts"
import { ServiceError } from "./ServiceError.ts"
import { commandLine, type Service } from "./Services.ts"
import * as Variables from "./Variables.ts"

type Env = Readonly<Record<string, string | undefined>>

export interface InstallOptions {
  readonly plan: Plan
  /** What the service is started from. */
  readonly files: ProgramFiles.ProgramFiles
  /** The service's own copy of it, if it has one. */
  readonly copy?: ProgramCopy | undefined
  /** The variables of whoever installs it. */
  readonly env: Env
  /** Shows what would be done, and does nothing. */
  readonly dryRun: boolean
}

/** One thing that was, or would be, installed. */
export interface Row {
  readonly what: string
  readonly where: string
  readonly how: string
}

export interface Installed {
  readonly rows: ReadonlyArray<Row>
  readonly notes: ReadonlyArray<string>
  /** The text for the service manager. */
  readonly text: string
  /** Whether anything is not as it was before. */
  readonly changed: boolean
  /** Whether the service runs now, on what was there before. */
  readonly running: boolean
}

const rowOf = ({ file, how, what }: Done): Row => ({ what, where: file, how })

const definitionOf = (service: Service, options: InstallOptions): Effect.Effect<Definition, ServiceError> => {
  const { name, place, program, scope } = service
  return Effect.map(Placing.ownerOf(place.folder), (owner) => ({
    program,
    name,
    scope,
    description: name === program ? titles[program] : `${titles[program]} (${name})`,
    command: [...options.files.command, "-config", place.configFile],
    environment: Variables.given(service, options.env),
    environmentFile: place.environmentFile,
    folder: place.folder,
    runsAs: Place.runsAs(place, owner),
    leavesWithin: options.plan.leavesWithin,
    lowPorts: program === "telahubd",
    readsFrom: options.files.readsFrom,
    logFile: place.logFile
  }))
}

/** The file of the service manager as it is; fails when somebody else made it. */
const textBefore = ({ manager, place, program }: Service): Effect.Effect<string | undefined, ServiceError> =>
  Effect.gen(function* () {
    const file = place.definitionFile
    const text = yield* Placing.unlessMissing(file, () => Fs.readFile(file, manager.encoding))
    if (text === undefined || isOurs(text)) return text?.replace(/^\uFEFF/, "")
    return yield* new ServiceError({
      problem: `${file} was not made by ${program} service install; move it away, or choose another -name`
    })
  })

/** Does the steps of a plan, in their order. */
export const carryOut = (place: Place.Place, steps: ReadonlyArray<Step>): Effect.Effect<void, ServiceError> =>
  Effect.gen(function* () {
    const staging = yield* Placing.stage(place.folder)
    const owner = yield* Placing.ownerOf(place.folder)
    for (const { file, keepAs, make, placed } of steps) {
      if (make === undefined) continue
      const staged = Path.join(staging, Path.basename(file))
      yield* make(staged)
      if (keepAs !== undefined) yield* Placing.setAside(file, keepAs)
      yield* Placing.put(staged, file, owner)
      yield* placed ?? Effect.void
    }
  }).pipe(Effect.scoped)

/** The link by which a hub's commands find its file; what is there already and leads to another file stays, and wins. */
const linkStep = ({
  place: { configFile, link }
}: Service): Effect.Effect<
  { readonly row?: Row; readonly note?: string; readonly make?: Effect.Effect<void, ServiceError> },
  ServiceError
> =>
  Effect.gen(function* () {
    if (link === undefined) return {}
    const row = { what: "link", where: link }
    const target = yield* Placing.unlessMissing(link, () => Fs.realpath(link))
    if (target !== undefined && target === (yield* realpath(configFile))) return { row: { ...row, how: "unchanged" } }
    if (target !== undefined) {
      return { note: `telahubd user means ${link}, not the service's file, until you move it away and install again` }
    }
    const make = Placing.attempt(link, async () => {
      await Fs.mkdir(Path.dirname(link), { recursive: true, mode: 0o755 })
      await Fs.rm(link, { force: true })
      await Fs.symlink(configFile, link)
    })
    return { row: { ...row, how: `to ${configFile}` }, make }
  })

/** Installs a service; it is not started. */
export const install = (
  service: Service,
  options: InstallOptions
): Effect.Effect<Installed, ServiceError, ManagerCall> =>
  Effect.gen(function* () {
    const { manager, place, scope } = service
    const { copy, dryRun, env, files, plan } = options
    if (!dryRun) yield* manager.available
    const before = yield* textBefore(service)
    if (place.stateDirectory !== undefined) yield* ProgramFiles.readableByOthers(files)
    const link = yield* linkStep(service)
    // What cannot be written down is refused before anything is done.
    yield* manager.text(yield* definitionOf(service, options))
    if (!dryRun) {
      yield* Placing.makeFolder(place.folder, scope === "system" ? 0o755 : 0o700)
      if (place.logFile !== undefined) yield* Placing.makeFolder(Path.dirname(place.logFile), 0o755)
      // First: what has no room leaves nothing half done.
      yield* copy?.make ?? Effect.void
      yield* carryOut(place, plan.steps)
      yield* link.make ?? Effect.void
    }
    const definition = yield* definitionOf(service, options)
    const text = yield* manager.text(definition)
    const how = before === undefined ? "new" : before === text ? "unchanged" : "changed"
    const { runsAs } = definition
    const isRoot = scope === "system" && runsAs._tag === "Owner" && runsAs.uid === 0
    const state = before === undefined || dryRun ? undefined : yield* manager.state
    if (!dryRun) {
      if (how !== "unchanged") yield* Placing.publish(place.definitionFile, text, manager.encoding)
      yield* manager.register
    }
    return {
      rows: [
        ...[...(copy?.rows ?? []), ...plan.steps].map(rowOf),
        ...(link.row === undefined ? [] : [link.row]),
        { what: "service", where: place.definitionFile, how }
      ],
      notes: [
        ...(copy?.notes ?? []),
        ...plan.notes,
        ...(link.note === undefined ? [] : [link.note]),
        ...(isRoot ? [`it runs as root, who owns ${place.folder}`] : []),
        ...(how === "unchanged" ? [] : manager.notes),
        ...(yield* Variables.missed(service, env))
      ],
      text,
      changed: how !== "unchanged" || [copy, link, ...plan.steps].some((each) => each?.make !== undefined),
      running: state?.running === true
    }
  })

/** Fails when the service is not installed. */
export const installed = (service: Service): Effect.Effect<void, ServiceError> =>
  Effect.flatMap(Placing.exists(service.place.definitionFile), (there) =>
    there
      ? Effect.void
      : new ServiceError({
          problem: `${service.manager.service} is not installed; run: ${commandLine(service, "install")}`
        })
  )

/** Stops a service and takes it from the service manager. Configuration, key and state stay. */
export const uninstall = (service: Service): Effect.Effect<void, ServiceError, ManagerCall> =>
  Effect.gen(function* () {
    const { manager, place } = service
    yield* manager.available
    yield* installed(service)
    yield* textBefore(service)
    yield* manager.leave
    yield* Placing.attempt(place.definitionFile, () => Fs.rm(place.definitionFile))
    yield* manager.forget
    const { configFile, link } = place
    if (link === undefined) return
    const target = yield* Placing.unlessMissing(link, () => Fs.readlink(link).catch(() => undefined))
    if (target === configFile) yield* Placing.attempt(link, () => Fs.rm(link))
  })

/** Starts, stops or restarts an installed service; it ends when that is done. `prepare` comes before. */
export const act = <E, R>(
  service: Service,
  verb: "start" | "stop" | "restart",
  prepare: Effect.Effect<void, E, R>
): Effect.Effect<void, E | ServiceError, R | ManagerCall> =>
  service.manager.available.pipe(
    Effect.zipRight(installed(service)),
    Effect.zipRight(prepare),
    Effect.zipRight(service.manager[verb])
  )

/** What the service manager says of a service; undefined when it is not installed. */
export const status = (service: Service): Effect.Effect<ServiceState | undefined, ServiceError, ManagerCall> =>
  Effect.gen(function* () {
    yield* service.manager.available
    const there = yield* Placing.exists(service.place.definitionFile)
    return there ? yield* service.manager.state : undefined
  })
