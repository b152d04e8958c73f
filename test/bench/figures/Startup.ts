/** Figures of starting: `tela version` and a first byte through `tela connect`, against a bare Node. */
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as Program from "../../e2e/harness/Program.ts"
import * as Sockets from "../../e2e/harness/Sockets.ts"
import { bin } from "../../e2e/harness/Tela.ts"
import { freePort } from "../../e2e/harness/Workspace.ts"
import type { Ours } from "./Contenders.ts"
import type { Figure } from "./Figure.ts"
import { median } from "./Figure.ts"

const ROUNDS = 15
const CONNECT_ROUNDS = 7

const timed = (command: string, args: ReadonlyArray<string>): number => {
  const started = performance.now()
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: exit code ${status}: ${stderr}`)
  return performance.now() - started
}

const bareNode = () => timed(process.execPath, ["-e", "0"])

/** `tela version` as a multiple of `node -e 0`. */
export const version = Effect.sync((): ReadonlyArray<Figure> => {
  const rounds = Array.from({ length: ROUNDS }, () => ({ node: bareNode(), tela: timed(bin("tela"), ["version"]) }))
  return [
    {
      name: "version",
      title: "tela version over node -e 0",
      value: median(rounds.map(({ tela, node }) => tela / node)),
      unit: "x",
      bound: { atMost: 1.5 },
      details: `${median(rounds.map((r) => r.tela)).toFixed(0)} and ${median(rounds.map((r) => r.node)).toFixed(0)} ms`
    }
  ]
})

const firstByte = (ours: Ours) =>
  Effect.scoped(
    Effect.gen(function* () {
      const ports = { bulk: yield* freePort(), echo: yield* freePort() }
      const started = performance.now()
      const client = yield* Program.start(ours.connectAgain(ports))
      yield* client.expect(/Services available:\n.*\n.*\n/, { on: "stdout" })
      const socket = yield* Sockets.open(ports.echo)
      yield* Sockets.write(socket, Buffer.from("x"))
      yield* Sockets.read(socket, 1)
      return performance.now() - started
    })
  )

/** From starting `tela connect` to the first byte of a service. */
export const connect = (ours: Ours) =>
  Effect.gen(function* () {
    const rounds = yield* Effect.forEach(Array.from({ length: CONNECT_ROUNDS }), () =>
      Effect.all({ node: Effect.sync(bareNode), tela: firstByte(ours) })
    )
    const node = median(rounds.map((round) => round.node))
    const figure: Figure = {
      name: "connect",
      title: "tela connect to the first byte of a service",
      value: median(rounds.map((round) => round.tela)),
      unit: "ms",
      bound: { atMost: 3 * node + 150 },
      details: `node -e 0 ${node.toFixed(0)} ms`
    }
    return [figure]
  })
