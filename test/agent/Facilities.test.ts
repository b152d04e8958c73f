import { assert, describe, it } from "@effect/vitest"
import * as Http from "node:http"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Facilities from "../../src/agent/Facilities.ts"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import { splice } from "../../src/transport/ByteStream.ts"
import * as Tcp from "../../src/transport/Tcp.ts"
import { machine } from "../support/ends.ts"
import { ask, freshPort, mirror, options, rawTarget, route, target } from "./gateway/gateway.ts"

/** Plain services, of which there are none: what they would have been is the error. */
const noService: typeof Tcp.connect = ({ host, port }) =>
  new StreamReset({ code: ResetCode.refused, reason: `plain ${host}:${port}` })

const gateway = (to: number, port: number) => ({ ...options([route("/", to)]).config, port })

/** A local port that leads to what is reached on a port of the machine. */
const exposed = (facilities: Facilities.Facilities, port: number) =>
  Effect.gen(function* () {
    const run = yield* FiberSet.makeRuntime<never>()
    const listening = yield* Tcp.listen({
      host: "127.0.0.1",
      port: 0,
      onConnection: (stream) =>
        run(
          facilities.reach({ host: "127.0.0.1", port, timeout: 1_000 }).pipe(
            Effect.flatMap((inner) => splice(stream, inner)),
            Effect.catchAll((reset) => Effect.sync(() => stream.reset(reset)))
          )
        )
    })
    return listening.port
  })

describe("Facilities", () => {
  it.scopedLive("the gateway's port leads to the gateway, every other one to its service", () =>
    Effect.gen(function* () {
      const app = yield* target(mirror)
      const facilities = yield* Facilities.make(machine({ gateway: gateway(app, 8080) }), noService)
      assert.strictEqual((yield* ask({ port: yield* exposed(facilities, 8080) })).status, 200)
      const { reason } = yield* Effect.flip(facilities.reach({ host: "127.0.0.1", port: 22, timeout: 1 }))
      assert.strictEqual(reason, "plain 127.0.0.1:22")
    })
  )

  it.scopedLive("a gateway comes, changes and goes with the configuration", () =>
    Effect.gen(function* () {
      const first = yield* target((_request, response) => void response.end("first"))
      const second = yield* target((_request, response) => void response.end("second"))
      const facilities = yield* Facilities.make(machine(), noService)
      const reach = facilities.reach({ host: "127.0.0.1", port: 8080, timeout: 1 })
      assert.strictEqual((yield* Effect.flip(reach)).reason, "plain 127.0.0.1:8080")

      yield* facilities.update(machine({ gateway: gateway(first, 8080) }))
      const port = yield* exposed(facilities, 8080)
      const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      assert.strictEqual((yield* ask({ port, agent })).body, "first")

      yield* facilities.update(machine({ gateway: gateway(second, 8080) }))
      assert.strictEqual((yield* ask({ port, agent })).body, "second")

      yield* facilities.update(machine({ gateway: gateway(second, 8081) }))
      assert.strictEqual((yield* Effect.flip(reach)).reason, "plain 127.0.0.1:8080")
      assert.strictEqual((yield* ask({ port: yield* exposed(facilities, 8081) })).body, "second")

      yield* facilities.update(machine())
      assert.match((yield* Effect.flip(ask({ port, agent }))).message, /ECONNRESET|hang up/)
    })
  )

  it.scopedLive("upstreams come and go with the configuration, even where nothing may be interrupted", () =>
    Effect.gen(function* () {
      const app = yield* target(mirror)
      const port = yield* freshPort
      const upstream = { name: "app", host: undefined, port, target: { host: "127.0.0.1", port: app } }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const facilities = yield* Facilities.make(machine(), noService)
          assert.match((yield* Effect.flip(ask({ port }))).message, /ECONNREFUSED/)
          yield* Effect.uninterruptible(facilities.update(machine({ upstreams: [upstream] })))
          assert.strictEqual((yield* ask({ port })).status, 200)
          yield* facilities.update(machine({ upstreams: [] }))
          assert.match((yield* Effect.flip(ask({ port }))).message, /ECONNREFUSED/)
          const stuck = yield* rawTarget(() => {})
          const dangling = { ...upstream, target: { host: "127.0.0.1", port: stuck } }
          yield* Effect.uninterruptible(facilities.update(machine({ upstreams: [dangling] })))
          yield* Effect.fork(ask({ port }))
        })
      )
      // The scope has ended what was under way.
      assert.match((yield* Effect.flip(ask({ port }))).message, /ECONNREFUSED/)
    })
  )
})
