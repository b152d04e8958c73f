import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { wordsOf } from "../support/unitFile.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Program from "./harness/Program.ts"
import * as Systemctl from "./harness/Systemctl.ts"
import * as Tela from "./harness/Tela.ts"
import { freePort } from "./harness/Workspace.ts"

/** A service that says one line to whoever connects. */
const greeter: Effect.Effect<number, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.async<Net.Server>((resume) => {
      const server = Net.createServer((socket) => socket.on("error", () => {}).end("reached\n"))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  ),
  (server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }
)

const heard = (port: number): Effect.Effect<string, Error> =>
  Effect.async<string, Error>((resume) => {
    let text = ""
    Net.connect(port, "127.0.0.1")
      .setEncoding("utf8")
      .on("data", (chunk) => (text += String(chunk)))
      .on("error", (error) => resume(Effect.fail(error)))
      .on("close", () => resume(Effect.succeed(text)))
  })

const world = Effect.gen(function* () {
  const [owner, agentToken, alice] = [HubConfig.token(), HubConfig.token(), HubConfig.token()]
  const port = yield* greeter
  const hub = yield* Tela.hub({
    identities: { owner: { token: owner, role: "owner" }, agent: { token: agentToken }, alice: { token: alice } },
    machines: { "prod-web01": { register: agentToken, connect: [alice] } }
  })
  const computer = yield* Systemctl.make()
  const write = (...tokenLine: ReadonlyArray<string>) =>
    Fs.writeFileSync(
      Path.join(computer.typed.home, "telad.yaml"),
      [
        "# telad.yaml",
        `hub: ${hub.url}`,
        ...tokenLine,
        "",
        "machines:",
        "  - name: prod-web01",
        `    ports: [${port}]`,
        ""
      ].join("\n"),
      { mode: 0o600 }
    )
  const home = yield* temporaryFolder
  const { env, typed } = computer
  return {
    agentToken,
    computer,
    hub,
    write,
    type: (line: string, more: Partial<Program.Command> = {}) => typed.run(line, { ...more, env }),
    fail: (line: string) => typed.fail(line, { env }),
    typing: (line: string) => Program.start(typed.command(line, { env })),
    /** Alice, who remembers the keys of machines. */
    reach: Effect.gen(function* () {
      const client = yield* Tela.connect(hub.url, { machine: "prod-web01", token: alice, home })
      const local = client.rows[0]?.port ?? 0
      assert.strictEqual(yield* heard(local), "reached\n")
      yield* client.program.end("SIGINT")
      return client.program.output("stderr")
    }).pipe(Effect.scoped)
  }
})

