/** What an agent does when a hub asks: over a hub in memory, whatever that one would permit. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import type { ManagementOptions } from "../../src/agent/Management.ts"
import * as Session from "../../src/client/Session.ts"
import * as Control from "../../src/protocol/Control.ts"
import {
  CONFIG_APPLY_TIMEOUT,
  LOG_GATHER,
  LOG_WAIT,
  MANAGE_PENDING_PER_AGENT,
  MESSAGE_BYTES,
  RECONNECT_BASE,
  REGISTER_TEXT_CHARACTERS
} from "../../src/protocol/Limits.ts"
import * as AgentFile from "../../src/store/AgentFile.ts"
import * as AgentSettings from "../../src/store/AgentSettings.ts"
import { actions } from "../../src/protocol/Management.ts"
import { layerUnavailable, Updater } from "../../src/system/release/Updater.ts"
import { RestartRefused } from "../../src/system/Restart.ts"
import * as Log from "../../src/telemetry/Log.ts"
import * as LogRing from "../../src/telemetry/LogRing.ts"
import type { ByteStream, ByteStreamHandlers } from "../../src/transport/ByteStream.ts"
import { collect } from "../support/collect.ts"
import { agent, client, machine } from "../support/ends.ts"
import * as MemoryHub from "../support/MemoryHub.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Sockets from "../e2e/harness/Sockets.ts"
import { freePort } from "../e2e/harness/Workspace.ts"

const text = `hub: wss://hub.example.com
token: agent-token
machines:
  - name: barn # by the river
    ports: [22]
    services:
      - { port: 5432, name: db } # postgres
    displayName: Barn
  - name: mill
    ports: [80]
`

/** A service that sends everything back, and where it was reached. */
const echo = () => {
  const reached: Array<string> = []
  const reach = ({ host, port }: { readonly host: string; readonly port: number }): Effect.Effect<ByteStream> =>
    Effect.sync(() => {
      reached.push(`${host}:${port}`)
      let handlers: ByteStreamHandlers | undefined
      return {
        write: (chunk) => {
          handlers?.data(chunk)
          return true
        },
        end: () => handlers?.end(),
        reset: (reason) => handlers?.closed(reason),
        pause: () => {},
        resume: () => {},
        attach: (attached) => (handlers = attached)
      }
    })
  return { reach, reached }
}

/** The hub says nothing of this type any more, on the socket that the machine has now. */
const deafenTo = (hub: MemoryHub.MemoryHub, name: string, type: string) => {
  const control = hub.control(name)
  if (control === undefined) return
  const sendText = control.sendText.bind(control)
  control.sendText = (message) => (message.includes(`"type":"${type}"`) ? true : sendText(message))
}

interface Answer {
  readonly ok: unknown
  readonly message: unknown
  readonly payload: unknown
}

/** An agent on a file, registered, and questions to it. */
const managed = (options: { readonly content?: string; readonly more?: ManagementOptions } = {}) =>
  Effect.gen(function* () {
    const { content = text, more = {} } = options
    const file = Path.join(yield* temporaryFolder, "telad.yaml")
    Fs.writeFileSync(file, content, { mode: 0o600 })
    const { config } = yield* AgentFile.load(file, {})
    const hub = yield* MemoryHub.make
    const service = echo()
    const ring = LogRing.make()
    const log = Log.layer({ program: "telad", format: "text", level: "info", write: () => {}, ring })
    const management = { settings: AgentSettings.make(file, {}), log: ring, ...more }
    const running = yield* agent(hub, { machines: config.machines, reach: service.reach, management }).pipe(
      Effect.provide(log)
    )
    for (const { name } of config.machines) yield* running.registered(name)
    const registers = Queue.takeAll(hub.registers)
    const first = [...(yield* registers)]
    let count = 0
    const send = (name: string, action: string, payload?: unknown) => {
      const requestId = `request-${++count}`
      hub.control(name)?.sendText(
        Control.encode({
          type: "mgmt-request",
          requestId,
          action,
          principal: "kim",
          ...(payload !== undefined && { payload })
        })
      )
      return requestId
    }
    const answer = Effect.map(Queue.take(hub.responses), ({ message, ok, payload }): Answer => ({
      ok,
      message,
      payload
    }))
    return {
      hub,
      running,
      first,
      registers,
      ring,
      service,
      send,
      answer,
      ask: (name: string, action: string, payload?: unknown) =>
        Effect.zipRight(
          Effect.sync(() => send(name, action, payload)),
          answer
        ),
      content: () => Fs.readFileSync(file, "utf8"),
      files: () => Fs.readdirSync(Path.dirname(file)).toSorted()
    }
  })

