/**
 * "Hub administration", sections Agent and Hub, as the page has them: the real programs, each a process of its own, with the
 * agent there, away, hung, and answering garbage.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import { descendants, isAlive } from "./harness/Memory.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import * as Typed from "./harness/Typed.ts"
import { freePort } from "./harness/Workspace.ts"

const H = "-hub wss://hub.example.com"

/** A hub whose owner has logged in, and where each identity's token is known. */
const world = Effect.gen(function* () {
  const tokens = { owner: HubConfig.token(), agent: HubConfig.token(), alice: HubConfig.token() }
  const hub = yield* Tela.hub({
    identities: {
      owner: { token: tokens.owner, role: "owner" },
      agent: { token: tokens.agent },
      alice: { token: tokens.alice }
    },
    machines: {
      barn: { register: tokens.agent, connect: [tokens.alice] },
      mill: { register: tokens.agent, connect: [tokens.alice] }
    }
  })
  const typed = yield* Typed.make({
    "wss://hub.example.com": hub.url,
    "'<json>'": `'{"displayName": "The barn", "tags": ["lab"]}'`
  })
  yield* typed.run("tela login wss://hub.example.com", { input: `${tokens.owner}\n` })
  return { hub, tokens, typed }
})

const file = (hub: string, token: string, ports: ReadonlyArray<number>, more = "") => `# The agent of the river site.
hub: ${hub}
token: ${token}
machines:
  # By the river.
  - name: barn # as everybody calls it
    ports: [${ports.join(", ")}] # what it offers
${more}`

const mill = `  - name: mill
    ports: [9]
`

/** Writes a telad.yaml as a person would, and starts an agent on it. */
const agentOn = (text: string, machines: ReadonlyArray<string>, args: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    Fs.writeFileSync(Path.join(folder, "telad.yaml"), text, { mode: 0o600 })
    const named = machines.map((name) => ({ name }))
    const agent = yield* Tela.startAgent(folder, named, args)
    return { agent, folder, text: () => Fs.readFileSync(Path.join(folder, "telad.yaml"), "utf8") }
  })

