/**
 * What `update` and `channel` of the three programs have in common. What does the work is loaded when a command needs it,
 * so that the others start fast.
 */
import * as Effect from "effect/Effect"
import * as Flags from "./Flags.ts"

export const channel = Flags.text({ name: "channel", placeholder: "NAME", description: "another channel, this time" })

/** Looks, downloads, installs. */
export const work = Effect.promise(() => import("./UpdateWork.ts"))
