import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Port } from "../../src/protocol/Service.ts"
import * as AgentFile from "../../src/store/AgentFile.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const load = (text: string, env = {}) =>
  Effect.gen(function* () {
    const file = Path.join(yield* temporaryFolder, "telad.yaml")
    yield* Effect.promise(() => Fs.writeFile(file, text, { mode: 0o600 }))
    return yield* Effect.mapError(AgentFile.load(file, env), (error) => error.message.replace(file, "telad.yaml"))
  }).pipe(Effect.scoped)

const token = (machine: AgentFile.MachineConfig | undefined) => machine?.token && Redacted.value(machine.token)

describe("AgentFile", () => {
  it.effect("reads a gateway's file with everything in it", () =>
    Effect.gen(function* () {
      const { config, warnings } = yield* load(`
hub: wss://hub.example.net
token: default
update: { channel: dev }
clients:
  - { key: "SHA256:${"A".repeat(43)}", name: kim }
machines:
  - name: lab-pi
    displayName: Lab Pi
    hostname: pi4
    os: linux
    tags: [lab]
    location: attic
    owner: kim
    target: 10.0.0.7
    token: own
    ports: [22, 9000, 22]
    services: [{ port: 22, name: Shell, description: "a: shell" }]
    clients: [{ key: ${"ab".repeat(32)}, name: lee, services: [Shell, 9000] }]
    shares: [{ name: docs, path: /srv/docs }]
  - name: plain
    ports: [80]
`)
      const [pi, plain] = config.machines
      assert.strictEqual(config.hub, "wss://hub.example.net")
      assert.strictEqual(token(pi), "own")
      assert.strictEqual(token(plain), "default")
      assert.strictEqual(pi?.target, "10.0.0.7")
      assert.strictEqual(plain?.target, "127.0.0.1")
      assert.deepStrictEqual(pi?.services, [
        { port: 22, proto: "tcp", name: "Shell", description: "a: shell" },
        { port: 9000, proto: "tcp", name: "", description: "" }
      ])
      assert.deepStrictEqual(pi?.clients, [{ key: "ab".repeat(32), name: "lee", services: ["Shell", "9000"] }])
      assert.deepStrictEqual(plain?.clients, [{ key: `SHA256:${"A".repeat(43)}`, name: "kim", services: undefined }])
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], `"machines[0].shares" is not served`)
      assert.notInclude(JSON.stringify(config), "default")
    })
  )

  it.effect("reads a gateway and upstreams; the gateway is a service, and may be the only one", () =>
    Effect.gen(function* () {
      const { config, warnings } = yield* load(`
hub: ws://h
machines:
  - name: a
    gateway:
      port: 8080
      routes:
        - { path: /api/, target: 4000, timeout: 5m, hostHeader: app.lan }
        - { path: /, target: 3000, strip: true }
    upstreams:
      - { port: 5432, target: "db.lan:5433", name: db }
      - { port: 6379, target: "[fd00::7]:6379", host: 0.0.0.0 }
  - { name: b, ports: [22], gateway: { port: 8080, routes: [{ path: /x, target: 1 }] }, upstreams: [] }
`)
      assert.deepStrictEqual(warnings, [])
      const [a, b] = config.machines
      const gateway = { port: 8080, proto: "http", name: "gateway", description: "Path-based reverse proxy" }
      assert.deepStrictEqual(a?.services, [gateway])
      assert.deepStrictEqual(b?.services, [{ port: 22, proto: "tcp", name: "", description: "" }, gateway])
      assert.deepStrictEqual(a?.gateway, {
        port: 8080,
        routes: [
          { path: "/api/", target: 4000, strip: false, timeout: 300_000, hostHeader: "app.lan" },
          { path: "/", target: 3000, strip: true, timeout: 60_000 }
        ]
      })
      assert.deepStrictEqual(a?.upstreams, [
        { name: "db", host: undefined, port: 5432, target: { host: "db.lan", port: 5433 } },
        { name: "", host: "0.0.0.0", port: 6379, target: { host: "fd00::7", port: 6379 } }
      ])
      assert.deepStrictEqual(b?.upstreams, [])
    })
  )

  const gateway = (text: string) => `hub: ws://h\nmachines:\n  - name: a\n    ports: [22]\n    gateway: ${text}\n`
  const routes = (...list: ReadonlyArray<string>) => gateway(`{ port: 80, routes: [${list.join(", ")}] }`)
  const upstreams = (...list: ReadonlyArray<string>) =>
    `hub: ws://h\nmachines:\n  - name: a\n    ports: [22]\n    upstreams:\n${list.map((each) => `      - ${each}\n`).join("")}`

  it.effect.each([
    [gateway("{ routes: [{ path: /, target: 1 }] }"), /^telad\.yaml:5:5: machines\[0\]\.gateway\.port is missing$/],
    [
      gateway("{ port: 80, routes: [] }"),
      /^telad\.yaml:5:26: .*expected a list of 1 to 256 routes, each with path and target, got a list/
    ],
    [gateway("{ port: 22, routes: [{ path: /, target: 1 }] }"), /^telad\.yaml:5:16: port 22 is exposed too; give the/],
    [gateway("{ port: 80, route: [] }"), /unknown key "route"; did you mean "routes"\?/],
    [routes("{ path: /, taget: 1 }"), /unknown key "taget"; did you mean "target"\?/],
    [routes("{ path: /, target: 0 }"), /routes\[0\]\.target: expected a port from 1 to 65535, got 0/],
    [routes("{ path: /, target: 1, strip: maybe }"), /routes\[0\]\.strip: expected a boolean, got "maybe"/],
    [routes("{ path: /, target: 1, timeout: 2h }"), /routes\[0\]\.timeout: expected a duration up to 60m/],
    [routes("{ path: /, target: 1, hostHeader: 'a b' }"), /hostHeader: expected a host such as app\.lan/],
    [routes("{ path: /api, target: 1 }", "{ path: /api/, target: 2 }"), /:5:64: path \/api\/ has two routes; keep one/],
    [upstreams("{ port: 1, target: db.lan }"), /^telad\.yaml:6:20: .*expected a host and a port, such as db\.lan:5432/],
    [upstreams("{ port: 1, target: 'db.lan:0' }"), /expected a host and a port/],
    [upstreams("{ port: 1, target: 'db.lan:2', bind: x }"), /unknown key "bind"/],
    [upstreams("{ port: 1, target: 'db.lan:2', hots: x }"), /unknown key "hots"; did you mean "host"\?/],
    [upstreams("{ port: 1, target: 'localhost:1' }"), /:6:20: the upstream on port 1 leads to itself/],
    [upstreams("{ port: 1, target: '127.0.0.1:1', host: 0.0.0.0 }"), /leads to itself/],
    [
      upstreams("{ port: 1, target: 'a:2' }", "{ port: 1, target: 'b:2' }"),
      /^telad\.yaml:7:11: port 1 has two upstreams/
    ]
  ] as const)("refuses what cannot be a gateway or an upstream: %j", ([text, expected]) =>
    Effect.gen(function* () {
      assert.match(yield* Effect.flip(load(text)), expected)
    })
  )

  it.effect.each(["api", "/a?b", "/a#b", "/a b", "/a//b", "/a/../b", "/..", "/./a", "/\u00e9", "/<x>", "//"])(
    "refuses %j as a route's path",
    (path) =>
      Effect.gen(function* () {
        const message = yield* Effect.flip(load(routes(`{ path: ${JSON.stringify(path)}, target: 1 }`)))
        assert.match(message, /routes\[0\]\.path: expected a path such as \/api, without query/)
      })
  )

  it.effect.each(["/", "/api", "/api/", "/a.b/..c/...", "/.well-known/x", "/a%20b/~c/d:e@f"])(
    "takes %j as a route's path",
    (path) => Effect.asVoid(load(routes(`{ path: ${JSON.stringify(path)}, target: 1 }`)))
  )

  it.effect("takes TELA_TOKEN when the file has none", () =>
    Effect.gen(function* () {
      const text = "hub: ws://h\nmachines: [{ name: a, ports: [1] }]\n"
      assert.strictEqual(token((yield* load(text, { TELA_TOKEN: "env" })).config.machines[0]), "env")
      assert.isUndefined((yield* load(text)).config.machines[0]?.token)
      const { config } = yield* load(`token: file\n${text}`, { TELA_TOKEN: "env" })
      assert.strictEqual(token(config.machines[0]), "file")
    })
  )

  it.effect("warns of a file that others can read", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = Path.join(yield* temporaryFolder, "telad.yaml")
        yield* Effect.promise(() =>
          Fs.writeFile(file, "hub: ws://h\nmachines: [{ name: a, ports: [1] }]\n", { mode: 0o644 })
        )
        assert.include((yield* AgentFile.load(file, {})).warnings[0], `chmod 600 ${file}`)
      })
    )
  )

  it.effect.each([
    ["machines: []\n", "telad.yaml:1:1: hub is missing; write hub: wss://hub.example.com"],
    ["hub: a hub\n", /^telad\.yaml:1:1: "a hub" is no hub address; write it as wss:/],
    ["hub: ftp://h\nmachines: []\n", /^telad\.yaml:1:1: "ftp:\/\/h" is no hub address; write it as wss:/],
    ["hub: ws://h\n", /no machine is listed/],
    ["hub: ws://h\nmachines:\n  - name: a\n", /^telad\.yaml:3:5: machine "a" exposes nothing/],
    [
      "hub: ws://h\nmachines:\n  - { name: a, ports: [1] }\n  - { name: a, ports: [2] }\n",
      `telad.yaml:4:7: machine "a" is listed twice`
    ],
    [
      "hub: ws://h\nmachines: [{ name: a, ports: [0] }]\n",
      /machines\[0\]\.ports\[0\]: expected a port from 1 to 65535, got 0/
    ],
    ["hub: ws://h\nmachines: [{ name: a b, ports: [1] }]\n", /expected a name of at most 128 characters/],
    ["hub: ws://h\nmachines: [{ name: a, prots: [1] }]\n", /unknown key "prots"; did you mean "ports"\?/],
    ["hub: ws://h\nmachines: [{ name: a, ports: [1], tokn: x }]\n", /unknown key "tokn"; did you mean "token"\?/],
    [
      "hub: ws://h\nmachines: [{ name: a, services: [{ port: 1 }, { port: 1 }] }]\n",
      /port 1 has two services; keep one/
    ],
    ["hub: ws://h\nmachines: [{ name: a, ports: [1], clients: [{ key: nope }] }]\n", /a client's public key/],
    ["hub: ws://h\n\tmachines: []\n", /^telad\.yaml:2:1: /]
  ] as const)("refuses with the place and the way out: %j", ([text, expected]) =>
    Effect.gen(function* () {
      const message = yield* Effect.flip(load(text))
      if (typeof expected === "string") assert.strictEqual(message, expected)
      else assert.match(message, expected)
      assert.notInclude(message, "\n")
    })
  )

  describe("flags", () => {
    const flags = { hub: "wss://h", machine: "barn", token: undefined, targetHost: undefined }

    it("makes one machine", () => {
      const config = Either.getOrThrow(AgentFile.fromFlags({ ...flags, ports: "22:SSH, 5432 ,80:web:a: b" }))
      assert.strictEqual(config.machines.length, 1)
      assert.deepStrictEqual(config.machines[0]?.services, [
        { port: 22, proto: "tcp", name: "SSH", description: "" },
        { port: 5432, proto: "tcp", name: "", description: "" },
        { port: 80, proto: "tcp", name: "web", description: "a: b" }
      ])
      assert.strictEqual(config.machines[0]?.target, "127.0.0.1")
    })

    it.each([
      [{ ports: "22,abc" }, /"abc" does not begin with a port/],
      [{ ports: "" }, /"" does not begin/],
      [{ ports: "22abc" }, /"22abc"/],
      [{ ports: "70000:x" }, /"70000:x"/],
      [{ ports: "22,22:SSH" }, /port 22 is given twice/],
      [{ ports: "1", hub: "ftp://h" }, /^-hub: "ftp:\/\/h" is no hub address/],
      [{ ports: "1", machine: "a/b" }, /^-machine: "a\/b" is no name/]
    ])("refuses %j", (given, expected) => {
      const result = AgentFile.fromFlags({ ...flags, ...given })
      assert.match(Either.isLeft(result) ? result.left.message : "accepted", expected)
    })

    const Word = Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9 _-]{0,8}$/))
    const Specs = Schema.Array(Schema.Struct({ port: Port, name: Word, description: Word })).pipe(
      Schema.minItems(1),
      Schema.maxItems(5),
      Schema.filter((specs) => new Set(specs.map((spec) => spec.port)).size === specs.length)
    )
    it.prop("parses what it would print", [Arbitrary.make(Specs)], ([specs]) => {
      const text = specs.map(({ description, name, port }) => `${port}:${name}:${description}`).join(",")
      assert.deepStrictEqual(
        Either.getOrThrow(AgentFile.parsePorts(text)),
        specs.map(({ description, name, port }) => ({
          port,
          proto: "tcp",
          name: name.trim(),
          description: description.trim()
        }))
      )
    })
  })
})