describe("Agent", () => {
  it.scopedLive("every command as it is printed", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const barn = yield* agentOn(file(hub.url, tokens.agent, [22]), ["barn"])

      assert.match(yield* typed.run(`tela admin agent list ${H}`), /^barn +online +v\S+ +SSH +now$/m)

      const config = yield* typed.run(`tela admin agent config -machine barn ${H}`)
      assert.deepStrictEqual(JSON.parse(config), { name: "barn", ports: [22] })
      assert.notInclude(config, tokens.agent)

      assert.strictEqual(
        yield* typed.run(`tela admin agent set -machine barn ${H} '<json>'`),
        'barn: in force:\n  displayName: nothing -> "The barn"\n  tags: nothing -> ["lab"]\n'
      )
      assert.strictEqual(
        barn.text(),
        `${file(hub.url, tokens.agent, [22])}    displayName: The barn\n    tags:\n      - lab\n`
      )
      assert.match(yield* typed.run(`tela machines ${H} -json`), /"displayName": "The barn"/)

      const logs = yield* typed.run(`tela admin agent logs -machine barn ${H}`)
      assert.match(logs, /INFO {2}\[telad\] registered at /)
      assert.match(logs, /action=config-set by=owner/)
      assert.notInclude(logs, tokens.agent)
      const few = yield* typed.run(`tela admin agent logs -machine barn ${H} -n 2`)
      assert.strictEqual(few.trimEnd().split("\n").length, 2)
      yield* typed.run(`tela admin agent logs -machine barn ${H} -n 200`)

      const restarted = yield* typed.run(`tela admin agent restart -machine barn ${H}`)
      const [, seconds] = /^barn: restarting\nbarn: back after (\d+\.\d) s\n$/.exec(restarted) ?? []
      assert.isBelow(Number(seconds), 5)

      // Not from a release: nothing to update from, and that is said, whatever is asked. RemoteUpdate has one that is.
      assert.match(
        yield* typed.run(`tela admin agent channel -machine barn ${H}`),
        /^barn\n.*\n.*\n {2}current version: v\S+\n {2}latest version: {2}unavailable \(.*not installed from a release/
      )
      for (const line of [
        `tela admin agent channel -machine barn ${H} set stable`,
        `tela admin agent channel -machine barn ${H} sources`,
        `tela admin agent channel -machine barn ${H} sources set stable https://dl.example.net`,
        `tela admin agent channel -machine barn ${H} sources remove stable`,
        `tela admin agent update -machine barn ${H}`,
        `tela admin agent update -machine barn ${H} -version v0.9.1`
      ]) {
        const { code, stderr } = yield* typed.fail(line)
        assert.deepStrictEqual([code, stderr.split("\n").length], [1, 2], stderr)
        assert.match(stderr, /^tela: barn: /)
      }
    })
  )

  it.scopedLive("is refused a change that is wrong, with the key; the file stays as it is", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const barn = yield* agentOn(file(hub.url, tokens.agent, [22]), ["barn"])
      const before = barn.text()
      for (const [json, says] of [
        ['{"prots": [22]}', /unknown key "prots"; did you mean "ports"\?/],
        ['{"ports": [22, 70000]}', /ports\[1\]: expected a port from 1 to 65535/],
        ['{"name": "mill"}', /"name" cannot be set from afar/],
        ['{"token": "x"}', /"token" cannot be set from afar/]
      ] as const) {
        const { code, stderr } = yield* typed.fail(`tela admin agent set -machine barn ${H} '${json}'`)
        assert.strictEqual(code, 1)
        assert.match(stderr, says)
      }
      const { code, stderr } = yield* typed.fail(`tela admin agent set -machine barn ${H} '[1]'`)
      assert.strictEqual(code, 2)
      assert.match(stderr, /give a JSON object/)
      assert.strictEqual(barn.text(), before)
    })
  )

  it.scopedLive("that is away, or was never there, is said so at once", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const { agent } = yield* agentOn(file(hub.url, tokens.agent, [22]), ["barn"])
      yield* agent.end("SIGTERM")
      yield* hub.program.expect(/agent left/)
      const lines = [
        "config -machine barn",
        "logs -machine barn",
        "restart -machine barn",
        "update -machine barn -version v0.9.1",
        "channel -machine barn",
        "channel -machine barn set stable",
        "channel -machine barn sources",
        `set -machine barn '{"tags": []}'`
      ]
      const begun = performance.now()
      for (const line of lines) {
        const { code, stderr } = yield* typed.fail(`tela admin agent ${line} ${H}`)
        assert.strictEqual(code, 1)
        assert.match(stderr, /^tela: the agent of barn is not connected; it was last seen \d{4}-\S+Z\n$/)
      }
      assert.isBelow(performance.now() - begun, 25_000)
      assert.match(yield* typed.run(`tela admin agent list ${H}`), /^barn +offline +v\S+ +SSH +\d{4}-/m)
      const { stderr } = yield* typed.fail(`tela admin agent config -machine loft ${H}`)
      assert.match(stderr, /no machine is called "loft"/)
    })
  )

  it.scopedLive("that hangs fails the command after 30 s, and is none the worse when it goes on", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const { agent } = yield* agentOn(file(hub.url, tokens.agent, [22]), ["barn"])
      yield* agent.signal("SIGSTOP")
      const begun = performance.now()
      const failures = yield* Effect.forEach(
        [`config -machine barn ${H}`, `restart -machine barn ${H}`],
        (line) => Program.outcome(typed.command(`tela admin agent ${line}`), "60 seconds"),
        { concurrency: 2 }
      ).pipe(Effect.ensuring(agent.signal("SIGCONT")))
      for (const { code, stderr } of failures) {
        assert.strictEqual(code, 1)
        assert.match(stderr, /^tela: barn: the agent did not answer within 30 s, and what it did is not known\n$/)
      }
      const took = performance.now() - begun
      assert.isAbove(took, 29_000)
      assert.isBelow(took, 45_000)
    })
  )

  it.scopedLive("that answers garbage, or leaves instead, is named as that", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const fake = yield* fakeAgent(hub.url, tokens.agent, "barn")
      const failing = (line: string) => typed.fail(`tela admin agent ${line} -machine barn ${H}`)
      for (const garbage of ['{"ok":"yes"}', "{}", '{"ok":true,"message":[]}']) {
        fake.answer = (requestId) => JSON.stringify({ ...JSON.parse(garbage), type: "mgmt-response", requestId })
        const { code, stderr } = yield* failing("logs")
        assert.strictEqual(code, 1)
        assert.match(stderr, /^tela: barn: the agent answered with something that is no answer/)
      }
      // An answer, but to another question.
      fake.answer = (requestId) =>
        JSON.stringify({
          type: "mgmt-response",
          requestId,
          ok: true,
          payload: { machines: 5, lines: "x", channel: [] }
        })
      for (const line of ["logs", "config", "channel"]) {
        const { code, stderr } = yield* failing(line)
        assert.strictEqual(code, 1)
        assert.match(stderr, /^tela: barn: .*(something else than was asked for)/)
      }
      // What an agent says reaches the terminal as text of one line.
      fake.answer = (requestId) =>
        JSON.stringify({ type: "mgmt-response", requestId, ok: false, message: "\u001b[2Jx\nFORGED" })
      const forged = yield* failing("restart")
      assert.deepStrictEqual(forged.stderr, "tela: barn: ?[2Jx?FORGED\n")
      fake.answer = () => "{ this is no JSON"
      const { code, stderr } = yield* failing("config")
      assert.strictEqual(code, 1)
      assert.match(stderr, /^tela: barn: the agent left before it answered/)
    })
  )

  it.scopedLive("a manage grant on one machine gives nothing on another machine of the same agent", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const both = yield* agentOn(file(hub.url, tokens.agent, [22], mill), ["barn", "mill"])
      const alice = yield* Typed.make({ "wss://hub.example.com": hub.url })
      const as = { env: { TELA_TOKEN: tokens.alice } }
      const { stderr } = yield* alice.fail(`tela admin agent list ${H}`, as)
      assert.match(stderr, /alice may manage no machine; .*the token came from TELA_TOKEN/)
      yield* typed.run(`tela admin access grant alice barn connect,manage ${H}`)

      assert.match(yield* alice.run(`tela admin agent list ${H}`, as), /^barn +online/m)
      assert.notMatch(yield* alice.run(`tela admin agent list ${H}`, as), /mill/)
      assert.notInclude(yield* alice.run(`tela admin agent config -machine barn ${H}`, as), "mill")
      yield* alice.run(`tela admin agent set -machine barn ${H} '{"location": "river"}'`, as)
      const logs = yield* alice.run(`tela admin agent logs -machine barn ${H}`, as)
      assert.include(logs, "machine=barn")
      assert.notInclude(logs, "mill")

      const before = both.text()
      for (const [line, says] of [
        ["config -machine mill", /alice has no manage grant on mill/],
        ["logs -machine mill", /alice has no manage grant on mill/],
        [`set -machine mill '{"tags": ["x"]}'`, /alice has no manage grant on mill/],
        ["restart -machine barn", /touches every machine of this agent, and alice has no manage grant on "mill"/],
        ["update -machine barn", /alice has no manage grant on "mill"/],
        ["channel -machine barn set beta", /alice has no manage grant on "mill"/]
      ] as const) {
        const { code, stderr: said } = yield* alice.fail(`tela admin agent ${line} ${H}`, as)
        assert.strictEqual(code, 1)
        assert.match(said, says)
      }
      assert.strictEqual(both.text(), before)
      assert.isFalse(/restarting/.test(both.agent.output()))
      for (const line of ["tokens list", "hub status", "hub logs", "hub restart"]) {
        const { code } = yield* alice.fail(`tela admin ${line} ${H}`, as)
        assert.strictEqual(code, 1)
      }
    })
  )

  it.scopedLive("that was started from flags has no configuration, and takes the rest", () =>
    Effect.gen(function* () {
      const { tokens, typed } = yield* world
      const agent = yield* Program.start(
        typed.command(`exec telad ${H} -machine barn -ports 22 -token ${tokens.agent}`, { name: "telad" })
      )
      yield* Tela.registered(agent, "barn")
      for (const line of ["config", `set '{"tags": []}'`]) {
        const { stderr } = yield* typed.fail(`tela admin agent ${line} -machine barn ${H}`)
        assert.match(stderr, /was started from flags and has no configuration file/)
      }
      assert.match(yield* typed.run(`tela admin agent restart -machine barn ${H}`), /back after/)
    })
  )
})

