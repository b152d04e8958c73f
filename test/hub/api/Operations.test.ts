/** What is done to the hub itself: who may have it restarted, and what they are told. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { RestartRefused } from "../../../src/system/Restart.ts"
import { send, start } from "./administered.ts"

const path = "/api/admin/restart"

/** A hub that can be restarted, unless it cannot, and how often it was. */
const restartable = (problem?: string) =>
  Effect.gen(function* () {
    const begun = { times: 0 }
    const hub = yield* start(
      {},
      {
        restart: Effect.suspend(() => {
          if (problem !== undefined) return Effect.fail(new RestartRefused({ message: problem }))
          begun.times++
          return Effect.void
        })
      }
    )
    return { hub, begun }
  })

describe("a restart", () => {
  it.scoped("begins for owners and admins, answered as the deployed hub answers, and is recorded", () =>
    Effect.gen(function* () {
      const { begun, hub } = yield* restartable()
      for (const as of ["olga", "adam"]) {
        const { json, status } = yield* send(hub, "POST", path, { as })
        assert.deepStrictEqual([status, json], [200, { ok: true, message: "restarting" }])
      }
      assert.strictEqual(begun.times, 2)
      const events = yield* hub.audit.list({ limit: 10 })
      assert.deepStrictEqual(
        events.map(({ action, actor, outcome }) => [action, actor, outcome]),
        [
          ["hub-restart", "adam", "ok"],
          ["hub-restart", "olga", "ok"]
        ]
      )
    })
  )

  it.scoped("is nobody else's to ask for", () =>
    Effect.gen(function* () {
      const { begun, hub } = yield* restartable()
      for (const [as, expected] of [
        ["alice", 403],
        ["console-viewer", 403],
        ["gone", 401],
        ["past", 401],
        ["stranger", 401]
      ] as const) {
        assert.strictEqual((yield* send(hub, "POST", path, { as })).status, expected, as)
      }
      assert.strictEqual((yield* send(hub, "POST", path)).status, 401)
      assert.strictEqual((yield* send(hub, "GET", path, { as: "olga" })).status, 405)
      assert.strictEqual(begun.times, 0)
    })
  )

  it.scoped("that would not succeed does not begin: 409, with what to do first, and recorded", () =>
    Effect.gen(function* () {
      const problem = "/etc/tela/telahubd.yaml:3: no such key; mend it first"
      const { hub } = yield* restartable(problem)
      const { json, status } = yield* send(hub, "POST", path, { as: "olga" })
      assert.deepStrictEqual([status, json], [409, { error: problem }])
      const [event] = yield* hub.audit.list({ limit: 1 })
      assert.deepInclude(event, { action: "hub-restart", actor: "olga", outcome: "failed", why: problem })
      assert.strictEqual((yield* send(hub, "GET", "/readyz")).status, 200)
    })
  )

  it.scoped("of a hub that is a part of another program is that program's to do", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      const { json, status } = yield* send(hub, "POST", path, { as: "olga" })
      assert.strictEqual(status, 409)
      assert.match(String(json["error"]), /part of another program; restart that/)
    })
  )
})
