import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { withoutSecrets } from "../../bin/launch.mjs"
import * as Command from "../../src/cli/Command.ts"
import * as Flags from "../../src/cli/Flags.ts"
import * as Help from "../../src/cli/Help.ts"
import * as HubFlags from "../../src/cli/tela/HubFlags.ts"
import { root as tela } from "../../src/cli/tela/Root.ts"
import { root as telad } from "../../src/cli/telad/Root.ts"
import { root as telahubd } from "../../src/cli/telahubd/Root.ts"
import { Shell } from "../../src/cli/Shell.ts"
import * as LogRing from "../../src/telemetry/LogRing.ts"
import { type } from "./Runs.ts"

interface Entry {
  readonly program: string
  readonly path: ReadonlyArray<string>
  readonly command: Command.Command
}

const entries = (program: string, command: Command.Command, path: ReadonlyArray<string>): ReadonlyArray<Entry> => [
  { program, path, command },
  ...command.subcommands.flatMap((child) => entries(program, child, [...path, child.name]))
]

const programs = [tela, telad, telahubd]
const all = programs.flatMap((root) => entries(root.name, root, []))

describe("Commands", () => {
  it.each(all.map((entry) => [[entry.program, ...entry.path].join(" "), entry] as const))(
    "help of %s fits a screen and shows how",
    (name, { command, path, program }) => {
      const lines = Help.render(command, program, path).split("\n")
      assert.isAtMost(lines.length, Help.LINES - 1, "leaves a line for the prompt")
      for (const line of lines) assert.isAtMost(line.length, Help.COLUMNS, line)
      if (command.run === undefined) return
      assert.isAbove(command.examples.length, 0)
      for (const example of command.examples) assert.isTrue(example.startsWith(name), example)
    }
  )

  it.each(programs.map((root) => [root.name, root] as const))("%s: a flag means the same everywhere", (_, root) => {
    const seen = new Map<string, Flags.FlagInfo>()
    for (const { command } of entries(root.name, root, [])) {
      for (const flag of command.flags) {
        const before = seen.get(flag.name) ?? flag
        assert.strictEqual(flag.placeholder === undefined, before.placeholder === undefined, `-${flag.name}`)
        assert.strictEqual(flag.secret, before.secret, `-${flag.name}`)
        seen.set(flag.name, flag)
      }
    }
  })

  it.effect.each(["flag", "required"] as const)("%s: a command reads no flag that it does not list", (how) =>
    Effect.gen(function* () {
      const listed = Flags.text({ name: "listed", placeholder: "TEXT", description: "" })
      const other = Flags.text({ name: "other", placeholder: "TEXT", description: "" })
      const reading = (flag: Flags.OptionalFlag<string>) =>
        Command.make({ name: "read", summary: "", flags: [listed] }, (given) =>
          how === "flag" ? Effect.asVoid(given.flag(flag)) : Effect.asVoid(given.required(flag))
        )
      const run = (command: Command.Command) =>
        Effect.exit(
          Effect.provideService(command.run?.(new Map([["listed", "a"]]), []) ?? Effect.void, Shell, {
            program: "read",
            env: {},
            cwd: "/",
            print: () => Effect.void,
            note: () => Effect.void,
            ring: LogRing.make(),
            up: Effect.void
          })
        )
      assert.isTrue(Exit.isSuccess(yield* run(reading(listed))))
      assert.include(String(yield* run(reading(other))), "reads -other, which it does not list")
    })
  )

  it("every secret flag is wiped from the process listing, in every form", () => {
    const secrets = new Set(all.flatMap(({ command }) => command.flags.filter((flag) => flag.secret)))
    assert.isAbove(secrets.size, 0)
    for (const { name } of secrets) {
      for (const words of [
        [`-${name}`, "hunter2"],
        [`--${name}`, "hunter2"],
        [`-${name}=hunter2`],
        [`--${name}=hunter2`]
      ]) {
        const shown = withoutSecrets(["connect", ...words, "-machine", "m"])
        assert.notInclude(shown?.join(" ") ?? "hunter2", "hunter2")
        assert.deepStrictEqual(shown?.slice(-2), ["-machine", "m"])
      }
    }
    assert.isUndefined(withoutSecrets(["connect", "-machine", "token"]))
  })
})

describe("A token in the place of an argument", () => {
  const secret = "5f0c7a5293c54d0e8a3f0c9a91be04aa".repeat(2)

  it.effect.each([
    [`tela login wss://hub.example.com ${secret}`, /too many arguments: login takes 1 \(see tela login -h\)/],
    ["tela login wss://hub.example.com hunter2", /too many arguments: login takes 1 /],
    [`tela login ${secret}`, /<hub>: this looks like a token; write a hub as wss:\/\/hub\.example\.com/],
    [`telad login -hub wss://hub.example.com ${secret}`, /too many arguments: login takes none /],
    ["tela pair -hub wss://hub.example.com ABCD-1234", /too many arguments: pair takes none /],
    [`tela connect -hub wss://hub.example.com -machine barn ${secret}`, /too many arguments: connect takes none /],
    [`tela admin tokens ${secret}`, /unknown command \(see tela admin tokens -h\)/]
  ] as const)("is not repeated: %s", ([line, says]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* type(line)
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.match(stderr, says)
      for (const part of [secret, "hunter2", "ABCD"]) assert.notInclude(stderr, part)
    })
  )
})

describe("A client's error", () => {
  it.each(["denied", "revoked", "unauthorized", "forbidden"] as const)("%s: says where the token came from", (kind) => {
    const said = HubFlags.explain({ token: undefined, source: "TELA_TOKEN" })({ kind, reason: "no" })
    assert.strictEqual(said.message, "no; the token came from TELA_TOKEN")
  })

  it("about something else: says nothing of the token", () => {
    const said = HubFlags.explain({ token: undefined, source: "TELA_TOKEN" })({ kind: "lost", reason: "no" })
    assert.strictEqual(said.message, "no")
  })
})
