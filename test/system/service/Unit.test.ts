import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { UPDATE_LOCK_PATIENCE } from "../../../src/protocol/Limits.ts"
import type { Definition } from "../../../src/system/service/Definition.ts"
import { unit } from "../../../src/system/service/Unit.ts"
import * as Tools from "../../e2e/harness/Tools.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { settings, wordsOf } from "../../support/unitFile.ts"
import { agent, hostile, hub, mine, untellable } from "./definitions.ts"

const golden = (name: string): string => Fs.readFileSync(new URL(`golden/${name}`, import.meta.url), "utf8")

const text = (definition: Definition): string => Either.getOrThrow(unit(definition))

/** The names of all settings, in order: what an injected line would change. */
const names = (unitText: string): ReadonlyArray<string> =>
  unitText.split("\n").map((line) => (line.startsWith("#") ? "#" : line.replace(/=.*/, "=")))

describe("Unit", () => {
  it.each([
    ["agent.service", agent],
    ["hub.service", hub],
    ["user.service", mine]
  ] as const)("%s", (name, definition) => {
    assert.strictEqual(text(definition), golden(name))
  })

  it("is for systemd's own user and its folder, or for the owner of another", () => {
    assert.include(text(agent), "DynamicUser=yes")
    assert.notMatch(text(agent), /^(User|ReadWritePaths|BindPaths)=/m)
    assert.notMatch(text(hub), /^(DynamicUser|StateDirectory)/m)
    assert.deepStrictEqual(settings(text(hub), "ReadWritePaths").flatMap(wordsOf), [hub.folder])
    const inHome = text({ ...hub, folder: "/home/ann/tela" })
    assert.deepStrictEqual(settings(inHome, "BindPaths").flatMap(wordsOf), ["/home/ann/tela"])
    assert.include(inHome, "ProtectHome=tmpfs")
  })

  it("hides homes, and shows in them what the program is read from", () => {
    assert.include(text(agent), "\nProtectHome=yes\n")
    assert.deepStrictEqual(settings(text(agent), "BindReadOnlyPaths"), [])
    assert.include(text(hub), "\nProtectHome=tmpfs\n")
    assert.deepStrictEqual(settings(text(hub), "BindReadOnlyPaths").flatMap(wordsOf), hub.readsFrom)
    const temporary = text({ ...agent, readsFrom: ["/tmp/tela"] })
    assert.include(temporary, "\nProtectHome=yes\n")
    assert.deepStrictEqual(settings(temporary, "BindReadOnlyPaths").flatMap(wordsOf), ["/tmp/tela"])
  })

  it("gives a program more time to start than it may wait for an update of its installation", () => {
    for (const definition of [agent, hub, mine]) {
      const [start = "0"] = settings(text(definition), "TimeoutStartSec")
      assert.isAbove(Number(start) * 1_000, UPDATE_LOCK_PATIENCE)
    }
  })

  it("gives a program more time than it takes to leave", () => {
    for (const leavesWithin of [0, 1, 10_000, 3_600_000]) {
      const [stop = "0"] = settings(text({ ...hub, leavesWithin }), "TimeoutStopSec")
      assert.isAtLeast(Number(stop) * 1_000, leavesWithin + 10_000)
    }
  })

  it.each(hostile)("%j stays one word wherever it stands", (word) => {
    const definition: Definition = {
      ...hub,
      command: ["/usr/bin/node", `/opt/${word}/bin/telahubd`, "-config", word],
      environment: { TELA_HOME: word, TELAHUBD_SUPERVISED: "1", TELA_SYSTEM: `/${word}` },
      description: word,
      environmentFile: `/etc/${word}.env`,
      folder: `/srv/${word}`,
      readsFrom: [`/home/${word}`, `/home/ann/${word}`]
    }
    const made = text(definition)
    const [start = ""] = settings(made, "ExecStart")
    assert.isTrue(start.startsWith(":"))
    assert.deepStrictEqual(wordsOf(start.slice(1)), definition.command)
    assert.deepStrictEqual(
      settings(made, "Environment").map(wordsOf),
      Object.entries(definition.environment).map(([name, value]) => [`${name}=${value}`])
    )
    assert.deepStrictEqual(settings(made, "ReadWritePaths").flatMap(wordsOf), [definition.folder])
    assert.deepStrictEqual(settings(made, "BindReadOnlyPaths").flatMap(wordsOf), definition.readsFrom)
    assert.deepStrictEqual(settings(made, "EnvironmentFile"), [`-/etc/${word.replaceAll("%", "%%")}.env`])
    const plain = text({ ...hub, readsFrom: ["/home/a", "/home/b"] })
    assert.deepStrictEqual(names(made), names(plain), "no line came in")
    for (const line of made.split("\n")) assert.notMatch(line, /\\$/, "no line takes in the next")
  })

  it.each(untellable)("%j is refused", (word) => {
    for (const definition of [
      { ...hub, folder: `/srv/${word}` },
      { ...hub, environment: { TELA_HOME: word } },
      { ...hub, environment: { [word]: "" } },
      { ...hub, environmentFile: `/etc/${word}` },
      { ...hub, readsFrom: [`/${word}`] },
      { ...hub, command: ["/usr/bin/node", word] as const },
      { ...hub, command: [`/${word}`] as const },
      { ...agent, runsAs: { _tag: "Own", stateDirectory: word } as const }
    ]) {
      const { message } = Either.getOrThrow(Either.flip(unit(definition)))
      assert.match(message, /holds a control character, which no service can be given; rename it$/)
      assert.notMatch(message, /[\p{Cc}\u2028]/u)
    }
    assert.notInclude(text({ ...hub, description: word }), word)
    assert.deepStrictEqual(names(text({ ...hub, description: word })), names(text(hub)))
  })

  it.each(["telahubd-", "telahubd-A", "telahubd-a b", "telahubd-a/b", "telahubd-a%b", "x", "telad", "telahubd-a\nb"])(
    "%j is no name",
    (name) => {
      const { message } = Either.getOrThrow(Either.flip(unit({ ...hub, name })))
      assert.match(message, /the name of an instance is 1 to 20 lower-case letters, digits and dashes$/)
    }
  )

  it.each([["/opt/it's/node"], ['/opt/"/node'], ["/opt/\\/node"], ["node"]])(
    "%s cannot be a program of systemd's",
    (program) => {
      assert.isTrue(Either.isLeft(unit({ ...agent, command: [program] })))
    }
  )
})

