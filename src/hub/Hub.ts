/**
 * A hub as one scoped service: listening when the layer is built, closed politely when its scope ends.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Snapshot } from "../policy/Identity.ts"
import type { HubConfig } from "../store/HubFile.ts"

/** The hub could not start: the address is taken or not allowed, or the TLS files are unusable. Says what to do. */
export class HubStartError extends Schema.TaggedError<HubStartError>()("HubStartError", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

/** What a hub is made of. */
export interface HubOptions {
  readonly config: HubConfig
  /** Identities and grants, from the hub file or from wherever an embedding program keeps them. */
  readonly snapshot: Snapshot
  /** Shown in /api/status as `hub.version`. */
  readonly version: string
}

/** A running hub. */
export class Hub extends Context.Tag("tela/hub/Hub")<
  Hub,
  {
    /** The address bound, and the port, which the system chose when 0 was asked for. */
    readonly host: string
    readonly port: number
    /** Where a browser or a program on this machine reaches it, for example `http://127.0.0.1:8080`. */
    readonly url: string
    /** Machines whose agent is connected, and sessions that are up or coming up. */
    readonly counts: Effect.Effect<{ readonly machines: number; readonly sessions: number }>
  }
>() {}

/** Starts a hub that lives as long as the scope. */
export const make = (_options: HubOptions): Effect.Effect<Hub["Type"], HubStartError, Scope.Scope> =>
  Effect.fail(new HubStartError({ reason: "not built yet" }))

/** A hub as a layer. */
export const layer = (options: HubOptions): Layer.Layer<Hub, HubStartError> => Layer.scoped(Hub, make(options))
