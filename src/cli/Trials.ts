/** The trial of this program's version, when an update has put it in force a moment ago. */
import * as Effect from "effect/Effect"
import { VERSION } from "../protocol/Version.ts"
import * as Installation from "../system/release/Installation.ts"
import type { ProgramName } from "../system/release/ReleaseFile.ts"
import * as Trial from "../system/release/Trial.ts"
import { machine } from "../system/release/Update.ts"

/** Whether one goes on, of this version or of the one that was put in its place. */
export const isOn = (program: ProgramName): Effect.Effect<boolean> =>
  Effect.flatMap(Installation.locate(process.argv[1]), (home) =>
    home === undefined
      ? Effect.succeed(false)
      : Installation.make(home, { program, ...machine }).installed.pipe(
          Effect.map(({ pointer }) => pointer.trial !== undefined),
          Effect.orElseSucceed(() => false)
        )
  )

/** Begins it: the first thing that a daemon does. */
export const begin = (program: ProgramName): Effect.Effect<Trial.Trial> =>
  Effect.flatMap(Installation.locate(process.argv[1]), (home) =>
    home === undefined
      ? Effect.succeed(Trial.none)
      : Trial.begin(Installation.make(home, { program, ...machine }), VERSION)
  )
