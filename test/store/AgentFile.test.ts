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
      assert.include(warnings[0], `"update" is not served`)
      assert.notInclude(JSON.stringify(config), "default")
    })
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