const ok = (message: string | undefined, payload?: unknown): Answer => ({ ok: true, message, payload })
const no = (message: string): Answer => ({ ok: false, message, payload: undefined })

describe("an agent that can be managed", () => {
  it.scoped("says so, and which machines it has; one that cannot says nothing", () =>
    Effect.gen(function* () {
      const { first } = yield* managed()
      assert.strictEqual(first.length, 2)
      for (const { capabilities, machines } of first) {
        assert.deepInclude(capabilities, { management: true, machineManagement: true })
        assert.deepStrictEqual(machines, ["barn", "mill"])
      }
      const hub = yield* MemoryHub.make
      yield* agent(hub)
      const plain = yield* Queue.take(hub.registers)
      assert.notProperty(plain.capabilities, "management")
      assert.notProperty(plain, "machines")
    })
  )

  it.scoped("shows the entry of the machine that is asked about, and no token", () =>
    Effect.gen(function* () {
      const { ask } = yield* managed()
      const { ok: done, payload } = yield* ask("barn", "config-get")
      assert.isTrue(done)
      assert.deepInclude(payload, {
        hub: "wss://hub.example.com",
        machines: [{ name: "barn", ports: [22], services: [{ port: 5432, name: "db" }], displayName: "Barn" }]
      })
      assert.notInclude(JSON.stringify(payload), "agent-token")
      assert.notInclude(JSON.stringify(payload), "mill")
    })
  )

  it.scoped("refuses what it does not know, does not understand, or has not", () =>
    Effect.gen(function* () {
      const { ask, hub } = yield* managed()
      assert.deepStrictEqual(yield* ask("barn", "shutdown"), no("unknown action: shutdown"))
      assert.deepStrictEqual(yield* ask("barn", "toString"), no("unknown action: toString"))
      for (const payload of [[], "x", { fields: 1 }, {}]) {
        assert.match(String((yield* ask("barn", "config-set", payload)).message), /^the payload is not what/)
      }
      assert.match(String((yield* ask("barn", "logs", { lines: "x" })).message), /: lines$/)
      hub
        .control("barn")
        ?.sendText(
          `{"type":"mgmt-request","requestId":"r","action":"logs","payload":${"[".repeat(5_000)}${"]".repeat(5_000)}}`
        )
      const answer = yield* Queue.take(hub.responses)
      assert.deepInclude(answer, { requestId: "r", ok: false, message: "the payload nests too deep" })
      for (const action of ["restart", "update", "update-status", "update-channel", "channel-sources-list"]) {
        assert.match(String((yield* ask("barn", action)).message), /part of another program/)
      }
      const flags = yield* managed({ more: { settings: undefined } })
      assert.deepStrictEqual(
        yield* flags.ask("barn", "config-get"),
        no("this agent was started from flags and has no configuration file")
      )
    })
  )

  it.scoped("tells of a machine only what it logged of that; everything where it is the only one", () =>
    Effect.gen(function* () {
      const { ask, ring } = yield* managed()
      ring.take({ text: "of the mill", level: "info", machine: "mill" })
      ring.take({ text: "of the agent", level: "info", machine: undefined })
      ring.take({ text: "of the barn", level: "warn", machine: "barn" })
      const linesOf = (answer: Answer) => (answer.payload as { readonly lines: ReadonlyArray<string> }).lines
      const barn = linesOf(yield* ask("barn", "logs", { lines: 1_000 }))
      assert.include(barn, "of the barn")
      for (const line of ["of the mill", "of the agent"]) assert.notInclude(barn, line)
      assert.isFalse(barn.some((line) => line.includes("machine=mill")))
      assert.deepStrictEqual(linesOf(yield* ask("barn", "logs", { level: "warn" })), ["of the barn"])
      const only = yield* managed({ content: text.slice(0, text.indexOf("  - name: mill")) })
      only.ring.take({ text: "of the agent", level: "info", machine: undefined })
      assert.include(linesOf(yield* only.ask("barn", "logs")), "of the agent")
    })
  )

  it.scoped("lets a log be followed, and does not log that; a restart still gets through", () =>
    Effect.gen(function* () {
      let restarts = 0
      const restart = Effect.sync(() => void restarts++)
      const { answer, ask, ring, send } = yield* managed({ more: { restart } })
      const { payload } = yield* ask("barn", "logs")
      const { cursor } = payload as { readonly cursor: string }
      const before = ring.read({}).cursor
      for (let i = 0; i < MANAGE_PENDING_PER_AGENT - 1; i++) send("barn", "logs", { after: cursor, wait: LOG_WAIT })
      assert.deepStrictEqual(yield* ask("barn", "restart"), ok("restarting"))
      assert.strictEqual(restarts, 1)
      ring.take({ text: "at last", level: "info", machine: "barn" })
      yield* TestClock.adjust(LOG_GATHER)
      for (let i = 0; i < MANAGE_PENDING_PER_AGENT - 1; i++) {
        const { payload: page } = yield* answer
        assert.include((page as { readonly lines: ReadonlyArray<string> }).lines, "at last")
      }
      const logged = ring.read({ after: before }).lines
      assert.deepStrictEqual(
        logged.filter((line) => line.includes("action=")).map((line) => /action=\S+/.exec(line)?.[0]),
        ["action=restart"]
      )
      assert.match(logged.find((line) => line.includes("action=")) ?? "", /machine=barn .*by=kim/)
    })
  )

  it.scoped("takes so many requests at a time for a machine, and says so", () =>
    Effect.gen(function* () {
      const { answer, ask, send } = yield* managed()
      for (let i = 0; i < MANAGE_PENDING_PER_AGENT; i++)
        send("barn", "logs", { after: "x", wait: LOG_WAIT, level: "error" })
      assert.match(String((yield* ask("barn", "config-get")).message), /wait already/)
      assert.isTrue((yield* ask("mill", "config-get")).ok)
      yield* TestClock.adjust(LOG_WAIT)
      for (let i = 0; i < MANAGE_PENDING_PER_AGENT; i++) assert.isTrue((yield* answer).ok)
      assert.isTrue((yield* ask("barn", "config-get")).ok)
    })
  )

  it.scoped("does not send what the hub would not take", () =>
    Effect.gen(function* () {
      const long = `${text}    tags: [${"x".repeat(200)}]\n`
      const comment = "# y\n"
      const { ask } = yield* managed({ content: long })
      assert.isTrue((yield* ask("mill", "config-get")).ok)
      const large = text.replace("ports: [80]", `ports: [80]\n    location: ${"z".repeat(MESSAGE_BYTES)}\n${comment}`)
      const other = yield* managed({ content: large })
      const answer = yield* other.ask("mill", "config-get")
      assert.match(String(answer.message), /^the answer would have more than/)
    })
  )

  it.scoped("restarts only when it could start again", () =>
    Effect.gen(function* () {
      const refusal = new RestartRefused({ message: "telad.yaml:3:1: no; mend it first" })
      const { ask } = yield* managed({ more: { restart: refusal } })
      assert.deepStrictEqual(yield* ask("barn", "restart"), no(refusal.message))
    })
  )

  it.scoped("hands updates to whoever makes them", () =>
    Effect.gen(function* () {
      const base = Context.get(yield* Layer.build(layerUnavailable("v1.0.0", "not installed from a release")), Updater)
      const asked: Array<unknown> = []
      const updater: Context.Tag.Service<Updater> = {
        ...base,
        update: (request) => {
          asked.push(request)
          return Effect.succeed({ version: "v1.1.0", begun: true, message: "updating to v1.1.0" })
        }
      }
      const { ask } = yield* managed({ more: { updater } })
      assert.deepStrictEqual(
        yield* ask("barn", "update", { version: "v1.1.0" }),
        ok("updating to v1.1.0", { version: "v1.1.0" })
      )
      assert.deepStrictEqual(asked, [{ version: "v1.1.0", channel: undefined, base: undefined }])
      assert.deepInclude((yield* ask("barn", "update-status")).payload, {
        currentVersion: "v1.0.0",
        error: "not installed from a release"
      })
      assert.deepStrictEqual(
        yield* ask("barn", "update-channel", { channel: "beta" }),
        no("not installed from a release")
      )
    })
  )
})

