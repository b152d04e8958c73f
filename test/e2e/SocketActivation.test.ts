/** A hub whose port is held by whoever starts it, as systemd does: no connection is refused while the hub itself restarts. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Conditions from "../support/Conditions.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Tela from "./harness/Tela.ts"

/** A listening socket as a file of a child; it is to be closed here before anybody connects, or this process would answer. */
const socket = Effect.async<{ readonly server: Net.Server; readonly fd: number; readonly port: number }, Error>(
  (resume) => {
    const server = Net.createServer()
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const handle: unknown = Reflect.get(server, "_handle")
      const fd = typeof handle === "object" && handle !== null ? Number(Reflect.get(handle, "fd")) : Number.NaN
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ server, fd, port }))
    })
  }
)

/** Holds the socket as the third file, and starts the hub on it as long as that exits with code 75. */
const SUPERVISOR = `while sh -c 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' sh "$@"; [ $? = 75 ]; do echo "started again" >&2; done`

/** What systemd does with a socket unit and Restart=on-failure; its process group ends with the scope. */
const supervised = (file: string) =>
  Effect.gen(function* () {
    const { fd, port, server } = yield* socket
    const { changed, when } = Conditions.make()
    let said = ""
    const group = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("/bin/sh", ["-c", SUPERVISOR, "sh", Tela.bin("telahubd"), "-config", file], {
          env: { PATH: process.env["PATH"], HOME: Path.dirname(file) },
          stdio: ["ignore", "ignore", "pipe", fd],
          detached: true
        })
      ),
      (shell) =>
        Effect.async<void>((resume) => {
          if (shell.exitCode !== null || shell.signalCode !== null) return resume(Effect.void)
          shell.once("exit", () => resume(Effect.void))
          process.kill(-Number(shell.pid), "SIGKILL")
        })
    )
    group.stderr?.on("data", (text: Buffer) => {
      said += text.toString()
      changed()
    })
    server.close()
    return { port, until: (pattern: RegExp) => when(() => pattern.test(said)), said: () => said }
  })

/** Asks until the answer has come; a connection waits in the socket's queue while nobody takes it. */
const ask = (port: number, method: string, path: string, token?: string) =>
  Effect.async<number, Error>((resume) => {
    const request = Http.request(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        agent: false,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` }
      },
      (response) => {
        response.resume()
        response.on("end", () => resume(Effect.succeed(response.statusCode ?? 0)))
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end()
  })

describe("a hub on a socket that it was given", () => {
  it.scopedLive("listens there, exits with 75 to be started again, and nobody is refused meanwhile", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "telahubd.yaml")
      const owner = HubConfig.token()
      Fs.writeFileSync(file, HubConfig.text({ identities: { owner: { token: owner, role: "owner" } }, machines: {} }), {
        mode: 0o600
      })
      const { port, said, until } = yield* supervised(file)
      assert.strictEqual(yield* ask(port, "GET", "/readyz"), 200)
      assert.strictEqual(yield* ask(port, "POST", "/api/admin/restart", owner), 200)
      yield* until(/started again/)
      assert.strictEqual(yield* ask(port, "GET", "/readyz"), 200)
      assert.strictEqual(said().match(/listening on/g)?.length, 2)
    })
  )
})
