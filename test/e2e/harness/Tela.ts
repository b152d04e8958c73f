/**
 * The three programs of this repository, as a user starts them: `bin/telahubd`, `bin/telad`, `bin/tela`. Each has its
 * own state folder, and none sees the caller's.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { stringify } from "yaml"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import type { HubConfig } from "./HubConfig.ts"
import * as HubFile from "./HubConfig.ts"
import * as Program from "./Program.ts"
import { repositoryRoot } from "./Workspace.ts"

export type Name = "tela" | "telad" | "telahubd"

/** The path of one of the three programs, of this checkout or another one. */
export const bin = (name: Name, checkout: string = repositoryRoot): string => Path.join(checkout, "bin", name)

export interface Hub {
  readonly program: Program.Program
  readonly port: number
  /** What agents and clients call it: `ws://...`. */
  readonly url: string
  readonly file: string
}

/** Starts a hub on a file that is there or, for a first start, is not; `port` 0 lets it choose. */
export const startHub = (
  file: string,
  port = 0,
  checkout?: string,
  env: Program.Command["env"] = {}
): Effect.Effect<Hub, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const program = yield* Program.start({
      name: "telahubd",
      command: bin("telahubd", checkout),
      args: ["-config", file, "-host", "127.0.0.1", "-port", String(port)],
      env: { HOME: Path.dirname(file), TELA_HOME: Path.dirname(file), ...env }
    })
    const [, bound] = yield* program.expect(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
    return { program, port: Number(bound), url: `ws://127.0.0.1:${bound}`, file }
  })

/** Writes the hub's file into a folder of its own and starts a hub on it. */
export const hub = (
  config: HubConfig,
  checkout?: string,
  env?: Program.Command["env"]
): Effect.Effect<Hub, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const file = Path.join(folder, "telahubd.yaml")
    Fs.writeFileSync(file, HubFile.text(config), { mode: 0o600 })
    return yield* startHub(file, 0, checkout, env)
  })

/** A machine's entry in telad.yaml. */
export interface Machine {
  readonly name: string
  readonly target?: string
  readonly token?: string
  readonly ports?: ReadonlyArray<number>
  readonly services?: ReadonlyArray<{ readonly port: number; readonly name?: string }>
  readonly gateway?: {
    readonly port: number
    readonly routes: ReadonlyArray<{ readonly path: string; readonly target: number; readonly strip?: boolean }>
  }
  readonly upstreams?: ReadonlyArray<{ readonly port: number; readonly target: string; readonly name?: string }>
}

/** Writes a telad.yaml into a folder of its own, where the agent's identity will be too. */
export const agentFolder = (
  url: string,
  token: string,
  machines: ReadonlyArray<Machine>
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.tap(temporaryFolder, (folder) =>
    Effect.sync(() =>
      Fs.writeFileSync(Path.join(folder, "telad.yaml"), stringify({ hub: url, token, machines }), { mode: 0o600 })
    )
  )

/** Starts an agent from the telad.yaml in that folder, and more arguments; the named machines are registered when this returns. */
export const startAgent = (
  folder: string,
  machines: ReadonlyArray<Machine>,
  args: ReadonlyArray<string> = [],
  checkout?: string
): Effect.Effect<Program.Program, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const program = yield* Program.start({
      name: "telad",
      command: bin("telad", checkout),
      args: ["-config", Path.join(folder, "telad.yaml"), ...args],
      env: { HOME: folder, TELA_HOME: folder }
    })
    for (const { name } of machines) yield* registered(program, name)
    return program
  })

/** Waits until the agent says that a machine is registered. */
export const registered = (program: Program.Program, machine: string, from = 0) =>
  program.expect(new RegExp(`registered.*\\b${machine}\\b|\\b${machine}\\b.*registered`, "i"), { from })

/** A line of "Services available:". */
export interface Row {
  readonly port: number
  readonly service: string
  readonly machine: string
}

export interface Client {
  readonly program: Program.Program
  readonly rows: ReadonlyArray<Row>
  /** The table as it was printed, heading included. */
  readonly table: string
  /** The local port of a service, by the name in the table. */
  readonly port: (service: string) => number
}

export interface ConnectOptions {
  readonly machine: string
  readonly token: string
  readonly args?: ReadonlyArray<string>
  /** The client's state folder; a new one otherwise. */
  readonly home?: string
  /** Lines to wait for. */
  readonly services?: number
  /** Whose programs; this checkout's unless given. */
  readonly checkout?: string | undefined
}

/** How `tela connect` is called, and with what state folder. */
export const connectCommand = (url: string, home: string, options: ConnectOptions): Program.Command => ({
  name: "tela connect",
  command: bin("tela", options.checkout),
  args: ["connect", "-hub", url, "-machine", options.machine, "-token", options.token, ...(options.args ?? [])],
  env: { HOME: home, TELA_HOME: Path.join(home, ".tela") },
  endsOn: "SIGINT"
})

const ROW = /^ {2}localhost:(\d+) +→ (.+?) +\((.+)\)$/

/** Starts `tela connect` and waits for its table. */
export const connect = (
  url: string,
  options: ConnectOptions
): Effect.Effect<Client, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const home = options.home ?? (yield* temporaryFolder)
    const program = yield* Program.start(connectCommand(url, home, options))
    const [table] = yield* program.expect(
      new RegExp(`^Services available:\\n(?:  localhost:.*\\n){${options.services ?? 1}}`, "m"),
      { on: "stdout" }
    )
    const rows = table
      .split("\n")
      .slice(1, -1)
      .map((line): Row => {
        const match = ROW.exec(line)
        if (match === null) throw new Error(`not a line of the table: ${line}`)
        return { port: Number(match[1]), service: String(match[2]), machine: String(match[3]) }
      })
    const port = (service: string) => {
      const row = rows.find((candidate) => candidate.service === service)
      if (row === undefined) throw new Error(`no service ${service} in\n${table}`)
      return row.port
    }
    return { program, rows, table, port }
  })
