import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { accessEntry } from "../../../src/hub/api/Entry.ts"
import * as List from "../../../src/hub/api/List.ts"
import { identitiesOf, makeSnapshot } from "../../../src/policy/Identity.ts"
import type { GrantEntry } from "../../../src/policy/Identity.ts"
import { identity } from "../harness.ts"

const identities = Array.from({ length: 10_000 }, (_, n) => identity(`user-${n}`, "user", { issuedAt: 0 }))
const grants = identities.flatMap(({ id }, n) =>
  Array.from({ length: 5 }, (_, m): GrantEntry => ({
    id,
    machine: `machine-${(n * 7 + m * 131) % 2_000}`,
    permission: "connect"
  }))
)

describe("a list of 10,000 identities with 50,000 grants", () => {
  it.live("is made while others are served, and is what it would be at once", () =>
    Effect.gen(function* () {
      const snapshot = makeSnapshot(1, identities, grants)
      const all = identitiesOf(snapshot)
      let turns = 0
      const tick = setInterval(() => (turns += 1), 0)
      const answer = yield* List.list("access", all, (one) => accessEntry(snapshot, one, 0))
      clearInterval(tick)
      assert.isAbove(turns, 50)
      const { body } = answer
      const text = body._tag === "Uint8Array" ? Buffer.from(body.body).toString() : ""
      const access = all.map((one) => accessEntry(snapshot, one, 0))
      assert.strictEqual(text, `${JSON.stringify({ access })}\n`)
    })
  )

  it.effect("an empty list is a list", () =>
    Effect.gen(function* () {
      const { body } = yield* List.list("access", [], () => ({}))
      assert.strictEqual(body._tag === "Uint8Array" ? Buffer.from(body.body).toString() : "", '{"access":[]}\n')
    })
  )
})
