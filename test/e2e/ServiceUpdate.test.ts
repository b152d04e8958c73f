/**
 * An agent from a release that was made a service updates itself through its hub, though nothing is left of where it was
 * unpacked. The service manager is the test.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { TRIAL_STARTS } from "../../src/protocol/Limits.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { unpack } from "../system/release/made.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Releases from "./harness/Releases.ts"
import * as Systemctl from "./harness/Systemctl.ts"
import * as Tela from "./harness/Tela.ts"

const H = "-hub wss://hub.example.com"

describe.skipIf(process.platform !== "linux")("a service that was installed from a release", () => {
  it.scopedLive("is updated through the hub, when what it was installed from is gone, and goes back by itself", () =>
    Effect.gen(function* () {
      const tokens = { owner: HubConfig.token(), agent: HubConfig.token() }
      const hub = yield* Tela.hub({
        identities: { owner: { token: tokens.owner, role: "owner" }, agent: { token: tokens.agent } },
        machines: { barn: { register: tokens.agent } }
      })
      const channel = yield* temporaryFolder
      const base = yield* Releases.serve(channel)
      const first = yield* Releases.make(channel, { version: "v1.0.0", program: "telad" })
      const { home } = yield* unpack(channel, first)
      const computer = yield* Systemctl.make({ "wss://hub.example.com": hub.url })
      const { env, typed } = computer
      const type = (line: string, input?: string) => typed.run(line, { env, ...(input && { input }) })
      yield* type(`tela login ${hub.url}`, `${tokens.owner}\n`)
      Fs.writeFileSync(
        Path.join(typed.home, "telad.yaml"),
        `hub: ${hub.url}\ntoken: ${tokens.agent}\nupdate: { sources: { stable: "${base}" } }\nmachines:\n  - { name: barn, ports: [22] }\n`,
        { mode: 0o600 }
      )

      const copy = Path.join(computer.system, "telad/program")
      const installed = yield* type(`${home}/bin/telad service install -config telad.yaml`)
      assert.include(installed, `v1.0.0, copied from ${home}\n`)
      const again = yield* type(`${home}/bin/telad service install -config telad.yaml`)
      assert.match(again, /^Unchanged: telad\.service[^]* unchanged, v1\.0\.0\n/)
      assert.include(computer.unit("telad"), `"${copy}/bin/telad"`)
      assert.notInclude(computer.unit("telad"), home)
      Fs.rmSync(home, { recursive: true })

      const service = yield* computer.start("telad")
      yield* Tela.registered(service, "barn")
      assert.match(yield* type(`tela admin agent list ${H}`), /^barn +online +v1\.0\.0 /m)

      yield* Releases.make(channel, { version: "v1.0.1", program: "telad" })
      const updating = yield* Effect.fork(type(`tela admin agent update -machine barn ${H}`))
      assert.strictEqual((yield* service.ended).code, 75)
      const next = yield* computer.start("telad")
      yield* next.expect(/v1\.0\.1 is new here, and on trial/)
      assert.strictEqual(yield* Fiber.join(updating), "barn: updating to v1.0.1\nbarn: running v1.0.1\n")
      yield* next.expect(/v1\.0\.1 is healthy, and stays/)
      assert.match(computer.notified(), /^STATUS=1 of 1 machines registered\|$/m)

      // A version that runs when it is tried, and ends when it is to reach its hub.
      const dies = `require("node:net").Socket.prototype.connect = () => process.exit(1)`
      yield* Releases.make(channel, { version: "v1.0.2", program: "telad", first: dies })
      const failing = yield* Effect.fork(typed.fail(`tela admin agent update -machine barn ${H}`, { env }))
      assert.strictEqual((yield* next.ended).code, 75)
      for (let starts = 1; starts <= TRIAL_STARTS; starts++) {
        assert.strictEqual((yield* (yield* computer.start("telad")).ended).code, 1)
      }
      const back = yield* computer.start("telad")
      yield* Tela.registered(back, "barn")
      const reason = "it was started 2 times and never became healthy"
      assert.include(back.output("stderr"), `v1.0.2 was rolled back to v1.0.1: ${reason}\n`)
      const { code, stderr } = yield* Fiber.join(failing)
      assert.strictEqual(code, 1)
      assert.include(stderr, `barn: the update to v1.0.2 came to nothing: rolled back to v1.0.1: ${reason}\n`)
      assert.match(yield* type(`tela admin agent list ${H}`), /^barn +online +v1\.0\.1 /m)
      assert.strictEqual((yield* back.end("SIGTERM")).code, 0)
    })
  )
})
