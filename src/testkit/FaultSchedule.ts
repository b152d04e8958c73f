/**
 * A series of faults that a seed chooses: plain data, so that it can be printed, and the same each time. {@link run} brings
 * it over a network, with restarts of programs where it has any.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Direction, Hearing } from "../transport/FaultCarrier.ts"
import type { End, FaultNetwork } from "./FaultNetwork.ts"
import * as Seed from "./Seed.ts"

/** What can be restarted, killed first. */
export type Restarted = "hub" | "agent" | "client"

/** One fault; absent `end` means every connection. Durations in milliseconds. */
export type Fault =
  | { readonly what: "cut"; readonly end: End | undefined; readonly hearing: Hearing }
  | { readonly what: "half-open"; readonly end: End | undefined; readonly direction: Direction }
  | { readonly what: "strand"; readonly end: End | undefined; readonly lasts: number }
  | { readonly what: "partition"; readonly end: End | undefined; readonly lasts: number }
  | { readonly what: "slow"; readonly end: End | undefined; readonly bytesPerSecond: number }
  | { readonly what: "delay"; readonly end: End | undefined; readonly delay: number; readonly jitter: number }
  | { readonly what: "restart"; readonly program: Restarted; readonly lasts: number }
  | { readonly what: "heal" }

/** A fault, so many milliseconds after the one before it. */
export interface Step {
  readonly after: number
  readonly fault: Fault
}

export interface FaultSchedule {
  readonly seed: number
  readonly steps: ReadonlyArray<Step>
}

export interface ScheduleOptions {
  /** Faults, at most; 8 unless given. */
  readonly faults?: number
  /** Milliseconds between two of them, at most; 250 unless given. */
  readonly apart?: number
  /** Longest partition, restart or late delivery, in milliseconds; 400 unless given. */
  readonly lasts?: number
  /** Programs that may be restarted; none unless given. */
  readonly restarts?: ReadonlyArray<Restarted>
}

const choose = (seed: Seed.Seed, lasts: number, restarts: ReadonlyArray<Restarted>): Fault => {
  const end = seed.of([undefined, "control", "session", "client", "session", "client"] as const)
  const [first, ...others] = restarts
  if (first !== undefined && seed.onceIn(5)) {
    return { what: "restart", program: seed.of([first, ...others]), lasts: seed.between(0, lasts) }
  }
  switch (seed.of(["cut", "half-open", "strand", "partition", "slow", "delay", "heal"] as const)) {
    case "cut":
      return { what: "cut", end, hearing: seed.of(["both", "near", "far"] as const) }
    case "half-open":
      return { what: "half-open", end, direction: seed.of(["both", "out", "in"] as const) }
    case "strand":
      return { what: "strand", end, lasts: seed.between(0, lasts) }
    case "partition":
      return { what: "partition", end, lasts: seed.between(1, lasts) }
    case "slow":
      return { what: "slow", end, bytesPerSecond: 2 ** seed.between(18, 24) }
    case "delay":
      return { what: "delay", end, delay: seed.between(0, 40), jitter: seed.between(0, 40) }
    case "heal":
      return { what: "heal" }
  }
}

/** The schedule of a seed. It ends with the network healed. */
export const make = (seed: number, options: ScheduleOptions = {}): FaultSchedule => {
  const { apart = 250, faults = 8, lasts = 400, restarts = [] } = options
  const chance = Seed.make(seed)
  const steps = Array.from({ length: chance.between(1, faults) }, () => ({
    after: chance.between(0, apart),
    fault: choose(chance, lasts, restarts)
  }))
  return { seed, steps: [...steps, { after: apart, fault: { what: "heal" } }] }
}

/** One line a fault. */
export const print = ({ seed, steps }: FaultSchedule): string =>
  [
    `faults of seed ${seed}:`,
    ...steps.map(({ after, fault: { what, ...more } }) => {
      const details = Object.entries(more).map(([name, value]) => `${name} ${value ?? "all"}`)
      return `  +${after} ms ${[what, ...details].join(", ")}`
    })
  ].join("\n")

const strike = (network: FaultNetwork, fault: Exclude<Fault, { readonly what: "restart" }>): void => {
  switch (fault.what) {
    case "cut":
      return network.cut(fault.end, fault.hearing)
    case "half-open":
      return network.halfOpen(fault.end, fault.direction)
    case "strand":
      return network.strand(fault.lasts, fault.end)
    case "partition":
      return network.partition(fault.lasts, fault.end)
    case "slow":
      return network.slow(fault.bytesPerSecond, fault.end)
    case "delay":
      return network.weather({ delay: fault.delay, jitter: fault.jitter }, fault.end)
    case "heal":
      return network.heal()
  }
}

/**
 * Brings the faults, one after the other. Programs are restarted by `restart`, which takes its time: what comes up only once
 * the network is healed holds up none of the faults behind it. Done when the last fault is, and every restart.
 */
export const run = (
  { steps }: FaultSchedule,
  network: FaultNetwork,
  restart: (program: Restarted, lasts: number) => Effect.Effect<void> = () => Effect.void
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const restarts: Array<Fiber.Fiber<void>> = []
    for (const { after, fault } of steps) {
      yield* Effect.sleep(after)
      if (fault.what === "restart") restarts.push(yield* Effect.fork(restart(fault.program, fault.lasts)))
      else strike(network, fault)
    }
    yield* Fiber.joinAll(restarts)
  })
