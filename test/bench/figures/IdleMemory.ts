/** What an idle registered machine costs the hub in resident memory: the slope from 1,000 to 4,000 of them. */
import * as Effect from "effect/Effect"
import * as HubConfig from "../../e2e/harness/HubConfig.ts"
import * as Memory from "../../e2e/harness/Memory.ts"
import * as Program from "../../e2e/harness/Program.ts"
import * as Tela from "../../e2e/harness/Tela.ts"
import { script } from "./Contenders.ts"
import type { Figure } from "./Figure.ts"

const FEW = 1_000
const MANY = 4_000

/** Longer than a round of pings and the collector's idle time; the least seen within it is what is really held. */
const SETTLING_SECONDS = 15

const settled = (pid: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: SETTLING_SECONDS }), () =>
      Effect.delay(
        Effect.sync(() => Memory.resident(pid)),
        "1 second"
      )
    ),
    (samples) => Math.min(...samples)
  )

export const idleMemory = Effect.scoped(
  Effect.gen(function* () {
    const token = HubConfig.token()
    const hub = yield* Tela.hub({ identities: { owner: { token, role: "owner" } }, machines: {} })
    const register = (first: number, last: number) =>
      Effect.gen(function* () {
        const machines = yield* Program.start({
          ...script("idleMachines", [hub.url, String(first), String(last)]),
          env: { TELA_TOKEN: token }
        })
        yield* machines.expect(/all registered/, { within: "2 minutes" })
        return yield* settled(hub.program.pid)
      })
    const few = yield* register(1, FEW)
    const many = yield* register(FEW + 1, MANY)
    const figure: Figure = {
      name: "idle-memory",
      title: "resident memory of the hub for an idle machine",
      value: (many - few) / (MANY - FEW) / 1024,
      unit: "KB",
      bound: { atMost: 30 },
      details: `${FEW}: ${(few / 2 ** 20).toFixed(0)} MiB, ${MANY}: ${(many / 2 ** 20).toFixed(0)} MiB`
    }
    return [figure]
  })
)
