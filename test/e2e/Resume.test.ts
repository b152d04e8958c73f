/**
 * What the network and the hub may do to connections that people hold: a copy by scp and an idle psql go on through all of
 * it. TELA_LONG=1 runs it as long as a bad day: a GiB, twenty kills, a minute without network.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Copy from "./harness/Copy.ts"
import * as Postgres from "./harness/Postgres.ts"
import * as Sshd from "./harness/Sshd.ts"
import * as WiredWorld from "./harness/WiredWorld.ts"
import { freePort } from "./harness/Workspace.ts"

const LONG = process.env["TELA_LONG"] === "1"

/** MiB of the copy, which takes a second for twenty. */
const COPY = LONG ? 1_024 : 64
/** While the copy runs. */
const KILLS = LONG ? 20 : 3
const OUTAGE = LONG ? 60_000 : 6_000
const SLOW = LONG ? 180_000 : 25_000
/** Bytes a second: less than the copy could do, so that its end waits in the programs and not in the system alone. */
const UPLINK = 10_000_000
const WITHIN = LONG ? 900_000 : 180_000

const worldOf = (way?: Copy.Way) =>
  Effect.gen(function* () {
    const sshd = yield* Sshd.start()
    const port = yield* freePort("127.0.0.1")
    yield* Postgres.start("127.0.0.1", port)
    const wired = yield* WiredWorld.make({
      services: [
        { port: sshd.port, name: "SSH" },
        { port, name: "db" }
      ]
    })
    if (way === "upload") wired.clientWire.slow(UPLINK)
    const client = yield* wired.connect()
    const psql = yield* Postgres.session(client.port("db"))
    const backend = yield* psql.backend
    const copy = yield* Copy.start(sshd, client.port("SSH"), COPY, way)
    return { wired, client, copy, psql, backend }
  })

const world = worldOf()

type World = Effect.Effect.Success<typeof world>

/** Starts all, does something to it in the middle of the copy, and holds that nobody noticed. */
const survives = (what: (world: World) => Effect.Effect<void, unknown, never>, way?: Copy.Way) =>
  Effect.gen(function* () {
    const all = yield* worldOf(way)
    yield* all.copy.until(0.05)
    yield* what(all)
    yield* all.copy.whole
    assert.strictEqual(yield* all.psql.backend, all.backend)
  })

describe("a copy and an idle psql go on", () => {
  it.scopedLive(
    `through ${KILLS} times kill -9 of the hub`,
    () =>
      Effect.gen(function* () {
        const { backend, client, copy, psql, wired } = yield* world
        for (let kill = 1; kill <= KILLS; kill++) {
          yield* copy.until(kill / (KILLS + 1))
          yield* wired.killHub
        }
        yield* copy.whole
        assert.strictEqual(yield* psql.backend, backend)
        assert.match(client.program.output("stderr"), /connected again: 2 connections go on/)
      }),
    WITHIN
  )

  it.scopedLive(
    `while the client has no network for ${OUTAGE / 1_000} s`,
    () =>
      survives(({ wired: { clientWire } }) =>
        Effect.gen(function* () {
          clientWire.freeze()
          yield* Effect.sleep(OUTAGE)
          clientWire.thaw()
        })
      ),
    WITHIN
  )

  for (const way of ["download", "upload"] as const) {
    it.scopedLive(
      `when the client's path is half-open for good, as after a change of address, in the middle of its ${way}`,
      () =>
        survives(
          ({ client, copy, wired: { clientWire } }) =>
            Effect.gen(function* () {
              yield* copy.until(0.4)
              clientWire.abandon()
              yield* client.program.expect(/connected again/, { within: "15 seconds" })
            }),
          way
        ),
      WITHIN
    )
  }

  it.scopedLive(
    "when the client's path becomes slow in the middle of its upload: it is not taken for one that is gone",
    () =>
      Effect.gen(function* () {
        const { client, copy, wired } = yield* worldOf("upload")
        yield* copy.until(0.2)
        // What the system and the wire hold takes longer than any deadline.
        wired.clientWire.slow(40_000)
        yield* Effect.sleep(SLOW)
        assert.notMatch(client.program.output("stderr"), /connection lost|connected again|no sign of life/)
        wired.clientWire.slow(Number.POSITIVE_INFINITY)
        yield* copy.whole
      }),
    WITHIN
  )

  it.scopedLive(
    "when the agent's connections are reset, and when they are half-open",
    () =>
      survives(({ copy, wired: { agentWire } }) =>
        Effect.gen(function* () {
          agentWire.reset()
          yield* copy.until(0.4)
          agentWire.abandon()
        })
      ),
    WITHIN
  )

  it.scopedLive(
    "when both lose the hub at once",
    () =>
      survives(({ copy, wired: { agentWire, clientWire } }) =>
        Effect.gen(function* () {
          agentWire.reset()
          clientWire.reset()
          yield* copy.until(0.4)
          agentWire.abandon()
          clientWire.abandon()
        })
      ),
    WITHIN
  )

  it.scopedLive(
    "when the hub is replaced by the next one on its port",
    () =>
      Effect.gen(function* () {
        const { backend, copy, psql, wired } = yield* world
        yield* copy.until(0.2)
        const old = wired.hub().program
        yield* wired.replaceHub("SIGTERM")
        assert.strictEqual((yield* old.ended).code, 0)
        yield* copy.whole
        assert.strictEqual(yield* psql.backend, backend)
      }),
    WITHIN
  )
})

describe("who may not come back", () => {
  it.scopedLive(
    "has nothing left at the agent: cut, revoked, and refused",
    () =>
      Effect.gen(function* () {
        const { client, psql, wired } = yield* world
        wired.clientWire.freeze()
        yield* wired.agent().expect(/session lost/, { within: "60 seconds" })
        yield* wired.admin("tokens", "remove", "alice", "-yes")
        yield* wired.agent().expect(/session ended.*access revoked/, { within: "5 seconds" })
        wired.clientWire.thaw()
        assert.strictEqual((yield* client.program.ended).code, 1)
        assert.match(client.program.output("stderr"), /access revoked|refused the token/)
        yield* Effect.flip(psql.backend)
      }),
    WITHIN
  )
})