const updating = ["update", "update-channel", "channel-sources-set", "channel-sources-remove"] as const

describe("what the owner forbids in telad.yaml", () => {
  it.scoped.each([
    ["management: true", []],
    ["management: false", actions],
    ["management: { config: false }", ["config-get"]],
    ["management: { set: false }", ["config-set"]],
    ["management: { logs: false }", ["logs"]],
    ["management: { update: false }", updating],
    ["management: { restart: false, update: false }", ["restart", ...updating]],
    [
      "management: { config: false, update: false }",
      ["config-get", "update-status", "channel-sources-list", ...updating]
    ]
  ] as const)("%s", ([line, forbidden]) =>
    Effect.gen(function* () {
      const base = Context.get(yield* Layer.build(layerUnavailable("v1", "no")), Updater)
      const { ask } = yield* managed({ content: `${line}\n${text}`, more: { restart: Effect.void, updater: base } })
      for (const action of actions) {
        const { message } = yield* ask("barn", action, { fields: { tags: ["a"] }, name: "dev" })
        const isForbidden = String(message).startsWith("the owner of this agent forbids it")
        assert.strictEqual(
          isForbidden,
          forbidden.some((each) => each === action),
          action
        )
      }
    })
  )

  it.scoped("for one machine counts for what concerns the whole agent", () =>
    Effect.gen(function* () {
      const { ask } = yield* managed({
        content: `${text}    management: { restart: false, set: false }\n`,
        more: { restart: Effect.void }
      })
      assert.isFalse((yield* ask("barn", "restart")).ok)
      assert.isTrue((yield* ask("barn", "config-set", { fields: { tags: ["a"] } })).ok)
      assert.isFalse((yield* ask("mill", "config-set", { fields: { tags: ["a"] } })).ok)
    })
  )

  it.scoped("cannot be changed from afar; nor can its own list of clients, but with its word", () =>
    Effect.gen(function* () {
      const key = "a".repeat(64)
      const clients = [{ key, name: "kim" }]
      const { ask } = yield* managed()
      assert.match(
        String((yield* ask("barn", "config-set", { fields: { management: true } })).message),
        /^management cannot/
      )
      // A list where there is none only narrows.
      assert.isTrue((yield* ask("barn", "config-set", { fields: { clients } })).ok)
      for (const wider of [null, [...clients, { key: "b".repeat(64) }]]) {
        assert.match(
          String((yield* ask("barn", "config-set", { fields: { clients: wider } })).message),
          /^clients cannot be set/
        )
      }
      const willing = yield* managed({
        content: text.replace("displayName: Barn", `clients: [{key: ${key}}]\n    management: { clients: true }`)
      })
      assert.isTrue((yield* willing.ask("barn", "config-set", { fields: { clients: null } })).ok)
    })
  )
})

