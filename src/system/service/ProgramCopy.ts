/**
 * The service's own copy of the program, when that is installed from a release: in the service's folder, which it may write,
 * so that it can update itself wherever the release was unpacked.
 */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { goarch, goos } from "../../protocol/Platform.ts"
import * as Copy from "../release/Copy.ts"
import * as Installation from "../release/Installation.ts"
import type { InstallError } from "../release/InstallError.ts"
import * as AsOwner from "./AsOwner.ts"
import type { ServiceProgram } from "./Definition.ts"
import type { Place } from "./Place.ts"
import type { Done } from "./Plan.ts"
import * as ProgramFiles from "./ProgramFiles.ts"
import { ServiceError } from "./ServiceError.ts"

/** The copy in the service's folder. */
const FOLDER = "program"

export interface ProgramCopy {
  /** What the service is started from. */
  readonly files: ProgramFiles.ProgramFiles
  /** What is copied, or stays. */
  readonly rows: ReadonlyArray<Done>
  readonly notes: ReadonlyArray<string>
  /** Makes it, in a folder that is there; undefined when it is as it should be. */
  readonly make: Effect.Effect<void, ServiceError> | undefined
}

const say = ({ message }: InstallError) => new ServiceError({ problem: message })

const howOf = ({ state, there = "", version }: Copy.Copying, home: string): string => {
  switch (state) {
    case "missing":
      return `${version}, copied from ${home}`
    case "damaged":
      return `${version}, copied from ${home}; what was there does not run`
    case "older":
      return `${version}, copied from ${home}; ${there} is kept beside it`
    case "newer":
      return `${there} stays: this ${version} is older`
    case "same":
    case "itself":
      return `unchanged, ${version}`
  }
}

/** Looks at the copy, and says what is to be done. None is made of a package or a checkout. */
export const make = (
  started: ProgramFiles.Started,
  { place: { folder }, program }: { readonly program: ServiceProgram; readonly place: Place }
): Effect.Effect<ProgramCopy | undefined, ServiceError> =>
  Effect.gen(function* () {
    const home = yield* Installation.locate(started.script)
    if (home === undefined) return undefined
    const copy = Path.join(folder, FOLDER)
    const subject = { program, os: goos(process.platform), arch: goarch(process.arch) }
    const copying = yield* Effect.mapError(Copy.look(home, copy, subject), say)
    const { packages, read } = copying
    const what = { what: "packages", file: Path.join(copy, "node_modules") }
    const ofPackages = {
      none: [],
      same: [{ ...what, how: "unchanged" }],
      other: [{ ...what, how: `copied from ${Path.join(home, "node_modules")}` }]
    }
    const isNew = read !== undefined && copying.state !== "same"
    return {
      files: yield* ProgramFiles.ofCopy(started, Path.join(copy, "bin", program)),
      rows: [{ what: "program", file: copy, how: howOf(copying, home) }, ...ofPackages[packages]],
      notes: isNew
        ? [`the service runs its own copy, and updates that; ${home} can be removed, or updated and installed again`]
        : [],
      make:
        read &&
        Effect.gen(function* () {
          const write = yield* Effect.mapError(read, say)
          yield* AsOwner.within(folder, (path) => Effect.mapError(write(Path.join(path, FOLDER)), say))
        })
    }
  })