const needed = Tools.missing("systemd-analyze")

/** What systemd says of a unit. It looks at other units too, and what it says of those does not matter here. */
const verify = (name: string, unitText: string) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const file = Path.join(folder, name)
    Fs.writeFileSync(file, unitText)
    return yield* Effect.async<{ readonly failed: boolean; readonly said: string }>((resume) => {
      execFile(Tools.path("systemd-analyze"), ["verify", file], { timeout: 15_000 }, (error, stdout, stderr) =>
        resume(
          Effect.succeed({
            failed: error !== null,
            said: `${stdout}${stderr}`
              .split("\n")
              .filter((line) => line.includes(folder) || line.includes(name))
              .join("\n")
          })
        )
      )
    })
  })

describe.skipIf(needed.skip)(`Unit, as systemd-analyze verify sees it${needed.notice}`, () => {
  const program = (definition: Definition, word: string): Definition => ({
    ...definition,
    command: [process.execPath, `/opt/${word}/bin/${definition.program}`, "-config", word],
    environment: { ...definition.environment, TELA_HOME: word }
  })

  it.scopedLive.each([
    ["telad.service", agent],
    ["telahubd-blue.service", hub],
    ["telad-mine.service", mine]
  ] as const)("%s is sound", ([name, definition]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* verify(name, text(program(definition, "tela"))), { failed: false, said: "" })
    })
  )

  it.scopedLive("what tries to get out of its place does not make it less so", () =>
    Effect.gen(function* () {
      for (const word of hostile) {
        const definition = { ...program(agent, word), description: word, readsFrom: [`/home/${word}`] }
        assert.deepStrictEqual(yield* verify("telad.service", text(definition)), { failed: false, said: "" }, word)
      }
    })
  )

  it.scopedLive("a unit that is not sound is told from one that is", () =>
    Effect.gen(function* () {
      const { said } = yield* verify(
        "telad.service",
        text(program(agent, "tela")).replace("DynamicUser=", "DynamikUser=")
      )
      assert.match(said, /DynamikUser/)
      const gone = yield* verify("telad.service", text({ ...agent, command: ["/no/such/program"] }))
      assert.isTrue(gone.failed)
    })
  )
})