describe.skipIf(process.platform !== "linux")(
  "Services, with a systemctl that only writes down what it is told",
  () => {
    it.scopedLive(
      "production access: the two commands as the page has them, and who pinned the machine connects as before",
      () =>
        Effect.gen(function* () {
          const { agentToken, computer, reach, type, typing, write } = yield* world
          write(`token: "${agentToken}"`)
          const before = yield* Effect.scoped(
            Effect.gen(function* () {
              const agent = yield* typing("exec telad -config telad.yaml")
              yield* Tela.registered(agent, "prod-web01")
              assert.match(yield* reach, /remembered|first/i)
              return (yield* type("telad fingerprint -config telad.yaml")).trim()
            })
          )

          const installed = yield* type("telad service install -config telad.yaml")
          assert.match(installed, /^Installed telad\.service \(systemd\)\n/)
          assert.match(installed, new RegExp(`^ +key .* carried along, ${before.replaceAll(/[+/]/g, "\\$&")}$`, "m"))
          assert.match(installed, /^Start it: telad service start$/m)
          assert.notInclude(installed, agentToken)
          assert.deepStrictEqual(computer.told(), [
            "show --property=Version --value",
            "daemon-reload",
            "enable telad.service"
          ])
          assert.strictEqual(yield* type("telad service start"), "Started telad.service.\n")
          assert.deepStrictEqual(computer.told(), ["show --property=Version --value", "start telad.service"])

          // What systemd would start now.
          const service = yield* computer.start("telad")
          yield* Tela.registered(service, "prod-web01")
          assert.notMatch(yield* reach, /remembered|CHANGED/i)
          const folder = Path.join(computer.system, "telad")
          assert.strictEqual((yield* type(`telad fingerprint -config ${folder}/telad.yaml`)).trim(), before)
          assert.strictEqual((yield* service.end("SIGTERM")).code, 0)
          const words = computer.notified()
          assert.match(words, /^STATUS=\d of 1 machines registered\|READY=1\|$/m)
          assert.match(words, /^STATUS=1 of 1 machines registered\|$/m)
          assert.match(words, /^STATUS=stopping\|STOPPING=1\|EXTEND_TIMEOUT_USEC=25000000\|$/m)

          // Once more changes nothing, and what it kept outlives it.
          const unit = computer.unit("telad")
          assert.match(yield* type("telad service install -config telad.yaml"), /^Unchanged: telad\.service/)
          assert.strictEqual(computer.unit("telad"), unit)
          assert.match(yield* type("telad service status"), /^installed: true\nenabled: +true\nrunning: +false\n/m)
          assert.match(yield* type("telad service uninstall"), new RegExp(`stay in ${folder}\\.\\n$`))
          assert.deepStrictEqual(Fs.readdirSync(folder).toSorted(), ["telad.key", "telad.state", "telad.yaml"])
          assert.deepStrictEqual(Fs.readdirSync(path(computer)), [])
          assert.match(yield* type("telad service status"), /^status: +not installed$/m)
        })
    )

    it.scopedLive(
      "the token that the agent has from a store is the service's too, and a newer one from its next start on",
      () =>
        Effect.gen(function* () {
          const { agentToken, computer, hub, reach, type, write } = yield* world
          write()
          yield* type(`telad login -hub ${hub.url}`, { input: `${agentToken}\n` })
          const installed = yield* type("telad service install -config telad.yaml")
          assert.match(installed, /^ +token +.*telad\/credentials\.yaml +from .*system\/credentials\.yaml$/m)
          // The service's own user cannot look into the system's folder.
          const elsewhere = { TELA_SYSTEM: Path.join(computer.typed.home, "closed") }
          const service = yield* computer.start("telad", elsewhere)
          yield* Tela.registered(service, "prod-web01")
          yield* reach
          yield* service.end("SIGTERM")

          const store = Path.join(computer.system, "telad/credentials.yaml")
          Fs.writeFileSync(store, Fs.readFileSync(store, "utf8").replace(agentToken, "stale"), { mode: 0o600 })
          yield* type("telad service restart")
          assert.include(Fs.readFileSync(store, "utf8"), agentToken)
          assert.deepStrictEqual(computer.told().slice(-1), ["restart telad.service"])
        })
    )

    it.scopedLive("service run runs what is installed", () =>
      Effect.gen(function* () {
        const { agentToken, fail, type, typing, write } = yield* world
        write(`token: "${agentToken}"`)
        assert.match(
          (yield* fail("telad service run")).stderr,
          /^telad: telad\.service is not installed; run: telad service/
        )
        yield* type("telad service install -config telad.yaml")
        const running = yield* typing("exec telad service run -log-format json")
        const [line] = yield* running.expect(/^.*registered at.*$/m, { on: "stderr" })
        assert.containsSubset(JSON.parse(line), { machine: "prod-web01" })
        assert.strictEqual((yield* running.end("SIGTERM")).code, 0)
      })
    )

    it.scopedLive("-dry-run prints the unit, and does nothing", () =>
      Effect.gen(function* () {
        const { agentToken, computer, type, write } = yield* world
        write(`token: "${agentToken}"`)
        const shown = yield* type("telad service install -config telad.yaml -dry-run")
        assert.match(shown, /^Nothing was done\. This would be installed as telad\.service \(systemd\):\n/)
        assert.notInclude(shown, agentToken)
        assert.deepStrictEqual(computer.told(), [])
        assert.isFalse(Fs.existsSync(path(computer)))
        assert.isFalse(Fs.existsSync(computer.system))
        yield* type("telad service install -config telad.yaml")
        assert.include(shown, computer.unit("telad"))
      })
    )

    it.scopedLive("a hub: made with its owner, found by its commands, and started again when it asks for it", () =>
      Effect.gen(function* () {
        const computer = yield* Systemctl.make()
        const { env, typed } = computer
        const type = (line: string) => typed.run(line, { env })
        const port = yield* freePort()
        const installed = yield* type(`telahubd service install -host 127.0.0.1 -port ${port}`)
        const owner = /^Owner token: ([0-9a-f]{64})$/m.exec(installed)?.[1] ?? ""
        assert.match(installed, /^Start it: telahubd service start$/m)
        assert.strictEqual(yield* type("telahubd service start"), "Started telahubd.service.\n")
        assert.match(computer.unit("telahubd"), /^CapabilityBoundingSet=CAP_NET_BIND_SERVICE$/m)

        const hub = yield* computer.start("telahubd")
        yield* hub.expect(new RegExp(`listening on http://127\\.0\\.0\\.1:${port}`))
        assert.notInclude(hub.output(), owner, "which was shown once")
        const url = `ws://127.0.0.1:${port}`
        assert.match(yield* type(`tela status -hub ${url} -token ${owner}`), /Hub: /)
        // On the machine itself, without saying which file.
        yield* type("telahubd user add alice")
        yield* hub.expect(/alice/, { within: "5 seconds" })
        assert.match(yield* type(`tela admin tokens list -hub ${url} -token ${owner}`), /^alice/m)

        const asked = yield* Effect.promise(() =>
          fetch(`http://127.0.0.1:${port}/api/admin/restart`, {
            method: "POST",
            headers: { authorization: `Bearer ${owner}` }
          })
        )
        assert.strictEqual(asked.status, 200)
        // systemd starts it again at this exit code, whatever Restart= says.
        assert.strictEqual((yield* hub.ended).code, 75)
        assert.match(computer.unit("telahubd"), /^RestartForceExitStatus=75$/m)
        const words = computer.notified()
        assert.match(
          words,
          new RegExp(`^STATUS=http://127\\.0\\.0\\.1:${port}: machines 0, sessions 0\\|READY=1\\|$`, "m")
        )
        assert.match(words, /^STATUS=stopping\|STOPPING=1\|EXTEND_TIMEOUT_USEC=45000000\|$/m)

        const again = yield* computer.start("telahubd")
        yield* again.expect(/listening on/)
        assert.match(yield* type("telahubd service install"), /^Unchanged: telahubd\.service/)
        assert.strictEqual((yield* again.end("SIGTERM")).code, 0)
        yield* type("telahubd service uninstall")
        assert.deepStrictEqual(Fs.readdirSync(computer.system), ["telahubd"])
      })
    )

    it.scopedLive("several instances, in paths that mean something to a shell and to systemd", () =>
      Effect.gen(function* () {
        const { agentToken, computer, type, write } = yield* world
        write(`token: "${agentToken}"`)
        const folder = Path.join(computer.typed.home, "a b%h $HOME")
        Fs.mkdirSync(folder)
        const { env, typed } = computer
        const odd = { ...env, TELA_SYSTEM: folder }
        yield* typed.run("telad service install -config telad.yaml -name two", { env: odd })
        yield* type("telad service install -config telad.yaml")
        assert.notStrictEqual(computer.unit("telad"), computer.unit("telad-two"))
        const service = yield* computer.start("telad-two")
        yield* Tela.registered(service, "prod-web01")
        assert.isTrue(Fs.existsSync(Path.join(folder, "telad-two/telad.key")))
        const [writes = ""] = /^(?:BindPaths|ReadWritePaths)=(.*)$/m.exec(computer.unit("telad-two"))?.slice(1) ?? []
        assert.deepStrictEqual(wordsOf(writes), [Path.join(folder, "telad-two")])
      })
    )

    it.scopedLive("without a service manager everything fails with a sentence, and nothing is changed", () =>
      Effect.gen(function* () {
        const { agentToken, computer, write } = yield* world
        write(`token: "${agentToken}"`)
        const { env, home } = { ...computer, home: computer.typed.home }
        const fake = Path.join(home, "fake/systemctl")
        const lines = ["install -config telad.yaml", "uninstall", "start", "stop", "restart", "status"]
        Fs.writeFileSync(fake, "#!/bin/sh\necho 'System has not been booted with systemd.' >&2\nexit 1\n")
        for (const line of lines) {
          const { code, stderr } = yield* computer.typed.fail(`telad service ${line}`, { env })
          assert.deepStrictEqual([line, code], [line, 1])
          assert.match(
            stderr,
            /^telad: systemd does not run here: System has not been booted with systemd; .*code 75\n$/
          )
        }
        // Only what the program itself needs is in PATH.
        Fs.rmSync(fake)
        Fs.symlinkSync(process.execPath, Path.join(home, "fake/node"))
        const bare = { ...env, PATH: Path.join(home, "fake") }
        for (const line of lines) {
          const typed = computer.typed.fail(`${Tela.bin("telad")} service ${line}`, { env: bare })
          assert.match((yield* typed).stderr, /^telad: systemctl is not installed here; .*\n$/)
        }
        assert.isFalse(Fs.existsSync(path(computer)))
        assert.isFalse(Fs.existsSync(computer.system))
      })
    )

    it.scopedLive("a wrong command line is 2", () =>
      Effect.gen(function* () {
        const { fail } = yield* world
        for (const line of [
          "telad service install",
          "telad service install -hub ws://127.0.0.1:1",
          "telad service install -config a -hub ws://127.0.0.1:1",
          "telad service start -name 'a b'",
          "telad service start -name a%n",
          "telad service begin",
          "telahubd service install -port x"
        ]) {
          const { code, stderr } = yield* fail(line)
          assert.deepStrictEqual([line, code], [line, 2], stderr)
        }
        assert.strictEqual((yield* fail("telad service install -config none.yaml")).code, 1)
        assert.strictEqual((yield* fail("telahubd service install -config none.yaml")).code, 1)
      })
    )
  }
)

/** Where units are. */
const path = ({ env }: Systemctl.Computer): string => env["SYSTEMD_UNIT_PATH"] ?? ""
