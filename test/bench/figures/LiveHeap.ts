/** What a Node program holds, garbage aside: asked of it through its inspector, after a collection of everything. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { WebSocket } from "ws"
import type * as Program from "../../e2e/harness/Program.ts"

/** Has a program listen for whoever asks; nobody else is told its address. */
export const inspected = { NODE_OPTIONS: "--inspect=127.0.0.1:0" }

const LISTENING = /Debugger listening on (ws:\/\/\S+)/

const decode = Schema.decodeSync(
  Schema.parseJson(
    Schema.Struct({
      id: Schema.Number,
      result: Schema.Struct({ result: Schema.optional(Schema.Struct({ value: Schema.Number })) })
    })
  )
)

const questions = [
  { method: "HeapProfiler.collectGarbage" },
  {
    method: "Runtime.evaluate",
    params: { expression: "process.memoryUsage().heapUsed + process.memoryUsage().external" }
  }
]

/** Bytes that a program which is {@link inspected} holds, in V8's heap and outside of it. */
export const held = (program: Program.Program): Effect.Effect<number, Program.ProgramFailed> =>
  Effect.flatMap(program.expect(LISTENING), ([, address = ""]) =>
    Effect.async<number>((resume) => {
      const ws = new WebSocket(address)
      const ask = (id: number) => ws.send(JSON.stringify({ id, ...questions[id] }))
      ws.on("open", () => ask(0))
      ws.on("message", (data: Buffer) => {
        const { id, result } = decode(data.toString())
        if (result.result === undefined) return ask(id + 1)
        ws.close()
        resume(Effect.succeed(result.result.value))
      })
      return Effect.sync(() => ws.terminate())
    })
  )
