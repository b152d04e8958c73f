/**
 * A hub that measures itself: how long a decision takes, and how long its event loop is held. Takes the file; answers
 * `decide`, `watch` and `longest` on stdin with a line of JSON each.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
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

/** How long this thread was ready and had no processor, in milliseconds; 0 where the system does not say. */
const delays = () => {
  const buffer = Buffer.alloc(128)
  try {
    const file = Fs.openSync("/proc/self/schedstat", "r")
    return () => Number(buffer.toString("latin1", 0, Fs.readSync(file, buffer, 0, 128, 0)).split(" ")[1]) / 1e6
  } catch {
    return () => 0
  }
}

/**
 * How long the event loop's turns take while somebody watches: it then turns without a pause, so that what is measured is
 * a turn and not how late the system wakes a process that waits. `own` is without the time for which the system gave the
 * processor to others, as one does that turns all the time.
 */
const watching = () => {
  const delay = delays()
  let active = false
  let longest = { own: 0, whole: 0 }
  let last = { at: 0, delay: 0 }
  const look = () => ({ at: performance.now(), delay: delay() })
  const next = () => {
    const now = look()
    const whole = now.at - last.at
    const own = whole - (now.delay - last.delay)
    longest = { own: Math.max(longest.own, own), whole: Math.max(longest.whole, whole) }
    last = now
    if (active) setImmediate(next)
  }
  return {
    begin: () => {
      active = true
      longest = { own: 0, whole: 0 }
      last = look()
      setImmediate(next)
    },
    /** The longest turn since it began, in milliseconds. */
    end: () => {
      active = false
      return longest
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