/** An agent by hand that answers each request as the test says. */
const fakeAgent = (url: string, token: string, machineName: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly ws: WebSocket; readonly state: { answer: (requestId: string) => string } }, Error>(
        (resume) => {
          const ws = new WebSocket(url)
          const state = {
            answer: (requestId: string) => JSON.stringify({ type: "mgmt-response", requestId, ok: true })
          }
          ws.on("error", (error) => resume(Effect.fail(error)))
          ws.on("open", () => {
            const capabilities = { management: true }
            ws.send(
              JSON.stringify({ type: "register", machineName, agentId: "fake", token, ports: [22], capabilities })
            )
          })
          ws.on("message", (data: Buffer) => {
            const message = JSON.parse(data.toString()) as { readonly type: string; readonly requestId: string }
            if (message.type === "registered") resume(Effect.succeed({ ws, state }))
            if (message.type === "mgmt-request") ws.send(state.answer(message.requestId))
          })
        }
      ),
      ({ ws }) => Effect.sync(() => ws.terminate())
    ),
    ({ state }) => state
  )

describe("a log that is followed", () => {
  it.scopedLive("goes on through a restart of the agent, and ends with Ctrl-C", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      yield* agentOn(file(hub.url, tokens.agent, [22]), ["barn"])
      const follower = yield* Program.start(
        typed.command(`exec tela admin agent logs -machine barn -n 1 -follow ${H}`, { name: "logs", endsOn: "SIGINT" })
      )
      yield* follower.expect(/\n/, { on: "stdout" })
      yield* typed.run(`tela admin agent set -machine barn ${H} '{"location": "river"}'`)
      yield* follower.expect(/configuration changed from afar/, { on: "stdout" })
      const mark = follower.mark("stdout")
      yield* typed.run(`tela admin agent restart -machine barn ${H}`)
      yield* follower.expect(/registered at /, { on: "stdout", from: mark, within: "30 seconds" })
      assert.deepStrictEqual(yield* follower.end("SIGINT"), { code: 0, signal: null })
      const lines = follower.output("stdout").trimEnd().split("\n")
      // Each run of the agent says that it is registered, and both may within one second.
      const others = lines.filter((line) => !/registered at /.test(line))
      assert.strictEqual(new Set(others).size, others.length, "no line twice")
      assert.strictEqual(lines.length - others.length, 2)
    })
  )
})

