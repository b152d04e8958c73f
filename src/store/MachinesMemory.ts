/** Machines last seen in memory: for tests, and for hubs that keep nothing. Behaves as those in SQLite. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DIRECTORY_MACHINES } from "../protocol/Limits.ts"
import { Machines } from "./Machines.ts"
import type { SeenMachine } from "./Machines.ts"

const make = (): typeof Machines.Service => {
  const kept = new Map<string, SeenMachine>()
  return {
    seen: Effect.map(Clock.currentTimeMillis, (until) => ({
      machines: [...kept.values()].sort((a, b) => (a.lastSeen ?? Infinity) - (b.lastSeen ?? Infinity)),
      until: kept.size === 0 ? 0 : until
    })),
    note: (machine) => {
      const before = kept.get(machine.name)
      if (before !== undefined && before.registeredAt > machine.registeredAt) return
      kept.delete(machine.name)
      kept.set(machine.name, machine)
      const [oldest] = kept.keys()
      if (kept.size > DIRECTORY_MACHINES && oldest !== undefined) kept.delete(oldest)
    }
  }
}

export const layer: Layer.Layer<Machines> = Layer.sync(Machines, make)
