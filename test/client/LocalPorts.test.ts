import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as LocalPorts from "../../src/client/LocalPorts.ts"
import { Port } from "../../src/protocol/Service.ts"

const offered = [
  { port: 22, name: "" },
  { port: 5432, name: "db" },
  { port: 9000, name: "" }
]
const choose = (ports: string, services = "") =>
  Either.flatMap(ports === "" ? Either.right([]) : LocalPorts.parsePorts(ports), (pairs) =>
    LocalPorts.choose("barn", offered, { ports: pairs, services: LocalPorts.parseServices(services) })
  )
const pairs = (result: ReturnType<typeof choose>) =>
  Either.getOrThrow(result).map(({ local, service }) => [local, service.port])
const refusal = (result: Either.Either<unknown, string>) => Either.getOrThrow(Either.flip(result))

describe("LocalPorts", () => {
  it.prop(
    "parses what it would print",
    [
      Schema.Array(Schema.Tuple(Port, Schema.UndefinedOr(Port))).pipe(
        Schema.minItems(1),
        Schema.maxItems(6),
        Schema.filter((list) => new Set(list.map(([local]) => local)).size === list.length)
      )
    ],
    ([list]) => {
      const text = list.map(([local, remote]) => (remote === undefined ? ` ${local} ` : `${local}:${remote}`)).join(",")
      assert.deepStrictEqual(
        Either.getOrThrow(LocalPorts.parsePorts(text)),
        list.map(([local, remote = local]) => ({ local, remote }))
      )
    }
  )

  it.prop("takes digits in range and nothing else", [Schema.String.pipe(Schema.maxLength(8))], ([text]) => {
    const valid = text.split(",").every((part) => /^\s*\d{1,5}\s*(:\s*\d{1,5}\s*)?$/.test(part))
    if (!valid) assert.isTrue(Either.isLeft(LocalPorts.parsePorts(text)), text)
  })

  it.each(["", "22abc", "0", "65536", "22:", ":22", "1:2:3", "22,,23", "-1", "2 2", "ssh", "1e3", "0x16"])(
    "refuses %j, naming it",
    (text) => assert.match(refusal(LocalPorts.parsePorts(text)), /^-ports: ".*" is no port; write 22 or 2222:22/)
  )

  it("refuses one local port for two services", () => {
    assert.strictEqual(refusal(LocalPorts.parsePorts("80,8080:81,80:82")), "-ports: local port 80 is given twice")
  })

  it("binds all when nothing is asked for", () => {
    assert.deepStrictEqual(pairs(choose("")), [
      [undefined, 22],
      [undefined, 5432],
      [undefined, 9000]
    ])
  })

  it("binds what is asked for, in both ways, each service once", () => {
    assert.deepStrictEqual(pairs(choose("2222:22")), [[2222, 22]])
    assert.deepStrictEqual(pairs(choose("", "DB, ssh,9000")), [
      [undefined, 5432],
      [undefined, 22],
      [undefined, 9000]
    ])
    assert.deepStrictEqual(pairs(choose("2222:22,2223:22", "SSH,db,db")), [
      [2222, 22],
      [2223, 22],
      [undefined, 5432]
    ])
  })

  it("names the choices when it cannot", () => {
    const choices = "it offers SSH:22, db:5432, port 9000:9000"
    assert.strictEqual(
      refusal(choose("", "sssh")),
      `barn does not offer you a service "sssh"; did you mean "SSH"? ${choices}`
    )
    assert.strictEqual(refusal(choose("", "web")), `barn does not offer you a service "web"; ${choices}`)
    assert.strictEqual(refusal(choose("80")), `barn does not offer you port 80; ${choices}`)
    assert.strictEqual(
      refusal(LocalPorts.choose("barn", [], { ports: [], services: [] })),
      "barn offers no service that you may use"
    )
  })
})
