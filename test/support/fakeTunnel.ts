/** A tunnel that does nothing, but for what a test says. */
import * as Effect from "effect/Effect"
import { heldNothing, type Tunnel } from "../../src/tunnel/Tunnel.ts"

export const fakeTunnel = (over: Partial<Tunnel> = {}): Tunnel => ({
  open: () => Effect.never,
  accept: Effect.never,
  detached: Effect.never,
  attached: Effect.never,
  isAttached: () => true,
  closed: Effect.never,
  close: () => {},
  abandon: () => {},
  revoke: () => {},
  held: () => heldNothing,
  ...over
})