describe("the agent's own list of clients", () => {
  const key = "a".repeat(64)
  /** barn with a list that names services, a gateway, and what else is said. */
  const listing = (names: string, more = "") =>
    managed({
      content: `hub: wss://hub.example.com
token: agent-token
machines:
  - name: barn
    ports: [22, 8080]
    services:
      - { port: 5432, name: db }
      - { port: 6379, name: cache }
    gateway: { port: 9000, routes: [{ path: /, target: 3000 }, { path: /api, target: 4000 }] }
    clients:
      - { key: ${key}, name: kim, services: ${names} }
      - { key: ${"b".repeat(64)}, name: ann }
${more}`
    })
  const db = { port: 5432, name: "db" }
  const cache = { port: 6379, name: "cache" }
  const routes = [
    { path: "/", target: 3000 },
    { path: "/api", target: 4000 }
  ]

  type Case = readonly [what: string, names: string, fields: object]

  it.scoped.each<Case>([
    ["another service gets a listed name", "[cache]", { services: [{ ...db, name: "Cache" }] }],
    ["two have it", "[cache]", { services: [{ ...db, name: "cache" }, cache] }],
    ["a listed name that leads nowhere is given away", "[web]", { services: [{ ...db, name: "web" }, cache] }],
    ["a listed port is exposed", "[3306]", { ports: [22, 8080, 3306] }],
    ["a well-known name is", "[HTTP]", { ports: [22, 80] }],
    ["the target is another one", "[ssh]", { target: "10.0.0.9" }],
    [
      "a route of the gateway leads elsewhere",
      "[gateway]",
      { gateway: { port: 9000, routes: [{ path: "/", target: 5432 }] } }
    ],
    ["a route goes, and its path to another one", "[gateway]", { gateway: { port: 9000, routes: routes.slice(0, 1) } }],
    ["a path is stripped", "[9000]", { gateway: { port: 9000, routes: [{ ...routes[0], strip: true }, routes[1]] } }],
    ["something else is called gateway", "[gateway]", { services: [{ ...db, name: "gateway" }], gateway: null }],
    ["an upstream listens where a service would", "[cache]", { upstreams: [{ port: 6379, target: "db.lan:5432" }] }],
    ["an upstream listens where a route leads", "[gateway]", { upstreams: [{ port: 4000, target: "db.lan:5432" }] }]
  ])("is not widened from afar: %s", ([, names, fields]) =>
    Effect.gen(function* () {
      const { ask, content } = yield* listing(names)
      const before = content()
      const { message, ok } = yield* ask("barn", "config-set", { fields })
      assert.isFalse(ok, String(message))
      assert.include(String(message), `${Object.keys(fields).join(", ")} cannot be set so from afar`)
      assert.match(String(message), /lets "kim" use .* would lead elsewhere .* management: \{ clients: true \}$/)
      assert.strictEqual(content(), before)
      // With the owner's word it may be.
      const willing = yield* listing(names, "    management: { clients: true }\n")
      assert.isTrue((yield* willing.ask("barn", "config-set", { fields })).ok)
    })
  )

  it.scoped.each<Case>([
    ["what no name in it means", "[cache]", { services: [{ port: 5433, name: "db" }, cache], ports: [22, 443] }],
    ["another order, and other words", "[cache]", { services: [{ ...cache, description: "Redis" }, db] }],
    ["what a name leads to goes", "[cache, db]", { services: [db] }],
    [
      "how long a target of the gateway has",
      "[gateway]",
      {
        gateway: { port: 9000, routes: [routes[1], { ...routes[0], timeout: "5m" }] }
      }
    ],
    ["a gateway that it does not name", "[cache]", { gateway: { port: 9001, routes: [{ path: "/", target: 5432 }] } }],
    ["an upstream elsewhere", "[cache]", { upstreams: [{ port: 6380, target: "db.lan:5432" }] }],
    ["a target, while it names nothing that is there", "[web]", { target: "10.0.0.9" }]
  ])("does not stand in the way of the rest: %s", ([, names, fields]) =>
    Effect.gen(function* () {
      const { ask } = yield* listing(names)
      const { message, ok } = yield* ask("barn", "config-set", { fields })
      assert.isTrue(ok, String(message))
    })
  )
})

