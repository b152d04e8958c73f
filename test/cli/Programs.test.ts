/** The three programs as a person meets them: what they answer, and how they end. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { codeFile } from "../../bin/launch.mjs"
import { VERSION } from "../../src/protocol/Version.ts"
import * as Program from "../e2e/harness/Program.ts"
import { bin, startHub } from "../e2e/harness/Tela.ts"
import { repositoryRoot as repository } from "../e2e/harness/Workspace.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { silentServer, World, world } from "./World.ts"

layer(world, { excludeTestServices: true, timeout: "60 seconds" })("Programs", (it) => {
  describe("end as scripts expect", () => {
    it.scoped.each(["tela", "telad", "telahubd"] as const)("%s: help and version are 0, on stdout", (program) =>
      Effect.gen(function* () {
        const { run } = yield* World
        for (const args of [["-h"], ["--help"], ["help"], ["-help"]]) {
          const ended = yield* run(program, args)
          assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
          assert.match(ended.stdout, new RegExp(`^${program}: `))
        }
        for (const args of [["version"], ["--version"], ["-version"]]) {
          const ended = yield* run(program, args)
          assert.strictEqual(ended.code, 0)
          assert.match(ended.stdout, new RegExp(`^${program} ${VERSION} [a-z0-9]+/[a-z0-9]+\n$`))
        }
        const json: unknown = JSON.parse((yield* run(program, ["version", "-json"])).stdout)
        assert.containsSubset(json, { program, version: VERSION })
      })
    )

    it.scoped("a reader that has gone is no error, output that cannot be written is one", () =>
      Effect.gen(function* () {
        const outcome = (line: string) => Program.outcome({ command: "/bin/sh", args: ["-c", line] })
        const gone = yield* outcome(`( ${bin("tela")} help; echo code=$? >&2 ) | true`)
        assert.strictEqual(gone.stderr, "code=0\n")
        if (!Fs.existsSync("/dev/full")) return
        const full = yield* outcome(`${bin("tela")} help > /dev/full`)
        assert.strictEqual(full.code, 1)
        assert.match(full.stderr, /^tela: the output cannot be written: ENOSPC.*\n$/)
      })
    )

    it.scoped("the version is the package's", () =>
      Effect.sync(() => {
        const file = Fs.readFileSync(Path.join(repository, "package.json"), "utf8")
        assert.containsSubset(JSON.parse(file), { version: VERSION.slice(1) })
      })
    )

    it.scoped("what is not built says how to build it, and still knows its version", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        Fs.cpSync(Path.join(repository, "bin"), Path.join(folder, "bin"), { recursive: true })
        Fs.copyFileSync(Path.join(repository, "package.json"), Path.join(folder, "package.json"))
        const start = (...args: ReadonlyArray<string>) =>
          Program.start({ command: Path.join(folder, "bin/tela"), args })
        const version = yield* start("version")
        assert.strictEqual((yield* version.ended).code, 0)
        const connect = yield* start("connect")
        assert.strictEqual((yield* connect.ended).code, 1)
        assert.match(connect.output("stderr"), /^tela: not built yet: run "npm install" in /)
      })
    )

    it.scoped("the code compiled beforehand is taken, and another program's is not looked at", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        Fs.cpSync(Path.join(repository, "bin"), Path.join(folder, "bin"), { recursive: true })
        const programs = Path.join(repository, "dist/programs")
        const source = Fs.readFileSync(Path.join(programs, "tela.cjs"), "latin1")
        const code = Path.basename(codeFile("tela.cjs", source))
        Fs.copyFileSync(Path.join(programs, code), Path.join(folder, code))
        const start = (text: string) =>
          Effect.gen(function* () {
            Fs.writeFileSync(Path.join(folder, "tela.cjs"), text)
            const launch = JSON.stringify(Path.join(folder, "bin/launch.mjs"))
            const file = JSON.stringify(Path.join(folder, "tela.cjs"))
            const script = `const { load } = await import(${launch}); process.argv = ["", "", "version"]; const script = await load(${file}); console.log("rejected:", script.cachedDataRejected)`
            const program = yield* Program.start({
              command: process.execPath,
              args: ["--input-type=module", "-e", script]
            })
            assert.strictEqual((yield* program.ended).code, 0, program.output())
            return program.output("stdout")
          })
        assert.match(yield* start(source), /^rejected: false\ntela /)
        // The same length, another digest: V8 alone would take the wrong code.
        const changed = source.replace(/^\/\/ ./, (start) => (start.endsWith("0") ? "// 1" : "// 0"))
        assert.match(yield* start(changed), /^rejected: undefined\ntela /)
      })
    )

    it.scoped("an interrupted command is 130", () =>
      Effect.gen(function* () {
        const { home } = yield* World
        const { arrived, port } = yield* silentServer
        const client = yield* Program.start({
          command: bin("tela"),
          args: ["connect", "-hub", `ws://127.0.0.1:${port}`, "-machine", "m", "-token", "hunter2"],
          env: { HOME: home, TELA_HOME: home }
        })
        yield* arrived
        if (process.platform === "linux") {
          const shown = Fs.readFileSync(`/proc/${client.pid}/cmdline`, "utf8")
          assert.notInclude(shown, "hunter2", "the token is not in the process listing")
          assert.include(shown, "-token ***")
        }
        const { code } = yield* client.end("SIGINT")
        assert.strictEqual(code, 130)
      })
    )

    it.scoped("a connection that was never up is not called lost", () =>
      Effect.gen(function* () {
        const { home, tokens, url } = yield* World
        const client = yield* Program.start({
          command: bin("tela"),
          args: ["connect", "-hub", url, "-machine", "web-02", "-wait"],
          env: { HOME: home, TELA_HOME: home, TELA_TOKEN: tokens.alice }
        })
        yield* client.expect(/WARN .*next try in/, { on: "stderr" })
        assert.match(client.output("stderr"), / not connected; next try in \d/)
        assert.strictEqual((yield* client.end("SIGINT")).code, 130)
      })
    )

    it.scoped("logs as asked", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const start = (...args: ReadonlyArray<string>) =>
          Program.start({
            command: bin("telad"),
            args: ["-hub", "ws://127.0.0.1:1", "-machine", "m", "-ports", "22", ...args],
            env: { HOME: folder, TELA_HOME: folder }
          })
        const json = yield* start("-log-format", "json")
        const [line] = yield* json.expect(/^.*this agent's key.*$/m, { on: "stderr" })
        assert.containsSubset(JSON.parse(line), { level: "INFO", program: "telad", hub: "ws://127.0.0.1:1" })
        yield* json.end("SIGTERM")
        const { url } = yield* World
        const quiet = yield* start("-hub", url, "-token", "wrong", "-log-level", "error")
        yield* quiet.expect(/ERROR .*refuses the registration/, { on: "stderr" })
        assert.notMatch(quiet.output(), /INFO|WARN/)
      })
    )

    it.scoped("a daemon that is asked to stop is 0", () =>
      Effect.gen(function* () {
        const { folder, home } = yield* World
        for (const signal of ["SIGINT", "SIGTERM"] as const) {
          const hub = yield* startHub(Path.join(folder, "good-hub.yaml"))
          const agent = yield* Program.start({
            command: bin("telad"),
            args: ["-hub", hub.url, "-machine", "web-02", "-ports", "22", "-token", "wrong"],
            env: { HOME: home, TELA_HOME: Path.join(home, signal) }
          })
          yield* agent.expect(/this agent's key/)
          assert.strictEqual((yield* agent.end(signal)).code, 0)
          assert.strictEqual((yield* hub.program.end(signal)).code, 0)
          assert.match(hub.program.output("stderr"), /stopped/)
        }
      })
    )
  })

  describe("answer what is asked", () => {
    it.scoped("machines, services and status", () =>
      Effect.gen(function* () {
        const { run, tokens, url } = yield* World
        const ask = (...args: ReadonlyArray<string>) =>
          Effect.map(run("tela", [...args, "-hub", url], { TELA_TOKEN: tokens.alice }), ({ stdout }) => stdout)
        assert.match(yield* ask("machines"), /^MACHINE +STATUS +SERVICES +SESSION\nweb-01 +online +quiet:\d+ +-\n/)
        assert.match(
          yield* ask("services", "-machine", "web-01"),
          /^web-01 \(online\)\nPORT +SERVICE +CONNECT\n\d+ +quiet +tela connect -hub ws:\S+ -machine web-01\n$/
        )
        assert.match(
          yield* ask("status"),
          /^Hub: {7}ws:.*\nMachines: {2}\d+ registered, 1 online\nServices: {2}1 total\nSessions: {2}0 active\nTimestamp: \d.*Z\n$/
        )
        assert.containsSubset(JSON.parse(yield* ask("machines", "-json")), {
          machines: [
            { id: "web-01", agentConnected: true, sessionCount: 0, services: [{ proto: "tcp", name: "quiet" }] }
          ]
        })
        assert.containsSubset(JSON.parse(yield* ask("services", "-json", "-machine", "web-01")), { id: "web-01" })
        assert.containsSubset(JSON.parse(yield* ask("status", "-json")), { machines: [{ id: "web-01" }] })
      })
    )

    it.scoped("trust: show, accept, forget", () =>
      Effect.gen(function* () {
        const { run } = yield* World
        const home = yield* temporaryFolder
        const trust = (...args: ReadonlyArray<string>) => run("tela", ["trust", ...args], { TELA_HOME: home })
        const hub = ["-hub", "wss://hub.example.com"]
        const key = `SHA256:${"a".repeat(43)}`
        assert.match((yield* trust("show")).stdout, /No machine is remembered/)
        assert.strictEqual((yield* trust("accept", "barn", ...hub, "-fingerprint", key)).code, 0)
        assert.match((yield* trust("show")).stdout, new RegExp(`barn +wss://hub\\.example\\.com +${key}`))
        assert.containsSubset(JSON.parse((yield* trust("show", "barn", "-json")).stdout), {
          machines: [{ machine: "barn", fingerprint: key }]
        })
        const elsewhere = yield* run("tela", ["trust", "show"], { TELA_HOME: home, TELA_HUB: "ws://hub.example.org" })
        assert.include(elsewhere.stdout, key, "TELA_HUB hides nothing")
        for (const filter of [["mill"], ["-hub", "ws://hub.example.org"]]) {
          assert.match((yield* trust("show", ...filter)).stdout, /^No key matches\.\n$/)
        }
        assert.include((yield* trust("show", ...hub)).stdout, key)
        assert.strictEqual((yield* trust("forget", "barn", ...hub)).code, 0)
        assert.notInclude((yield* trust("show")).stdout, "barn")
      })
    )

    it.scoped("a first start prints the owner's token once, and user bootstrap tells where it went", () =>
      Effect.gen(function* () {
        const { run } = yield* World
        const folder = yield* temporaryFolder
        const file = Path.join(folder, "telahubd.yaml")
        const hub = yield* startHub(file)
        const token = /Owner token: ([0-9a-f]{64})/.exec(hub.program.output("stdout"))?.[1] ?? ""
        assert.strictEqual(token.length, 64)
        assert.notInclude(hub.program.output("stderr"), token)
        assert.notInclude(Fs.readFileSync(file, "utf8"), token)
        const asked = yield* run("tela", ["status", "-hub", hub.url, "-token", token])
        assert.strictEqual(asked.code, 0, asked.stderr)
        const again = yield* run("telahubd", ["user", "bootstrap", "-config", file])
        assert.strictEqual(again.code, 1)
        yield* hub.program.end("SIGTERM")
        const second = yield* startHub(file)
        assert.strictEqual(second.program.output("stdout"), "")
      })
    )

    it.scoped("user bootstrap -quiet prints the token alone", () =>
      Effect.gen(function* () {
        const { run } = yield* World
        const folder = yield* temporaryFolder
        const ended = yield* run("telahubd", ["user", "bootstrap", "-quiet", "-config", Path.join(folder, "h.yaml")])
        assert.strictEqual(ended.code, 0, ended.stderr)
        assert.match(ended.stdout, /^[0-9a-f]{64}\n$/)
      })
    )

    it.scoped("the agent's fingerprint is the one that clients see", () =>
      Effect.gen(function* () {
        const { run } = yield* World
        const folder = yield* temporaryFolder
        const first = yield* run("telad", ["fingerprint"], { TELA_HOME: folder })
        assert.match(first.stdout, /^SHA256:[A-Za-z0-9+/]{43}\n$/)
        const json: unknown = JSON.parse((yield* run("telad", ["fingerprint", "-json"], { TELA_HOME: folder })).stdout)
        assert.containsSubset(json, { fingerprint: first.stdout.trim() })
      })
    )
  })
})
