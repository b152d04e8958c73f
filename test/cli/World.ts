/**
 * What tests of the command line stand on: a real hub and a real agent, one machine that is there and one that is not,
 * files that are wrong, and a client that has connected once.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as HubConfig from "../e2e/harness/HubConfig.ts"
import * as Program from "../e2e/harness/Program.ts"
import { bin, type Name, startHub } from "../e2e/harness/Tela.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

/** A server that takes connections and never says a word; `arrived` is done when somebody has connected. */
export const silentServer: Effect.Effect<
  { readonly port: number; readonly arrived: Effect.Effect<void> },
  never,
  Scope.Scope
> = Effect.acquireRelease(
  Effect.async<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket>; readonly port: number }>((resume) => {
    const sockets = new Set<Net.Socket>()
    const server = Net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      server.emit("arrived")
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      if (typeof address === "object" && address !== null) {
        resume(Effect.succeed({ server, sockets, port: address.port }))
      }
    })
  }),
  ({ server, sockets }) =>
    Effect.async<void>((resume) => {
      server.close(() => resume(Effect.void))
      for (const socket of sockets) socket.destroy()
    })
).pipe(
  Effect.map(({ port, server, sockets }) => ({
    port,
    arrived: Effect.async<void>((resume) => {
      if (sockets.size > 0) return resume(Effect.void)
      server.once("arrived", () => resume(Effect.void))
    })
  }))
)

/** Every file below a folder with its contents: what must not change. A hub's record may: what is refused is recorded. */
export const contents = (folder: string): ReadonlyArray<readonly [string, string]> =>
  Fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.db(-wal|-shm)?$/.test(entry.name))
    .map((entry) => Path.join(entry.parentPath ?? entry.path, entry.name))
    .toSorted()
    .map((file) => [file, Fs.readFileSync(file, "latin1")] as const)

/** A hub with one machine that is there (web-01), one that is not (web-02), and files that are wrong. */
export class World extends Context.Tag("test/cli/World")<
  World,
  {
    readonly url: string
    readonly folder: string
    readonly home: string
    readonly taken: number
    readonly tokens: { readonly alice: string; readonly bob: string; readonly agent: string }
    readonly run: (
      program: Name,
      args: ReadonlyArray<string>,
      env?: Readonly<Record<string, string>>
    ) => Effect.Effect<Program.Ended & { readonly stdout: string; readonly stderr: string }, Program.ProgramFailed>
  }
>() {}

const wrongFiles: Readonly<Record<string, string>> = {
  "syntax.yaml": "hub: ws://127.0.0.1:9\nmachines:\n  - name: a\n   ports: [22]\n",
  "unknown-key.yaml": "hub: ws://127.0.0.1:9\nmachines:\n  - name: a\n    prots: [22]\n",
  "bad-port.yaml": "hub: ws://127.0.0.1:9\nmachines:\n  - name: a\n    ports: [22, 70000]\n",
  "no-hub.yaml": "machines:\n  - name: a\n    ports: [22]\n",
  "empty-hub.yaml": "",
  "hub-syntax.yaml": "hubId: x\nport: [1\n",
  "hub-unknown-key.yaml": "hubId: x\nprot: 80\n"
}

export const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const home = Path.join(folder, "home")
    Fs.mkdirSync(home)
    for (const [name, text] of Object.entries(wrongFiles)) {
      Fs.writeFileSync(Path.join(folder, name), text, { mode: 0o600 })
    }
    const tokens = {
      owner: HubConfig.token(),
      agent: HubConfig.token(),
      alice: HubConfig.token(),
      bob: HubConfig.token()
    }
    const config: HubConfig.HubConfig = {
      identities: {
        owner: { token: tokens.owner, role: "owner" },
        agent: { token: tokens.agent },
        alice: { token: tokens.alice },
        bob: { token: tokens.bob }
      },
      machines: {
        "web-01": { register: tokens.agent, connect: [tokens.alice] },
        "web-02": { register: tokens.agent, connect: [tokens.alice] }
      }
    }
    Fs.writeFileSync(Path.join(folder, "good-hub.yaml"), HubConfig.text(config), { mode: 0o600 })
    const { port: service } = yield* silentServer
    const { port: taken } = yield* silentServer
    const hub = yield* startHub(Path.join(folder, "good-hub.yaml"))
    const agentHome = yield* temporaryFolder
    const agent = yield* Program.start({
      command: bin("telad"),
      args: ["-hub", hub.url, "-machine", "web-01", "-ports", `${service}:quiet`],
      env: { HOME: agentHome, TELA_HOME: agentHome, TELA_TOKEN: tokens.agent }
    })
    yield* agent.expect(/registered/)

    const env = { HOME: home, TELA_HOME: home }
    const run: Context.Tag.Service<World>["run"] = (program, args, more = {}) =>
      Program.outcome({ command: bin(program), args, cwd: folder, env: { ...env, ...more } })
    // One good connection first, so that the client has its key and knows the machine.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const client = yield* Program.start({
          command: bin("tela"),
          args: ["connect", "-hub", hub.url, "-machine", "web-01"],
          env: { ...env, TELA_TOKEN: tokens.alice }
        })
        yield* client.expect(/Services available:\n.*\n/)
        const { code } = yield* client.end("SIGINT")
        assert.strictEqual(code, 0, "a connection that was up and is ended with Ctrl-C")
        assert.match(client.output("stderr"), /closed/)
      })
    )
    return { url: hub.url, folder, home, taken, tokens, run }
  }).pipe(Effect.orDie)
)
