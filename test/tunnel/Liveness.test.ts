import { assert, describe, it } from "@effect/vitest"
import { LINK_TICK, PROBE_AFTER, PROBE_IDLE } from "../../src/protocol/Limits.ts"
import { Liveness } from "../../src/tunnel/Liveness.ts"

const PATIENCE = 4_000

/** What each tick says, one LINK_TICK apart, until it gives up or the time is over. */
const ticks = (isBusy: boolean, until: number, hear: (now: number) => boolean = () => false) => {
  const liveness = new Liveness(0)
  const said: Array<readonly [number, string]> = []
  for (let now = LINK_TICK; now <= until; now += LINK_TICK) {
    if (hear(now)) liveness.heard(now)
    const what = liveness.tick(now, isBusy, PATIENCE)
    if (what !== "wait") said.push([now, what])
    if (what === "dead") break
  }
  return said
}

describe("Liveness", () => {
  it("asks after a silence, and gives up when no answer comes in time", () => {
    assert.deepStrictEqual(ticks(true, 60_000), [
      [PROBE_AFTER, "probe"],
      [PROBE_AFTER + PATIENCE, "dead"]
    ])
  })

  it("is in no hurry when nothing is under way", () => {
    assert.deepStrictEqual(ticks(false, 60_000)[0], [PROBE_IDLE, "probe"])
  })

  it("asks again and again while answers come", () => {
    const said = ticks(true, 20_000, (now) => now % 4_000 === 0)
    assert.isNotEmpty(said)
    assert.deepStrictEqual([...new Set(said.map(([, what]) => what))], ["probe"])
  })

  it("blames nobody for the time that this machine slept: it asks first", () => {
    const liveness = new Liveness(0)
    assert.strictEqual(liveness.tick(LINK_TICK, true, PATIENCE), "wait")
    assert.strictEqual(liveness.tick(3_600_000, true, PATIENCE), "probe")
    assert.strictEqual(liveness.tick(3_600_000 + LINK_TICK, true, PATIENCE), "wait")
    assert.strictEqual(liveness.tick(3_600_000 + 2 * LINK_TICK, true, PATIENCE), "wait")
    liveness.heard(3_600_000 + 2 * LINK_TICK)
    assert.strictEqual(liveness.tick(3_600_000 + 3 * LINK_TICK, true, PATIENCE), "wait")
  })

  it("asks anew when it slept after it had asked", () => {
    const liveness = new Liveness(0)
    for (let now = LINK_TICK; now < PROBE_AFTER; now += LINK_TICK) liveness.tick(now, true, PATIENCE)
    assert.strictEqual(liveness.tick(PROBE_AFTER, true, PATIENCE), "probe")
    assert.strictEqual(liveness.tick(600_000, true, PATIENCE), "probe")
    assert.strictEqual(liveness.tick(600_000 + LINK_TICK, true, PATIENCE), "wait")
  })
})
