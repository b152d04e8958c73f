import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Flags from "../../src/cli/Flags.ts"

const hub = Flags.text({ name: "hub", placeholder: "URL", description: "the hub", env: "TELA_HUB" })
const token = Flags.token({ name: "token", placeholder: "TOKEN", description: "the token", env: "TELA_TOKEN" })
const port = Flags.integer({
  name: "port",
  placeholder: "PORT",
  description: "the port",
  env: "TELAHUBD_PORT",
  least: 0,
  most: 65_535
})
const level = Flags.choice({
  name: "level",
  placeholder: "LEVEL",
  description: "the level",
  choices: ["low", "high"],
  otherwise: "low"
})
const json = Flags.toggle("json", "print JSON")

const withEnv = (env: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env))))

describe("Flags", () => {
  it.effect("a flag wins over its variable", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Flags.decodeFlag(hub, "a"), Option.some("a"))
      assert.deepStrictEqual(yield* Flags.decodeFlag(hub, undefined), Option.some("b"))
    }).pipe(withEnv({ TELA_HUB: "b" }))
  )

  it.effect("neither flag nor variable is no value", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Flags.decodeFlag(hub, undefined), Option.none())
      const error = yield* Effect.flip(Flags.required(hub, Option.none()))
      assert.strictEqual(error.message, "-hub is missing: give -hub URL, or set TELA_HUB")
    }).pipe(withEnv({}))
  )

  it.effect.prop("any text is taken as it is", [FastCheck.string({ minLength: 1, unit: "binary" })], ([text]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Flags.decodeFlag(hub, text), Option.some(text))
      assert.strictEqual(yield* Flags.decodePositional(Flags.argument("name"), text), text)
    }).pipe(withEnv({}))
  )

  it.effect.each(["--hub=x", "--help", "--log-level=none", "-h", "--", "--hub", "--wizard", "-abc"])(
    "takes %s as a value",
    (text) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* Flags.decodeFlag(hub, text), Option.some(text))
        assert.strictEqual(yield* Flags.decodePositional(Flags.argument("name"), text), text)
      }).pipe(withEnv({}))
  )

  it.effect("a secret is redacted and knows where it came from", () =>
    Effect.gen(function* () {
      const given = Option.getOrThrow(yield* Flags.decodeFlag(token, "hunter2"))
      assert.strictEqual(given.source, "-token")
      assert.strictEqual(Redacted.value(given.value), "hunter2")
      assert.notInclude(String(given.value) + JSON.stringify(given), "hunter2")
      const fromEnv = Option.getOrThrow(yield* Flags.decodeFlag(token, undefined))
      assert.strictEqual(fromEnv.source, "TELA_TOKEN")
    }).pipe(withEnv({ TELA_TOKEN: "s" }))
  )

  it.effect("an empty flag is a mistake, an empty variable is none", () =>
    Effect.gen(function* () {
      for (const [flag, says] of [
        [hub, "-hub is empty: give -hub URL, or leave it out"],
        [token, "-token is empty: give -token TOKEN, or leave it out"]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(Flags.decodeFlag<unknown>(flag, ""))).message, says)
        assert.deepStrictEqual(yield* Flags.decodeFlag<unknown>(flag, undefined), Option.none())
      }
    }).pipe(withEnv({ TELA_HUB: "", TELA_TOKEN: "" }))
  )

  it.effect.each(["hunter2\n", "\u001b[Ahunter2", "\u200bhunter2", "hunter2\u0000"])("%j is no token", (text) =>
    Effect.gen(function* () {
      const says = "holds a line break or another character that no token can have; copy it again"
      assert.strictEqual((yield* Effect.flip(Flags.decodeFlag(token, text))).message, `-token ${says}`)
      const variable = Flags.decodeFlag(token, undefined).pipe(withEnv({ TELA_TOKEN: text }))
      assert.strictEqual((yield* Effect.flip(variable)).message, `TELA_TOKEN ${says}`)
    })
  )

  it.effect.each(["70000", "-1", "22abc", "", "1e3", "0x10", " 22"])("refuses port %s", (text) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Flags.decodeFlag(port, text))
      assert.strictEqual(
        error.message,
        `-port is a number from 0 to 65535, not "${text.trim() === "22" ? " 22" : text}"`
      )
    }).pipe(withEnv({}))
  )

  it.effect("names the variable that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Flags.decodeFlag(port, undefined))
      assert.strictEqual(error.message, `TELAHUBD_PORT is a number from 0 to 65535, not "http"`)
    }).pipe(withEnv({ TELAHUBD_PORT: "http" }))
  )

  it.effect("numbers, words and switches", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Flags.decodeFlag(port, "0"), Option.some(0))
      assert.deepStrictEqual(yield* Flags.decodeFlag(port, "65535"), Option.some(65_535))
      assert.strictEqual(yield* Flags.decodeFlag(level, undefined), "low")
      assert.strictEqual(yield* Flags.decodeFlag(level, "high"), "high")
      const error = yield* Effect.flip(Flags.decodeFlag(level, "mid"))
      assert.strictEqual(error.message, `-level is one of low, high, not "mid"`)
      assert.isFalse(yield* Flags.decodeFlag(json, undefined))
      assert.isTrue(yield* Flags.decodeFlag(json, "true"))
      assert.isFalse(yield* Flags.decodeFlag(json, "false"))
    }).pipe(withEnv({}))
  )

  it.effect("a name of one letter", () =>
    Effect.gen(function* () {
      const v = Flags.toggle("v", "say more")
      const n = Flags.integer({ name: "n", placeholder: "COUNT", description: "how many", least: 1, most: 9 })
      assert.isTrue(yield* Flags.decodeFlag(v, "true"))
      assert.isFalse(yield* Flags.decodeFlag(v, "false"))
      assert.isFalse(yield* Flags.decodeFlag(v, undefined))
      assert.deepStrictEqual(yield* Flags.decodeFlag(n, "5"), Option.some(5))
      assert.strictEqual((yield* Effect.flip(Flags.decodeFlag(n, "0"))).message, `-n is a number from 1 to 9, not "0"`)
    }).pipe(withEnv({}))
  )

  it.effect("of several variables the first that is set counts", () =>
    Effect.gen(function* () {
      const either = Flags.secret({ name: "token", placeholder: "TOKEN", description: "", env: ["FIRST", "SECOND"] })
      const sourceOf = (env: Readonly<Record<string, string>>, given?: string) =>
        Effect.map(withEnv(env)(Flags.decodeFlag(either, given)), (found) =>
          Option.getOrUndefined(Option.map(found, ({ source, value }) => [source, Redacted.value(value)]))
        )
      assert.deepStrictEqual(yield* sourceOf({ FIRST: "a", SECOND: "b" }, "c"), ["-token", "c"])
      assert.deepStrictEqual(yield* sourceOf({ FIRST: "a", SECOND: "b" }), ["FIRST", "a"])
      assert.deepStrictEqual(yield* sourceOf({ SECOND: "b" }), ["SECOND", "b"])
      assert.isUndefined(yield* sourceOf({}))
    })
  )
})
