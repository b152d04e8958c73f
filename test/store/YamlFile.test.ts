import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Port } from "../../src/protocol/Service.ts"
import * as YamlFile from "../../src/store/YamlFile.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const Machine = Schema.Struct({
  name: Schema.String,
  ports: YamlFile.optionalOr(Schema.Array(Port), []),
  token: YamlFile.optional(Schema.String)
})
const Config = Schema.Struct({
  hub: Schema.String,
  target: YamlFile.optional(Schema.String),
  machines: YamlFile.optionalOr(Schema.Array(Machine), []),
  clients: YamlFile.optional(
    Schema.Array(
      Schema.Union(Schema.String, Schema.Struct({ id: Schema.String, services: Schema.Array(Schema.String) }))
    )
  )
})
const options = { schema: Config, notServed: ["update", "machines.*.shares"] }

const problem = (text: string) =>
  Either.match(YamlFile.decode("t.yaml", text, options), {
    onLeft: (error) => error.message,
    onRight: () => "no error"
  })

describe("YamlFile", () => {
  it("decodes, and counts a key with nothing behind it as absent", () => {
    const loaded = Either.getOrThrow(YamlFile.decode("t.yaml", "# note\nhub: wss://h\ntarget:\nmachines:\n", options))
    assert.deepStrictEqual({ ...loaded.value }, { hub: "wss://h", machines: [] })
    assert.deepStrictEqual(loaded.warnings, [])
  })

  it.each([
    ["hub: wss://h\nmachine: []\n", `t.yaml:2:1: unknown key "machine"; did you mean "machines"?`],
    [
      "hub: wss://h\nmachines:\n  - name: a\n    prots: [1]\n",
      `t.yaml:4:5: unknown key "prots"; did you mean "ports"?`
    ],
    ["hub: wss://h\nmachines:\n  - name: a\n    share: x\n", `t.yaml:4:5: unknown key "share"; did you mean "shares"?`],
    ["hub: wss://h\nzzzzzzzz: 1\n", `t.yaml:2:1: unknown key "zzzzzzzz"`],
    [
      "hub: wss://h\nmachines:\n  - name: a\n    ports: [22, 70000]\n",
      "t.yaml:4:17: machines[0].ports[1]: expected a port from 1 to 65535, got 70000"
    ],
    ["machines: []\n", "t.yaml:1:1: hub is missing"],
    ["hub: wss://h\nmachines:\n  - ports: [1]\n", "t.yaml:3:5: machines[0].name is missing"],
    ["hub: [\n", "t.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ]"],
    ["hub: a\nhub: b\n", "t.yaml:2:1: Map keys must be unique"],
    ["- 1\n", "t.yaml:1:1: the file: expected a map, got a list"],
    ["hub: h\nclients: [{ id: a, services: [1] }]\n", "t.yaml:2:31: clients[0].services[0]: expected a string, got 1"],
    [
      "hub: h\nmachines: [{ name: a, token: 123456 }]\n",
      "t.yaml:2:23: machines[0].token: expected a string, got a number"
    ]
  ])("says where and what is wrong: %j", (text, expected) => {
    assert.strictEqual(problem(text), expected)
  })

  it("warns of keys that are not served yet", () => {
    const text = "hub: wss://h\nupdate: { channel: dev }\nmachines:\n  - name: a\n    shares: []\n"
    const { value, warnings } = Either.getOrThrow(YamlFile.decode("t.yaml", text, options))
    assert.strictEqual(value.machines[0]?.name, "a")
    assert.deepStrictEqual(warnings, [
      `t.yaml:2:1: "update" is not served by this version and has no effect`,
      `t.yaml:5:5: "machines[0].shares" is not served by this version and has no effect`
    ])
  })

  it("places an error that only the reader can find", () => {
    const loaded = Either.getOrThrow(YamlFile.decode("t.yaml", "hub: wss://h\nmachines:\n  - name: a\n", options))
    assert.strictEqual(loaded.problemAt(["machines", 0, "name"], "twice").message, "t.yaml:3:5: twice")
  })

  it.scoped("reads from disk: missing, too large, and readable by others", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "t.yaml")
      assert.strictEqual((yield* Effect.flip(YamlFile.read(file, options)))._tag, "YamlFileMissing")
      yield* Effect.promise(() => Fs.writeFile(file, "hub: wss://h\n", { mode: 0o644 }))
      const loaded = yield* YamlFile.read(file, { ...options, secrets: true })
      assert.match(loaded.warnings[0] ?? "", /chmod 600/)
      const error = yield* Effect.flip(YamlFile.read(file, { ...options, maxBytes: 5 }))
      assert.strictEqual(error.message, `${file}: larger than 5 bytes`)
    })
  )
})