describe("a restart through the hub", () => {
  const restartedAt = (folder: string) => Fs.readFileSync(Path.join(folder, "telad.key"), "utf8")

  /** Restarts twice; the agent is back each time within 5 s, with the key it had. */
  const twice = (typed: Typed.Typed, folder: string) =>
    Effect.gen(function* () {
      const key = restartedAt(folder)
      for (let i = 0; i < 2; i++) {
        const said = yield* typed.run(`tela admin agent restart -machine barn ${H}`)
        assert.isBelow(Number(/back after (\d+\.\d) s/.exec(said)?.[1]), 5, said)
      }
      assert.strictEqual(restartedAt(folder), key)
    })

  it.scopedLive("brings an agent back that nobody supervises, with its client's pin, and leaves no orphan", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const service = yield* Sockets.serve(Sockets.echo)
      const { agent, folder } = yield* agentOn(file(hub.url, tokens.agent, [service]), ["barn"])
      const client = yield* Tela.connect(hub.url, { machine: "barn", token: tokens.alice })
      yield* twice(typed, folder)
      // The client that had pinned it connects as before.
      const socket = yield* Sockets.open(client.rows[0]?.port ?? 0)
      yield* Sockets.write(socket, Buffer.from("still"))
      assert.strictEqual((yield* Sockets.read(socket, 5)).toString(), "still")

      // The one that was started, which keeps, and the one that serves.
      const children = descendants(agent.pid)
      assert.strictEqual(children.length, 1)
      assert.deepStrictEqual(yield* agent.end("SIGTERM", "20 seconds"), { code: 0, signal: null })
      for (const pid of children) assert.isFalse(isAlive(pid))
    })
  )

  it.scopedLive("brings an agent back that a supervisor starts again, and leaves no orphan", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const folder = yield* temporaryFolder
      Fs.writeFileSync(Path.join(folder, "telad.yaml"), file(hub.url, tokens.agent, [22]), { mode: 0o600 })
      const loop =
        'trap "exit 0" TERM; while telad -config telad.yaml -supervised & wait $!; code=$?; [ $code -eq 75 ]; do echo again; done; exit $code'
      const supervisor = yield* Program.start(typed.command(loop, { name: "supervisor", cwd: folder }))
      yield* Tela.registered(supervisor, "barn")
      yield* twice(typed, folder)
      assert.strictEqual(supervisor.output("stdout"), "again\nagain\n")
      const children = descendants(supervisor.pid)
      assert.strictEqual(children.length, 1)
      for (const pid of children) process.kill(pid, "SIGTERM")
      yield* supervisor.ended
      for (const pid of children) assert.isFalse(isAlive(pid))
    })
  )

  it.scopedLive("is refused while the agent could not start again", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const barn = yield* agentOn(file(hub.url, tokens.agent, [22]), ["barn"])
      Fs.appendFileSync(Path.join(barn.folder, "telad.yaml"), "nonsense: true\n")
      const { stderr } = yield* typed.fail(`tela admin agent restart -machine barn ${H}`)
      assert.match(stderr, /telad\.yaml:\d+:1: unknown key "nonsense".*; mend it first/)
      assert.match(yield* typed.run(`tela admin agent list ${H}`), /^barn +online/m)
    })
  )
})

