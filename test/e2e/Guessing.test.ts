import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Tela from "./harness/Tela.ts"

const GUESSES = process.env["TELA_LONG"] === "1" ? 10_000 : 1_000

/** Guesses on their way at any time. */
const AT_A_TIME = 5

describe("guessing pairing codes", () => {
  it.scopedLive(
    "is throttled, and keeps nobody waiting",
    () =>
      Effect.gen(function* () {
        const owner = HubConfig.token()
        const hub = yield* Tela.hub({ identities: { owner: { token: owner, role: "owner" } }, machines: {} })
        const at = (path: string) => `http://127.0.0.1:${hub.port}${path}`
        const answers = new Map<number, number>()
        const waits: Array<number> = []
        let left = GUESSES
        const guess = async () => {
          while (left-- > 0) {
            const code = String(10_000_000 + left)
            const response = await fetch(at("/api/pair"), { method: "POST", body: JSON.stringify({ code }) })
            await response.arrayBuffer()
            answers.set(response.status, (answers.get(response.status) ?? 0) + 1)
          }
        }
        const status = async () => {
          while (left > 0) {
            const asked = performance.now()
            const response = await fetch(at("/api/status"), { headers: { authorization: `Bearer ${owner}` } })
            await response.arrayBuffer()
            assert.strictEqual(response.status, 200)
            waits.push(performance.now() - asked)
            await new Promise((resolve) => setTimeout(resolve, 25))
          }
        }
        yield* Effect.promise(() => Promise.all([...Array.from({ length: AT_A_TIME }, guess), status()]))
        assert.strictEqual((answers.get(401) ?? 0) + (answers.get(429) ?? 0), GUESSES)
        assert.isBelow(answers.get(401) ?? 0, 30)
        waits.sort((a, b) => a - b)
        assert.isBelow(waits[Math.floor(waits.length * 0.9)] ?? Infinity, 50)
        const told = hub.program
          .output()
          .split("\n")
          .filter((line) => /pairing code/.test(line))
        assert.isAtMost(told.length, 1 + Math.ceil(GUESSES / 1_000))
      }),
    180_000
  )
})
