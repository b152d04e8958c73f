/**
 * A hub that measures itself: how long a decision takes, and how long its event loop is held. Takes the file; answers
 * `decide`, `watch`, `compute` and `longest` on stdin with a line of JSON each.
 */
import "./figures/asPrograms.ts"
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
import * as YoungHeap from "../../src/transport/YoungHeap.ts"
import { machineOf, userOf } from "./figures/ManyIdentities.ts"

const DECISIONS = 500_000

/** Turns that are looked at closely take at least this long, in milliseconds. */
const NOTED = 0.3

/** What it computes when told to: so many turns, each so long in milliseconds, as a change has them. */
const TURNS = 10
const TURN = 0.8

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

/** Arithmetic, and nothing else. */
const reckon = (rounds: number): number => {
  let result = rounds
  for (let round = 0; round < rounds; round++) result = (result * 31 + round) | 0
  return result
}

/** How many rounds of {@link reckon} take TURN. */
const roundsOfTurn = (): number => {
  const rounds = 1e7
  reckon(rounds)
  const started = performance.now()
  reckon(rounds)
  return Math.ceil((rounds * TURN) / (performance.now() - started))
}

/** Turns in which nothing is done but arithmetic: what they take longer than they should, this computer adds to any turn. */
const compute = (rounds: number, turns: number, done: () => void): void => {
  if (turns === 0) return done()
  reckon(rounds)
  setImmediate(compute, rounds, turns - 1, done)
}

const SPACE = 32

/** The number whose first digit is at this place. */
const numberAt = (text: Buffer, start: number): number => {
  let number = 0
  for (let at = start; ; at++) {
    const digit = text[at]
    if (digit === undefined || digit < 48 || digit > 57) return number
    number = number * 10 + digit - 48
  }
}

/**
 * What the system tells of this thread: for how many milliseconds it computed, and for how many it could have but its
 * processor was given to others. Where it tells nothing, all time counts as computed. Whoever is asked in every turn must
 * make no garbage, or what is measured is its collection.
 */
const accounting = () => {
  const bytes = Buffer.alloc(256)
  try {
    const schedule = Fs.openSync("/proc/thread-self/schedstat", "r")
    return {
      /** Reads the account as it is at this moment. */
      read: () => {
        // Brings it up to date: it is written at ticks.
        process.cpuUsage()
        Fs.readSync(schedule, bytes, 0, bytes.length, 0)
      },
      computed: () => numberAt(bytes, 0) / 1e6,
      delayed: () => numberAt(bytes, bytes.indexOf(SPACE) + 1) / 1e6
    }
  } catch {
    return { read: () => {}, computed: () => performance.now(), delayed: () => 0 }
  }
}

/**
 * How long the event loop's turns take while somebody watches, without the time for which it waits for something to do: it
 * looks in whenever the loop turns, and makes it turn no faster. `own` is what the hub itself made others wait: what it
 * computed, and what it waited for a disk; not the time for which the system gave its processor to others, nor that for
 * which the host of a guest did, where the guest knows. `uncollected` is the same without the collection of garbage, which
 * comes once in some megabytes, whoever made them.
 */
const watching = () => {
  const account = accounting()
  const { nodeTiming } = performance
  const collections: Array<PerformanceEntry> = []
  const collector = new PerformanceObserver((list) => void collections.push(...list.getEntries()))
  collector.observe({ entryTypes: ["gc"] })
  let active = false
  let longest = { own: 0, whole: 0 }
  let noted: Array<{ readonly began: number; readonly ended: number; readonly own: number }> = []
  let delayed = 0
  let computed = 0
  let idle = 0
  let began = 0
  const begin = () => {
    account.read()
    computed = account.computed()
    delayed = account.delayed()
    idle = nodeTiming.idleTime
    began = performance.now()
    setImmediate(next).unref()
  }
  const next = () => {
    const ended = performance.now()
    const whole = ended - began - (nodeTiming.idleTime - idle)
    if (whole > Math.min(longest.own, NOTED)) {
      account.read()
      // What it waited for a processor after it was woken counts as waiting for something to do already, and is taken off
      // once more: that can hide so much of a wait for something else, and nothing of what it computed.
      const own = Math.min(whole, Math.max(account.computed() - computed, whole - (account.delayed() - delayed)))
      longest = { own: Math.max(longest.own, own), whole: Math.max(longest.whole, whole) }
      noted.push({ began, ended, own })
    }
    if (active) begin()
  }
  return {
    begin: () => {
      active = true
      longest = { own: 0, whole: 0 }
      noted = []
      collections.length = 0
      begin()
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
    const rounds = roundsOfTurn()
    createInterface({ input: process.stdin }).on("line", (line) => {
      if (line === "decide") say({ micros: decision(authority) })
      if (line === "watch") {
        say({ watching: true })
        turns.begin()
      }
      if (line === "compute") compute(rounds, TURNS, () => say({ computed: TURNS }))
      if (line === "longest") say({ longest: turns.end() })
    })
    YoungHeap.collectApart()
    say({ port: hub.port })
  })
  return yield* Effect.never
})

const layer = Effect.map(HubFile.load(path), (file) =>
  Hub.layer({
    config: {
      hubId: file.settings.hubId ?? "",
      name: "bench",
      host: "127.0.0.1",
      port: 0,
      tls: undefined,
      trustedProxies: []
    },
    version: "bench"
  }).pipe(Layer.provide(Layer.provideMerge(HubIdentities.layerFrom(file), HubStorage.layer({ path }))))
)

Effect.runFork(Scheduler.withScheduler(Effect.provide(program, Layer.unwrapEffect(layer))))
