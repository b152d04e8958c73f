/**
 * A hub that measures itself: how long a decision takes, and how long its event loop is held. Takes the file; answers
 * `decide`, `watch` and `longest` on stdin with a line of JSON each.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import { PerformanceObserver } from "node:perf_hooks"
import type { PerformanceEntry } from "node:perf_hooks"
import { createInterface } from "node:readline"
import * as Authority from "../../src/hub/Authority.ts"
import * as Hub from "../../src/hub/Hub.ts"
import { identityOf } from "../../src/policy/Identity.ts"
import { decide } from "../../src/policy/Policy.ts"
import * as HubFile from "../../src/store/HubFile.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import * as HubStorage from "../../src/store/HubStorage.ts"
import * as Scheduler from "../../src/telemetry/Scheduler.ts"
import { machineOf, userOf } from "./figures/ManyIdentities.ts"

const DECISIONS = 500_000

/** Turns that are looked at closely take at least this long, in milliseconds. */
const NOTED = 0.3

/** Pause before each turn that is watched, in milliseconds: a loop that only turns makes garbage, whose collection is a long turn. */
const BREATH = 0.1

/** Does nothing for a while, and makes no garbage, as asking a clock would. */
const idle = (rounds: number): number => {
  let noise = rounds
  for (let round = 0; round < rounds; round++) noise = (noise * 31 + round) | 0
  return noise
}

/** How many rounds of {@link idle} take BREATH. */
const breath = (): number => {
  const rounds = 1e6
  idle(rounds)
  const started = performance.now()
  idle(rounds)
  return Math.ceil((rounds * BREATH) / (performance.now() - started))
}

const [path = ""] = process.argv.slice(2)

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`)

/** Microseconds of one decision, over machines and identities as they come. */
const decision = (authority: typeof Authority.Authority.Service): number => {
  const snapshot = authority.snapshot()
  const identities = Array.from({ length: 1_000 }, (_, i) => identityOf(snapshot, userOf(i * 7)))
  const now = Date.now()
  const started = performance.now()
  for (let i = 0; i < DECISIONS; i++) {
    decide(snapshot, { identity: identities[i % 1_000], permission: "connect", machine: machineOf(i * 13), now })
  }
  return ((performance.now() - started) * 1_000) / DECISIONS
}

/**
 * What the system tells of this thread, in milliseconds: how long it computed, and how long it was ready and had no
 * processor. Where it tells nothing, all time counts as computed. A guest whose kernel knows what its host takes does not
 * count that as computed, while every clock does: on a shared host, whole milliseconds. Whoever is asked in every turn
 * must make no garbage, or what is measured is its collection.
 */
const accounting = () => {
  const bytes = Buffer.alloc(4_096)
  const times = { computed: 0, waited: 0 }
  try {
    const schedule = Fs.openSync("/proc/thread-self/schedstat", "r")
    const status = Fs.openSync("/proc/thread-self/status", "r")
    return {
      times,
      read: () => {
        // Brings the account up to this moment: it is written at ticks.
        process.cpuUsage()
        const length = Fs.readSync(schedule, bytes, 0, bytes.length, 0)
        let at = 0
        const number = () => {
          let value = 0
          for (let digit = bytes[at++]; at <= length && digit !== undefined && digit >= 48; digit = bytes[at++]) {
            value = value * 10 + digit - 48
          }
          return value / 1e6
        }
        times.computed = number()
        times.waited = number()
      },
      /** How often this thread has given its processor away to wait for something, a disk say. */
      pauses: () => {
        const text = bytes.toString("latin1", 0, Fs.readSync(status, bytes, 0, bytes.length, 0))
        return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(text)?.[1])
      }
    }
  } catch {
    return { times, read: () => void (times.computed = performance.now()), pauses: () => 0 }
  }
}

/**
 * How long the event loop's turns take while somebody watches: it then turns without a pause, so that what is measured is
 * a turn and not how late the system wakes a process that waits. `own` is what the hub itself made others wait: what it
 * computed, and what it waited for a disk; not the time for which the system, or the host of a guest, gave its processor
 * to others, as it does to one that turns all the time. `uncollected` is the same without the collection of garbage, which
 * comes once in some megabytes, whoever made them.
 */
const watching = () => {
  const { pauses, read, times } = accounting()
  const rounds = breath()
  const collections: Array<PerformanceEntry> = []
  const collector = new PerformanceObserver((list) => void collections.push(...list.getEntries()))
  collector.observe({ entryTypes: ["gc"] })
  let active = false
  let longest = { own: 0, whole: 0 }
  let noted: Array<{ readonly began: number; readonly ended: number; readonly own: number }> = []
  let paused = 0
  let began = 0
  let computed = 0
  let waited = 0
  const begin = () => {
    read()
    began = performance.now()
    computed = times.computed
    waited = times.waited
  }
  const next = () => {
    const ended = performance.now()
    const whole = ended - began
    if (whole > Math.min(longest.own, NOTED)) {
      read()
      let own = whole - (times.waited - waited)
      const former = paused
      paused = pauses()
      // Nothing was waited for since somebody looked: what was not computed was the host's.
      if (paused === former) own = Math.min(own, times.computed - computed)
      longest = { own: Math.max(longest.own, own), whole: Math.max(longest.whole, whole) }
      noted.push({ began, ended, own })
    }
    if (!active) return
    idle(rounds)
    begin()
    setImmediate(next)
  }
  return {
    begin: () => {
      active = true
      longest = { own: 0, whole: 0 }
      noted = []
      collections.length = 0
      paused = pauses()
      begin()
      setImmediate(next)
    },
    /** The longest turn since it began, in milliseconds. */
    end: () => {
      active = false
      collections.push(...collector.takeRecords())
      const uncollected = noted.map(({ began, ended, own }) => {
        const within = collections.filter(({ startTime }) => startTime >= began && startTime < ended)
        return own - within.reduce((sum, { duration }) => sum + duration, 0)
      })
      return { ...longest, uncollected: Math.max(0, ...uncollected) }
    }
  }
}

const program = Effect.gen(function* () {
  const hub = yield* Hub.Hub
  const authority = yield* Authority.Authority
  yield* Effect.sync(() => {
    const turns = watching()
    createInterface({ input: process.stdin }).on("line", (line) => {
      if (line === "decide") say({ micros: decision(authority) })
      if (line === "watch") {
        say({ watching: true })
        turns.begin()
      }
      if (line === "longest") say({ longest: turns.end() })
    })
    say({ port: hub.port })
  })
  return yield* Effect.never
})

const layer = Effect.map(HubFile.load(path), ({ settings }) =>
  Hub.layer({
    config: {
      hubId: settings.hubId ?? "",
      name: "bench",
      host: "127.0.0.1",
      port: 0,
      tls: undefined,
      trustedProxies: []
    },
    version: "bench"
  }).pipe(Layer.provide(Layer.merge(HubIdentities.layer(path), HubStorage.layer({ path }))))
)

Effect.runFork(Scheduler.withScheduler(Effect.provide(program, Layer.unwrapEffect(layer))))
