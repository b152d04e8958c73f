/**
 * A machine whose configuration can change while it is served. What it serves, and the socket on which it is registered,
 * act on a change in the turn in which it is made; whoever made it waits until the hub has taken it.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { MachineConfig } from "../store/AgentFile.ts"

/** The hub does not take the machine as it is now, or said nothing in time. */
export class NotTaken extends Data.TaggedError("NotTaken")<{ readonly message: string }> {}

export interface LiveMachine {
  readonly name: string
  /** As it is at this moment. */
  readonly now: () => MachineConfig
  /** Counts the changes; what was registered is told from what was not by it. */
  readonly version: () => number
  /** Another configuration from now on, of the same name. */
  readonly set: (config: MachineConfig) => void
  /** Calls `listener` at each change from now on; returns what ends that. */
  readonly listen: (listener: () => void) => () => void
  /** The next change. */
  readonly changed: Effect.Effect<void>
  /** The hub has taken the machine as it was at this version. */
  readonly taken: (version: number) => void
  /** The hub refuses the machine. */
  readonly refused: (reason: string) => void
  /** Waits until the hub has taken the machine as it is now, so many milliseconds at most. */
  readonly settled: (within: number) => Effect.Effect<void, NotTaken>
}

/** Who waits until a version is taken. */
interface Waiter {
  readonly version: number
  readonly resume: (answer: Effect.Effect<void, NotTaken>) => void
}

export const make = (config: MachineConfig): LiveMachine => {
  const listeners = new Set<() => void>()
  const waiters = new Set<Waiter>()
  let current = config
  let version = 0
  let takenVersion = -1

  const settle = (answer: Effect.Effect<void, NotTaken>, is: (waiter: Waiter) => boolean) => {
    for (const waiter of [...waiters]) {
      if (is(waiter) && waiters.delete(waiter)) waiter.resume(answer)
    }
  }
  const listen = (listener: () => void) => {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  return {
    name: config.name,
    now: () => current,
    version: () => version,
    set: (next) => {
      current = next
      version++
      for (const listener of [...listeners]) listener()
    },
    listen,
    changed: Effect.async<void>((resume) => {
      const unlisten = listen(() => {
        unlisten()
        resume(Effect.void)
      })
      return Effect.sync(unlisten)
    }),
    taken: (which) => {
      takenVersion = Math.max(takenVersion, which)
      settle(Effect.void, (waiter) => waiter.version <= takenVersion)
    },
    refused: (reason) => settle(new NotTaken({ message: `the hub refuses it: ${reason}` }), () => true),
    settled: (within) =>
      Effect.async<void, NotTaken>((resume) => {
        if (version <= takenVersion) return resume(Effect.void)
        const waiter = { version, resume }
        waiters.add(waiter)
        return Effect.sync(() => waiters.delete(waiter))
      }).pipe(
        Effect.timeoutFail({
          duration: within,
          onTimeout: () => new NotTaken({ message: `the machine was not registered again within ${within / 1_000} s` })
        })
      )
  }
}