describe("a configuration that changes under load", () => {
  it.scopedLive("loses no byte of what it does not touch", () =>
    Effect.gen(function* () {
      const { hub, tokens, typed } = yield* world
      const service = yield* Sockets.serve(Sockets.echo)
      const other = yield* Sockets.serve(Sockets.echo)
      const upstream = yield* freePort("127.0.0.1")
      const barn = yield* agentOn(file(hub.url, tokens.agent, [service, other]), ["barn"])
      const client = yield* Tela.connect(hub.url, { machine: "barn", token: tokens.alice, services: 2 })
      const socket = yield* Sockets.open(client.port(`port ${service}`))
      let isOver = false
      const pumping = yield* Effect.fork(
        Effect.gen(function* () {
          let rounds = 0
          while (!isOver) {
            const chunk = Buffer.alloc(32_768, rounds % 251)
            yield* Sockets.write(socket, chunk)
            const back = yield* Sockets.read(socket, chunk.length)
            assert.isTrue(chunk.equals(back))
            rounds++
          }
          return rounds
        })
      )
      const patches = [
        { displayName: "Barn" },
        { hostname: "barn.lan", os: "plan9" },
        { tags: ["a", "b"], location: "river", owner: "kim" },
        { services: [{ port: service, name: "echo", description: "back" }], ports: [other, 9] },
        { ports: [service, 9], services: null },
        { clients: null },
        { target: "127.0.0.1" },
        { gateway: { port: 8080, routes: [{ path: "/", target: other, timeout: "5m" }] } },
        { gateway: { routes: [{ path: "/api", target: other, strip: true, hostHeader: "app.lan" }] } },
        { upstreams: [{ port: upstream, target: `127.0.0.1:${other}`, name: "db", host: "127.0.0.1" }] },
        { gateway: null, upstreams: null },
        { displayName: null, tags: null, location: null, owner: null, hostname: null, os: null }
      ]
      for (const patch of patches) {
        yield* typed.run(`tela admin agent set -machine barn ${H} '${JSON.stringify(patch)}'`)
      }
      isOver = true
      assert.isAbove(yield* pumping, 5)
      for (const comment of ["# The agent of the river site.", "# By the river.", "# as everybody calls it"]) {
        assert.include(barn.text(), comment)
      }
      yield* typed.run(`tela admin agent restart -machine barn ${H}`)
    })
  )
})

