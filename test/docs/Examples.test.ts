import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { program } from "../../docs/examples/embed.ts"

describe("docs/examples", () => {
  it.live("embed.ts reaches its page through its own hub, agent and client", () =>
    Effect.map(program, (text) => assert.strictEqual(text, "hello from the barn\n"))
  )
})
