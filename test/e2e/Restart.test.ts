/** A hub that its administration has restarted. Nobody supervises the first; somebody would start the second again. */
import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Program from "./harness/Program.ts"
import * as Tela from "./harness/Tela.ts"
import * as World from "./harness/World.ts"

const ask = (port: number, path: string, token?: string) =>
  Effect.tryPromise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: token === undefined ? "GET" : "POST",
      headers: { connection: "close", ...(token !== undefined && { authorization: `Bearer ${token}` }) }
    })
    return { status: response.status, text: await response.text() }
  })

const restart = (port: number, token: string) => ask(port, "/api/admin/restart", token)

const restarting = { status: 200, text: '{"ok":true,"message":"restarting"}\n' }

describe("a hub that is restarted", () => {
  it.scopedLive("is there again on its port, with its machines; ends as one; and does not begin on a broken file", () =>
    Effect.gen(function* () {
      const world = yield* World.make([{ name: "barn", services: [{ port: 22 }] }])
      const { file, port, program } = world.hub
      const sound = Fs.readFileSync(file, "utf8")
      Fs.writeFileSync(file, `${sound}\nlimits: { sessions: many }\n`)
      const { status, text } = yield* restart(port, world.owner)
      assert.strictEqual(status, 409)
      assert.match(text, /telahubd\.yaml:\d+:\d+: limits\.sessions: .*; mend it first/)
      assert.strictEqual((yield* ask(port, "/readyz")).status, 200)
      Fs.writeFileSync(file, sound)

      for (let times = 0; times < 2; times++) {
        const from = program.mark()
        const agentFrom = world.agent.mark()
        assert.deepStrictEqual(yield* restart(port, world.owner), restarting)
        yield* program.expect(new RegExp(`listening on http://127\\.0\\.0\\.1:${port}`), { from })
        yield* Tela.registered(world.agent, "barn", agentFrom)
        assert.strictEqual((yield* ask(port, "/readyz")).status, 200)
      }
      assert.strictEqual((yield* program.end("SIGTERM")).code, 0)
      assert.isTrue((yield* Effect.either(ask(port, "/healthz")))._tag === "Left", "nobody is left on the port")
    })
  )

  it.scopedLive("leaves the start to who supervises it, with exit code 75", () =>
    Effect.gen(function* () {
      const world = yield* World.make([{ name: "barn", services: [{ port: 22 }] }])
      const { file, port } = world.hub
      yield* world.hub.program.end("SIGTERM")
      const supervised = yield* Program.start({
        name: "telahubd",
        command: Tela.bin("telahubd"),
        args: ["-config", file, "-host", "127.0.0.1", "-port", String(port), "-supervised"]
      })
      yield* supervised.expect(/listening on/)
      assert.deepStrictEqual(yield* restart(port, world.owner), restarting)
      assert.strictEqual((yield* supervised.ended).code, 75)
    })
  )
})