describe("a configuration set from afar", () => {
  /** A client's session with a stream to each of the two services. */
  const standing = Effect.gen(function* () {
    const world = yield* managed()
    const session = yield* Session.open(yield* client(world.hub))
    const open = (port: number) =>
      Effect.map(session.tunnel.open({ port }), (stream) => ({ stream, ...collect(stream) }))
    return { ...world, session, open, ssh: yield* open(22), db: yield* open(5432) }
  })

  const set = (
    world: { readonly ask: (name: string, action: string, payload: unknown) => Effect.Effect<Answer> },
    fields: object
  ) => world.ask("barn", "config-set", { machine: "barn", fields })

  it.scoped("is in the file and at the hub when it is acknowledged, and says what changed", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      const answer = yield* set(world, { displayName: null, tags: ["a"], location: "cellar" })
      assert.deepStrictEqual(
        answer,
        ok("in force", {
          changes: [
            { key: "displayName", from: "Barn" },
            { key: "tags", to: ["a"] },
            { key: "location", to: "cellar" }
          ],
          warnings: []
        })
      )
      const [register, ...rest] = [...(yield* world.registers)]
      assert.deepStrictEqual(rest, [])
      assert.deepInclude(register, {
        machineName: "barn",
        displayName: "",
        tags: ["a"],
        location: "cellar",
        token: "agent-token"
      })
      assert.include(world.content(), "- name: barn # by the river")
      assert.include(world.content(), "location: cellar")
      assert.deepStrictEqual(world.files(), ["telad.yaml", "telad.yaml.previous"])
      assert.deepStrictEqual(
        yield* set(world, { location: "cellar" }),
        ok("nothing to change", { changes: [], warnings: [] })
      )
    })
  )

  it.scoped("says what waits for a restart, or has no effect at all", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      const { payload } = yield* set(world, { shares: [{ name: "docs" }], owner: "kim" })
      const { restart, warnings } = payload as { readonly restart: unknown; readonly warnings: ReadonlyArray<string> }
      assert.deepStrictEqual(restart, ["shares"])
      assert.match(warnings.join(), /shares" is not served by this version/)
      assert.include(world.content(), "shares:")
    })
  )

  it.scoped("leaves streams alone that it does not touch, and ends those that it does", () =>
    Effect.gen(function* () {
      const world = yield* standing
      const { db, open, service, session, ssh } = world
      const still = (what: {
        readonly stream: ByteStream
        readonly bytes: number
        readonly until: (bytes: number) => Effect.Effect<void>
      }) =>
        Effect.suspend(() => {
          const before = what.bytes
          what.stream.write(new Uint8Array(1_000))
          return what.until(before + 1_000)
        })
      // Names, tags and further services: nothing ends.
      assert.isTrue((yield* set(world, { displayName: "The barn", tags: ["a"] })).ok)
      assert.isTrue((yield* set(world, { ports: [22, 80], services: [{ port: 5432, name: "postgres" }] })).ok)
      yield* still(ssh)
      yield* still(db)
      // What came is served in the session that stands.
      yield* still(yield* open(80))
      // What goes is reset; the rest goes on.
      assert.isTrue((yield* set(world, { services: null, ports: [22] })).ok)
      assert.match((yield* db.closed)?.reason ?? "", /may no longer use db/)
      yield* still(ssh)
      assert.match((yield* Effect.flip(session.tunnel.open({ port: 5432 }))).message, /does not expose port 5432/)
      // Another host: what led to the one before ends, and what comes leads to the new one.
      assert.isTrue((yield* set(world, { target: "10.0.0.7" })).ok)
      assert.isDefined(yield* ssh.closed)
      yield* still(yield* open(22))
      assert.strictEqual(service.reached.at(-1), "10.0.0.7:22")
    })
  )

  it.scoped("brings a gateway and takes it away; its port never leads to the target host", () =>
    Effect.gen(function* () {
      const world = yield* standing
      const { open, service, session } = world
      const reachedBefore = service.reached.length
      assert.isTrue((yield* set(world, { gateway: { port: 8080, routes: [{ path: "/", target: 22 }] } })).ok)
      const web = yield* open(8080)
      assert.isTrue((yield* set(world, { gateway: { routes: [{ path: "/api", target: 22 }] }, tags: ["a"] })).ok)
      web.stream.write(Buffer.from("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
      yield* web.ended
      assert.match(Buffer.concat(web.chunks).toString(), /^HTTP\/1\.1 404 /)
      assert.isTrue((yield* set(world, { gateway: { port: 8081 } })).ok)
      assert.match((yield* Effect.flip(session.tunnel.open({ port: 8080 }))).message, /does not expose port 8080/)
      const moved = yield* open(8081)
      assert.isTrue((yield* set(world, { gateway: null })).ok)
      assert.isDefined(yield* moved.closed)
      assert.match((yield* Effect.flip(session.tunnel.open({ port: 8081 }))).message, /does not expose port 8081/)
      assert.strictEqual(service.reached.length, reachedBefore)
    })
  )

  it.scopedLive("brings upstreams and takes them away", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      const target = yield* Sockets.serve(Sockets.echo)
      const port = yield* freePort()
      assert.isTrue((yield* set(world, { upstreams: [{ port, target: `127.0.0.1:${target}` }] })).ok)
      const socket = yield* Sockets.open(port)
      yield* Sockets.write(socket, Buffer.from("there and back"))
      assert.strictEqual((yield* Sockets.read(socket, 14)).toString(), "there and back")
      assert.isTrue((yield* set(world, { upstreams: null })).ok)
      assert.strictEqual(yield* Sockets.closeOf(socket), "reset")
      assert.strictEqual((yield* Effect.exit(Sockets.open(port)))._tag, "Failure")
    })
  )

  it.scoped("keeps out whom its new list of clients does not name", () =>
    Effect.gen(function* () {
      const world = yield* standing
      assert.isTrue((yield* set(world, { clients: [] })).ok)
      assert.isDefined(yield* world.ssh.closed)
      assert.isDefined(yield* world.db.closed)
      assert.isTrue((yield* Effect.exit(world.open(22)))._tag === "Failure")
    })
  )

  it.scoped("changes nothing when it is wrong, and names the key", () =>
    Effect.gen(function* () {
      const world = yield* standing
      for (const [fields, message] of [
        [{ ports: [0] }, /^ports\[0\]: expected a port/],
        [{ prots: [1] }, /^unknown key "prots"/],
        [{ name: "mill" }, /^name cannot be set/],
        [{ displayName: "x".repeat(REGISTER_TEXT_CHARACTERS + 1) }, /displayName has more than/]
      ] as const) {
        assert.match(String((yield* set(world, fields)).message), message)
      }
      assert.match(
        String((yield* world.ask("barn", "config-set", { machine: "mill", fields: { tags: [] } })).message),
        /another machine/
      )
      assert.strictEqual(world.content(), text)
      assert.deepStrictEqual([...(yield* world.registers)], [])
      assert.deepStrictEqual(world.files(), ["telad.yaml"])
    })
  )

  it.scoped("is put back when the hub refuses the machine so, and the machine is back at once", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      world.hub.refuseRegister = ({ tags }) => (tags?.includes("bad") === true ? "register: no such tag" : undefined)
      world.send("barn", "config-set", { fields: { tags: ["bad"] } })
      // The refusal ends the socket; the answer finds nobody.
      const registers: Array<Control.Register> = []
      while (registers.at(-1)?.tags !== undefined || registers.length < 2)
        registers.push(yield* Queue.take(world.hub.registers))
      assert.deepStrictEqual(
        registers.map(({ tags }) => tags),
        [["bad"], undefined]
      )
      yield* world.running.registered("barn")
      assert.strictEqual(world.content(), text)
      assert.deepStrictEqual(world.files(), ["telad.yaml"])
      assert.isTrue((yield* set(world, { tags: ["good"] })).ok)
    })
  )

  it.scoped("is put back when the hub does not answer in time", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      deafenTo(world.hub, "barn", "registered")
      world.send("barn", "config-set", { fields: { tags: ["late"] } })
      assert.deepStrictEqual((yield* Queue.take(world.hub.registers)).tags, ["late"])
      yield* TestClock.adjust(CONFIG_APPLY_TIMEOUT)
      assert.deepStrictEqual((yield* Queue.take(world.hub.registers)).tags, [])
      const { message, ok: done } = yield* world.answer
      assert.isFalse(done)
      assert.match(String(message), /not registered again within 15 s; the configuration of before was put back$/)
      assert.strictEqual(world.content(), text)
    })
  )

  it.scoped("stands when the connection is lost meanwhile, and the machine comes back with it", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      deafenTo(world.hub, "barn", "registered")
      world.send("barn", "config-set", { fields: { tags: ["a"] } })
      assert.deepStrictEqual((yield* Queue.take(world.hub.registers)).tags, ["a"])
      world.hub.cutControl("barn")
      yield* TestClock.adjust(2 * RECONNECT_BASE)
      assert.deepStrictEqual((yield* Queue.take(world.hub.registers)).tags, ["a"])
      yield* world.running.registered("barn")
      // One change waits for the other.
      assert.deepStrictEqual((yield* set(world, {})).message, "nothing to change")
      assert.include(world.content(), "tags:")
      assert.deepStrictEqual(world.files(), ["telad.yaml", "telad.yaml.previous"])
    })
  )

  it.scoped("one after the other, however many come at once", () =>
    Effect.gen(function* () {
      const world = yield* managed()
      for (let i = 0; i < 5; i++) world.send("barn", "config-set", { fields: { tags: [`t${i}`] } })
      for (let i = 0; i < 5; i++) assert.isTrue((yield* world.answer).ok)
      assert.include(world.content(), "tags:\n      - t4")
      assert.deepStrictEqual(
        [...(yield* world.registers)].map(({ tags }) => tags),
        [["t0"], ["t1"], ["t2"], ["t3"], ["t4"]]
      )
    })
  )

  it.scoped("does not bring in, or write, a token", () =>
    Effect.gen(function* () {
      const hub = yield* MemoryHub.make
      const file = Path.join(yield* temporaryFolder, "telad.yaml")
      const bare = "hub: wss://hub.example.com\nmachines:\n  - name: barn\n    ports: [22]\n"
      Fs.writeFileSync(file, bare, { mode: 0o600 })
      // As one whose token is kept by `telad login`.
      const running = yield* agent(hub, {
        machines: [machine({ token: Redacted.make("kept-elsewhere") })],
        management: { settings: AgentSettings.make(file, {}) }
      })
      yield* running.registered("barn")
      yield* Queue.take(hub.registers)
      hub.control("barn")?.sendText(
        Control.encode({
          type: "mgmt-request",
          requestId: "r",
          action: "config-set",
          payload: { fields: { tags: ["a"] } }
        })
      )
      assert.isTrue((yield* Queue.take(hub.responses)).ok)
      assert.strictEqual((yield* Queue.take(hub.registers)).token, "kept-elsewhere")
      assert.notInclude(Fs.readFileSync(file, "utf8"), "token")
    })
  )
})