describe("Hub", () => {
  /** A hub that was started for the first time, and printed its owner's token. */
  const first: Effect.Effect<
    { readonly hub: Tela.Hub; readonly owner: string; readonly typed: Typed.Typed },
    Program.ProgramFailed,
    Scope.Scope
  > = Effect.gen(function* () {
    const hub = yield* Tela.startHub(Path.join(yield* temporaryFolder, "telahubd.yaml"))
    const owner = /Owner token: (\S+)/.exec(hub.program.output("stdout"))?.[1] ?? ""
    assert.match(owner, /^[0-9a-f]{64}$/)
    const typed = yield* Typed.make({ "wss://hub.example.com": hub.url })
    yield* typed.run("tela login wss://hub.example.com", { input: `${owner}\n` })
    return { hub, owner, typed }
  })

  it.scopedLive("every command as it is printed; the first start's token is in no log", () =>
    Effect.gen(function* () {
      const { hub, owner, typed } = yield* first
      const status = yield* typed.run(`tela admin hub status ${H}`)
      for (const line of [
        /^Version: +v\d/m,
        /^Up since: +\d{4}-\S+Z \(\d+s\)$/m,
        /^Machines: +0 online, 0 known$/m,
        /^Sessions: +0$/m,
        /^Relayed: +0 B$/m,
        /^Memory: +\d+\.\d MB resident/m,
        /^Certificate: +none of its own/m,
        /^Update: +/m
      ]) {
        assert.match(status, line)
      }
      assert.deepInclude(JSON.parse(yield* typed.run(`tela admin hub status ${H} -json`)), { sessions: 0 })

      const logs = yield* typed.run(`tela admin hub logs ${H}`)
      assert.match(logs, /INFO {2}\[telahubd\] listening on /)
      assert.notInclude(logs + (yield* typed.run(`tela admin hub logs ${H} -n 200`)), owner)
      assert.strictEqual(yield* typed.run(`tela admin hub logs ${H} -level error`), "")

      const restarted = yield* typed.run(`tela admin hub restart ${H}`)
      const [, seconds] = /: restarting\n.*: back after (\d+\.\d) s, v\d.*\n$/.exec(restarted) ?? []
      assert.isBelow(Number(seconds), 5, restarted)
      assert.notInclude(yield* typed.run(`tela admin hub logs ${H}`), owner)
      const children = descendants(hub.program.pid)
      assert.strictEqual(children.length, 1)

      // Not from a release: nothing to update from, and that is said, whatever is asked.
      assert.match(yield* typed.run(`tela admin hub channel ${H}`), /latest version: {2}unavailable \(.*not installed/)
      for (const line of [
        `tela admin hub channel set stable ${H}`,
        `tela admin hub channel sources ${H}`,
        `tela admin hub channel sources set stable https://dl.example.net ${H}`,
        `tela admin hub channel sources remove stable ${H}`,
        `tela admin hub update ${H}`,
        `tela admin hub update ${H} -version v0.9.1`
      ]) {
        const { code, stderr } = yield* typed.fail(line)
        assert.deepStrictEqual([code, stderr.split("\n").length], [1, 2], stderr)
      }

      assert.deepStrictEqual(yield* hub.program.end("SIGTERM"), { code: 0, signal: null })
      for (const pid of children) assert.isFalse(isAlive(pid))
    })
  )
})
