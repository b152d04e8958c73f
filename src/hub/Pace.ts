/**
 * How fast bytes may pass: for each identity and direction a lane, shared by all its sessions. A lane holds nothing itself.
 * What has arrived passes, and the lane may owe for it; whoever brought it is to stop reading until its turn comes. Those
 * who wait take turns, so that each gets its share, and only they wait: lanes do not know of each other. One timer for
 * all lanes, which runs while somebody waits.
 */
import { PACE_BURST, PACE_QUANTUM, PACE_TICK } from "../protocol/Limits.ts"

/** Called when it is somebody's turn to go on. */
export type Turn = () => void

export interface Lane {
  /** Notes bytes that pass. When it says false, the one who brought them stops until `turn` is called. */
  readonly pass: (bytes: number, turn: Turn) => boolean
  /** Forgets who waits. */
  readonly leave: (turn: Turn) => void
  /** Bytes a second from now on; Infinity for no bound. */
  readonly setRate: (rate: number) => void
}

export interface Pace {
  readonly lane: (rate: number) => Lane
  /** How often somebody was asked to stop, since this was last asked. */
  readonly takeStops: () => number
}

/** A lane without a bound. */
export const open: Lane = { pass: () => true, leave: () => {}, setRate: () => {} }

/** `now` is in milliseconds and never goes back. */
export const make = (now: () => number = () => performance.now()): Pace => {
  /** Lanes in which somebody waits. */
  const busy = new Set<{ readonly tick: (at: number) => boolean }>()
  let timer: NodeJS.Timeout | undefined
  let stops = 0

  const tick = () => {
    const at = now()
    for (const lane of busy) if (!lane.tick(at)) busy.delete(lane)
    timer = busy.size === 0 ? undefined : setTimeout(tick, PACE_TICK)
  }

  const lane = (rate: number): Lane => {
    const waiting = new Set<Turn>()
    /** Bytes that may pass now; below zero, what is owed. */
    let room = 0
    let lastAt = Number.NEGATIVE_INFINITY

    const earn = (at: number) => {
      room = Math.min(room + (rate * (at - lastAt)) / 1_000, (rate * PACE_BURST) / 1_000)
      lastAt = at
    }

    const self = {
      tick: (at: number) => {
        if (rate !== Infinity) earn(at)
        let left = rate === Infinity ? Infinity : room
        for (const turn of waiting) {
          if (left <= 0) break
          left -= PACE_QUANTUM
          waiting.delete(turn)
          turn()
        }
        return waiting.size > 0
      }
    }

    return {
      pass: (bytes, turn) => {
        if (rate === Infinity) return true
        earn(now())
        room -= bytes
        if (room > 0) return true
        if (!waiting.has(turn)) stops++
        waiting.add(turn)
        busy.add(self)
        timer ??= setTimeout(tick, PACE_TICK)
        return false
      },
      leave: (turn) => void waiting.delete(turn),
      setRate: (next) => {
        if (next === rate) return
        // What was earned or owed at another rate is no measure.
        room = 0
        lastAt = now()
        rate = next
      }
    }
  }

  return {
    lane,
    takeStops: () => {
      const taken = stops
      stops = 0
      return taken
    }
  }
}
