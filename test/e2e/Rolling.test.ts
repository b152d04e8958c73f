/**
 * A hub is replaced by the next one on its port while many sessions are busy: nobody loses a connection, and nobody waits
 * for long. The clients live in this process, hub and agent are the real programs. TELA_LONG=1 takes a hundred of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Net from "node:net"
import * as Connect from "../../src/client/Connect.ts"
import type { ConnectEvent } from "../../src/client/ConnectEvent.ts"
import { generate } from "../../src/crypto/KeyPair.ts"
import { DRAIN_MOVE } from "../../src/protocol/Limits.ts"
import * as KnownMachines from "../../src/store/KnownMachines.ts"
import * as Dialer from "../../src/transport/Dialer.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as WiredWorld from "./harness/WiredWorld.ts"

const LONG = process.env["TELA_LONG"] === "1"
const SESSIONS = LONG ? 100 : 20
const LONGEST_GAP = 1_000
const MESSAGE = Buffer.alloc(1_024, 7)

/** A program that asks, and asks again when the answer has come; it notes how long it ever waited for one. */
const busy = (socket: Net.Socket) => {
  let answered = performance.now()
  let longest = 0
  let waiting = 0
  let answers = 0
  socket.on("data", (chunk: Buffer) => {
    waiting -= chunk.length
    if (waiting > 0) return
    const now = performance.now()
    longest = Math.max(longest, now - answered)
    answered = now
    answers++
    ask()
  })
  const ask = () => {
    waiting = MESSAGE.length
    socket.write(MESSAGE)
  }
  ask()
  return { longest: () => longest, answers: () => answers }
}

const percentile = (values: ReadonlyArray<number>, part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN

describe("a hub that is replaced while it is busy", () => {
  it.scopedLive(
    `loses none of ${SESSIONS} sessions, and holds none up for long`,
    () =>
      Effect.gen(function* () {
        const service = yield* Sockets.serve(Sockets.echo)
        const wired = yield* WiredWorld.make({ services: [{ port: service, name: "echo" }] })
        const { dial } = yield* Dialer.Dialer
        const known = KnownMachines.memory()
        const events: Array<ConnectEvent> = []
        const programs = yield* Effect.forEach(
          Array.from({ length: SESSIONS }),
          () =>
            Effect.gen(function* () {
              const connection = yield* Connect.make({
                hub: wired.hub().url,
                machine: wired.machine,
                token: Redacted.make(wired.alice),
                identity: generate(),
                known,
                dial,
                ports: [{ local: 0, remote: service }],
                onEvent: (event) => void events.push(event)
              })
              const socket = yield* Sockets.open(connection.services[0]?.local ?? 0)
              return { socket, ...busy(socket) }
            }),
          { concurrency: 4 }
        )
        const old = wired.hub().program
        const begun = performance.now()
        yield* wired.replaceHub("SIGTERM")
        assert.strictEqual((yield* old.ended).code, 0)
        const drained = performance.now() - begun
        const before = programs.map(({ answers }) => answers())
        const standing = () =>
          programs.filter(({ answers, socket }, i) => !socket.closed && answers() > (before[i] ?? 0)).length
        yield* Effect.sleep(100).pipe(
          Effect.repeat({ until: () => standing() === SESSIONS || programs.some(({ socket }) => socket.closed) })
        )
        assert.strictEqual(standing(), SESSIONS)
        const moved = events.filter((event) => event._tag === "Connected" && event.resumed && event.carried === 1)
        assert.strictEqual(moved.length, SESSIONS)
        const gaps = programs.map(({ longest }) => longest())
        process.stderr.write(
          `${SESSIONS} sessions: gap p50 ${percentile(gaps, 0.5).toFixed(0)} ms, p99 ${percentile(gaps, 0.99).toFixed(0)} ms; ` +
            `drained in ${(drained / 1_000).toFixed(1)} s\n`
        )
        assert.isAtMost(percentile(gaps, 0.99), LONGEST_GAP)
        assert.isAtMost(drained, 2 * DRAIN_MOVE + SESSIONS * 10 + 1_000)
      }).pipe(Effect.provide(Dialer.layer)),
    120_000
  )
})
