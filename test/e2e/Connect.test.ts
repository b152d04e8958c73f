import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import { freePort } from "./harness/Workspace.ts"
import * as World from "./harness/World.ts"

/** A service that says its name to everybody. */
const named = (name: string, host?: string, port?: number) =>
  Sockets.serve((socket) => socket.end(`${name}\n`), host, port)

const nameAt = (port: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* Sockets.open(port)
      return (yield* Sockets.readToEnd(socket)).toString()
    })
  )

/** Asked for a port of web-01 that is not offered, the client binds nothing, says what is offered, and fails. */
const assertNotOffered = (world: World.World, token: string, remote: number, offered: string) =>
  Effect.gen(function* () {
    const local = yield* freePort()
    const args = ["-ports", `${local}:${remote}`]
    const command = Tela.connectCommand(world.hub.url, yield* temporaryFolder, { machine: "web-01", token, args })
    const { code, stderr, stdout } = yield* Program.outcome(command)
    assert.strictEqual(code, 1)
    assert.strictEqual(stdout, "")
    assert.include(stderr, `does not offer you port ${remote}; it offers ${offered}`)
  })

describe("what tela connect prints", () => {
  it.scopedLive("is exactly the table of the handbook", () =>
    Effect.gen(function* () {
      // another loopback address stands for another machine, so that 22 and 5432 can be its ports
      const world = yield* World.make([
        { name: "web-01", target: "127.0.0.2", services: [{ port: 22 }, { port: 5432 }, { port: 9999, name: "admin" }] }
      ])
      const client = yield* world.connect("web-01", { services: 3 })

      const [ssh = 0, database = 0, admin = 0] = client.rows.map(({ port }) => port)
      // each at its own port, or moved by 10000 and more where that is taken
      for (const [own, port] of [
        [22, ssh],
        [5432, database],
        [9999, admin]
      ] as const) {
        assert.isTrue(port === own || port >= own + 10_000, `${own} at ${port}`)
      }
      const address = (port: number) => `localhost:${port}`
      const width = Math.max(...[ssh, database, admin].map((port) => address(port).length))
      assert.strictEqual(
        client.table,
        [
          "Services available:",
          `  ${address(ssh).padEnd(width)}  → SSH          (web-01)`,
          `  ${address(database).padEnd(width)}  → port 5432    (web-01)`,
          `  ${address(admin).padEnd(width)}  → admin        (web-01)`,
          ""
        ].join("\n")
      )
      // and nothing but that goes to stdout
      assert.strictEqual(client.program.output("stdout"), client.table)
    })
  )

  it.scopedLive("Ctrl-C ends it cleanly: it says so, frees its ports and exits 0", () =>
    Effect.gen(function* () {
      const port = yield* Sockets.serve(Sockets.echo)
      const world = yield* World.make([{ name: "web-01", services: [{ port, name: "echo" }] }])
      const client = yield* world.connect("web-01")
      const socket = yield* Sockets.open(client.port("echo"))
      yield* Sockets.write(socket, Buffer.from("x"))
      yield* Sockets.read(socket, 1)

      const before = client.program.mark("stderr")
      const { code } = yield* client.program.end("SIGINT")
      assert.strictEqual(code, 0)
      assert.match(client.program.output("stderr").slice(before), /closed/i)
      assert.strictEqual(yield* Sockets.closeOf(socket), "reset")
      const again = yield* Sockets.serve(Sockets.echo, "127.0.0.1", client.port("echo"))
      assert.strictEqual(again, client.port("echo"))
    })
  )
})

