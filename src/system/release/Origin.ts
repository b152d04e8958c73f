/** Where releases come from: a port, so that a channel can be read from anywhere, and tests need no server. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Fetch from "../../transport/Fetch.ts"

export class Origin extends Context.Tag("tela/system/release/Origin")<
  Origin,
  {
    /** Opens what is at an address; nobody has said yet that it can be trusted. */
    readonly open: (address: string) => Effect.Effect<Fetch.Fetched, Fetch.FetchError, Scope.Scope>
  }
>() {}

/** The web: https, or http on this very machine. */
export const layer: Layer.Layer<Origin> = Layer.succeed(Origin, { open: (address) => Fetch.open(address) })
