/** How a daemon is updated from afar: as an installed release does it, or, as any other copy of the program, not at all. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { VERSION } from "../protocol/Version.ts"
import type { UpdateStore } from "../store/UpdateStore.ts"
import * as Installation from "../system/release/Installation.ts"
import * as Origin from "../system/release/Origin.ts"
import type { ProgramName } from "../system/release/ReleaseFile.ts"
import { machine } from "../system/release/Update.ts"
import * as Updater from "../system/release/Updater.ts"
import * as UpdaterLive from "../system/release/UpdaterLive.ts"
import type { Restart } from "../system/Restart.ts"

export interface UpdatingOptions {
  readonly program: ProgramName
  /** Where the channel is kept; undefined for a program without a file. */
  readonly store: UpdateStore | undefined
  readonly restart: Restart
}

/** The updates of this program; one that is under way ends with the scope. */
export const make = ({
  program,
  restart,
  store
}: UpdatingOptions): Effect.Effect<Context.Tag.Service<Updater.Updater>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* Installation.locate(process.argv[1])
    const layer =
      home === undefined
        ? Updater.layerUnavailable(
            VERSION,
            `this ${program} was not installed from a release, so it cannot update itself; update it the way it came here`
          )
        : UpdaterLive.layer({ version: VERSION, store, restart }).pipe(
            Layer.provide([
              Layer.succeed(Installation.Installation, Installation.make(home, { program, ...machine })),
              Origin.layer
            ])
          )
    return yield* Effect.map(Layer.build(layer), (context) => Context.get(context, Updater.Updater))
  })