describe("which services are bound", () => {
  it.scopedLive("-services takes names, whatever their case, and -ports takes local:remote", () =>
    Effect.gen(function* () {
      const one = yield* named("one")
      const two = yield* named("two")
      const world = yield* World.make([
        {
          name: "web-01",
          services: [
            { port: one, name: "One" },
            { port: two, name: "Two" }
          ]
        }
      ])
      const byName = yield* world.connect("web-01", { args: ["-services", "TWO"] })
      assert.deepStrictEqual(
        byName.rows.map(({ service }) => service),
        ["Two"]
      )
      assert.strictEqual(yield* nameAt(byName.port("Two")), "two\n")

      const local = yield* freePort()
      const byPort = yield* world.connect("web-01", { args: ["-ports", `${local}:${one}`] })
      assert.deepStrictEqual(byPort.rows, [{ port: local, service: "One", machine: "web-01" }])
      assert.strictEqual(yield* nameAt(local), "one\n")
    })
  )

  it.scopedLive("an unknown service is an error that lists the choices, and binds nothing", () =>
    Effect.gen(function* () {
      const port = yield* named("one")
      const world = yield* World.make([{ name: "web-01", services: [{ port, name: "One" }] }])
      const command = Tela.connectCommand(world.hub.url, yield* temporaryFolder, {
        machine: "web-01",
        token: world.alice,
        args: ["-services", "Three"]
      })
      const { code, stdout, stderr } = yield* Program.outcome(command)
      assert.strictEqual(code, 1)
      assert.strictEqual(stdout, "")
      assert.match(stderr, /Three.*One/s)
    })
  )

  it.scopedLive("two machines of one agent are two machines", () =>
    Effect.gen(function* () {
      const one = yield* named("I am web-01")
      const two = yield* named("I am web-02")
      const world = yield* World.make([
        { name: "web-01", services: [{ port: one, name: "who" }] },
        { name: "web-02", services: [{ port: two, name: "who" }] }
      ])
      const first = yield* world.connect("web-01")
      const second = yield* world.connect("web-02")
      assert.strictEqual(yield* nameAt(first.port("who")), "I am web-01\n")
      assert.strictEqual(yield* nameAt(second.port("who")), "I am web-02\n")
      assert.deepStrictEqual(
        [...first.rows, ...second.rows].map(({ machine }) => machine),
        ["web-01", "web-02"]
      )
    })
  )

  it.scopedLive("Pattern B: the agent reaches a target on another address", () =>
    Effect.gen(function* () {
      const port = yield* named("the target", "127.0.0.2")
      const decoy = yield* Effect.option(named("the agent itself", "127.0.0.1", port))
      const world = yield* World.make([{ name: "db-01", target: "127.0.0.2", services: [{ port, name: "who" }] }])
      const client = yield* world.connect("db-01")
      assert.strictEqual(decoy._tag, "Some")
      assert.strictEqual(yield* nameAt(client.port("who")), "the target\n")
    })
  )

  it.scopedLive("flags alone start an agent too, and name its services", () =>
    Effect.gen(function* () {
      const port = yield* named("by flags", "127.0.0.2")
      const world = yield* World.make([{ name: "other", ports: [port] }])
      const home = yield* temporaryFolder
      const agent = yield* Program.start({
        name: "telad with flags",
        command: Tela.bin("telad"),
        args: `-hub ${world.hub.url} -machine barn -ports ${port}:who -target-host 127.0.0.2 -token ${world.owner}`.split(
          " "
        ),
        env: { HOME: home, TELA_HOME: home }
      })
      yield* Tela.registered(agent, "barn")
      const client = yield* Tela.connect(world.hub.url, { machine: "barn", token: world.owner })
      assert.strictEqual(yield* nameAt(client.port("who")), "by flags\n")
    })
  )
})

describe("what a grant allows", () => {
  it.scopedLive("a grant for one service shows that one only, and no other port opens", () =>
    Effect.gen(function* () {
      const open = yield* named("open")
      const secret = yield* named("secret")
      const world = yield* World.make(
        [
          {
            name: "web-01",
            services: [
              { port: open, name: "Open" },
              { port: secret, name: "Secret" }
            ]
          }
        ],
        { limited: { "web-01": ["open"] } }
      )
      const client = yield* world.connect("web-01")
      assert.deepStrictEqual(
        client.rows.map(({ service }) => service),
        ["Open"]
      )
      assert.strictEqual(yield* nameAt(client.port("Open")), "open\n")

      yield* assertNotOffered(world, world.alice, secret, `Open:${open}`)
    })
  )

  it.scopedLive("a port that the agent does not expose is denied, whoever asks", () =>
    Effect.gen(function* () {
      const exposed = yield* named("exposed")
      const hidden = yield* named("hidden")
      const world = yield* World.make([{ name: "web-01", ports: [exposed] }])
      yield* assertNotOffered(world, world.owner, hidden, `port ${exposed}:${exposed}`)
    })
  )

  it.scopedLive("a wrong token and a machine without a grant are refused, and the error says so once", () =>
    Effect.gen(function* () {
      const port = yield* named("one")
      const world = yield* World.make([{ name: "web-01", ports: [port] }])
      const home = yield* temporaryFolder
      for (const options of [
        { machine: "web-01", token: "0".repeat(64) },
        { machine: "web-01", token: world.agentToken },
        { machine: "web-99", token: world.alice }
      ]) {
        const { code, stderr, stdout } = yield* Program.outcome(Tela.connectCommand(world.hub.url, home, options))
        assert.strictEqual(code, 1)
        assert.strictEqual(stdout, "")
        assert.match(stderr, /access denied|invalid token|not found/i)
        assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
        assert.notInclude(stderr, options.token)
      }
    })
  )
})
