import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Argv from "../../src/cli/Argv.ts"

const text = (name: string): Argv.FlagShape => ({ name, placeholder: "TEXT" })
const toggle = (name: string): Argv.FlagShape => ({ name, placeholder: undefined })

const leaf = (
  name: string,
  flags: ReadonlyArray<Argv.FlagShape>,
  positionals = 0,
  subcommands: ReadonlyArray<Argv.CommandShape> = []
): Argv.CommandShape => ({ name, flags, positionals, subcommands })

const root: Argv.CommandShape = {
  name: "tela",
  flags: [],
  positionals: undefined,
  subcommands: [
    leaf("connect", [text("hub"), text("machine"), text("token"), toggle("wait")]),
    leaf("status", [text("hub"), toggle("json")]),
    leaf("channel", [text("hub"), text("machine"), toggle("json")], 0, [
      leaf("set", [text("hub"), text("machine")], 1),
      leaf("show", [text("hub")])
    ]),
    leaf("grant", [text("hub")], 3),
    leaf("update", [text("hub"), text("version")]),
    { name: "trust", flags: [], positionals: undefined, subcommands: [leaf("forget", [text("hub")], 1)] }
  ]
}

const parse = (line: string) => Argv.parse(root, line === "" ? [] : line.split(" "))

/** A run in one line, for the table. */
const shown = (line: string): string => {
  const parsed = parse(line)
  if (parsed._tag === "Wrong") return `wrong ${parsed.path.join(" ")}: ${parsed.problem}`
  if (parsed._tag === "Version") return "version"
  if (parsed._tag === "Help") return `help ${parsed.path.join(" ")}`.trim()
  const flags = [...parsed.flags].map(([name, value]) => `${name}=${value}`).join(" ")
  return [parsed.path.join(" "), flags, parsed.positionals.join(" ")].join(" | ")
}

describe("Argv", () => {
  it.each([
    // the forms of a flag
    ["connect -hub h -machine m", "connect | hub=h machine=m | "],
    ["connect -hub=h --machine=m", "connect | hub=h machine=m | "],
    ["connect --hub h", "connect | hub=h | "],
    ["connect -hub= ", "connect | hub= | "],
    ["connect -hub a=b", "connect | hub=a=b | "],
    ["connect -hub=a=b", "connect | hub=a=b | "],
    ["connect -hub a -hub b", "connect | hub=b | "],
    // before and after subcommands and positionals
    ["-hub h connect", "connect | hub=h | "],
    ["channel -machine barn -hub wss://h set stable", "channel set | machine=barn hub=wss://h | stable"],
    ["channel set stable -hub h", "channel set | hub=h | stable"],
    ["grant alice barn connect,register -hub h", "grant | hub=h | alice barn connect,register"],
    ["grant -hub h alice barn connect", "grant | hub=h | alice barn connect"],
    ["grant alice -hub h barn connect", "grant | hub=h | alice barn connect"],
    // values and positionals that look like something else
    ["connect -machine status", "connect | machine=status | "],
    ["-machine channel connect -hub set", "connect | machine=channel hub=set | "],
    ["connect -token -x9", "connect | token=-x9 | "],
    ["grant status set channel", "grant |  | status set channel"],
    ["grant -- -hub --help x", "grant |  | -hub --help x"],
    ["grant a -- b -hub", "grant |  | a b -hub"],
    ["grant -1 - x", "grant |  | -1 - x"],
    ["channel set show", "channel set |  | show"],
    // flags without value
    ["status -json", "status | json=true | "],
    ["status -json=false", "status | json=false | "],
    ["status -json=T", "status | json=true | "],
    ["status -json -hub h", "status | json=true hub=h | "],
    ["connect -wait -hub h", "connect | wait=true hub=h | "],
    // help and version
    ["", "help"],
    ["help", "help"],
    ["-h", "help"],
    ["--help", "help"],
    ["-help connect", "help connect"],
    ["connect -h", "help connect"],
    ["connect -hub h -?", "help connect"],
    ["help connect", "help connect"],
    ["help channel set", "help channel set"],
    ["channel help", "help channel"],
    ["trust", "help trust"],
    ["channel", "channel |  | "],
    ["-version", "version"],
    ["--version", "version"],
    ["connect -version", "version"],
    ["update -version v0.9.1", "update | version=v0.9.1 | "],
    ["update -hub h --version=v1", "update | hub=h version=v1 | "],
    // mistakes
    ["conect", `wrong : unknown command "conect"; did you mean "connect"?`],
    ["channel sett x", `wrong channel: unknown command "sett"; did you mean "set"?`],
    ["xyzzy", `wrong : unknown command "xyzzy"`],
    ["connect -hbu h", "wrong connect: unknown flag -hbu; did you mean -hub?"],
    ["-hbu h connect", "wrong connect: unknown flag -hbu; did you mean -hub?"],
    ["-hbu h", "wrong : unknown flag -hbu; did you mean -hub?"],
    ["-machine m conect -hub h", `wrong : unknown command "conect"; did you mean "connect"?`],
    ["status -wait", "wrong status: unknown flag -wait"],
    ["-wait status", "wrong status: unknown flag -wait"],
    ["connect -HUB h", "wrong connect: unknown flag -HUB; did you mean -hub?"],
    ["connect -hub", "wrong connect: -hub needs a value: -hub TEXT"],
    ["connect -hub -machine m", "wrong connect: -hub needs a value: -hub TEXT"],
    ["connect -hub -- x", "wrong connect: -hub needs a value: -hub TEXT"],
    ["status -json=maybe", `wrong status: -json is true or false, not "maybe"`],
    ["status extra", "wrong status: too many arguments: status takes none"],
    ["channel set a b", "wrong channel set: too many arguments: channel set takes 1"],
    ["grant a b c d", "wrong grant: too many arguments: grant takes 3"]
  ])("%s", (line, expected) => {
    assert.strictEqual(shown(line.trimEnd()), expected)
  })

  it("repeats no word that is too many, nor one that is too long for a command: it may be a token", () => {
    const secret = FastCheck.stringMatching(/^[0-9a-f]{32,64}$/)
    FastCheck.assert(
      FastCheck.property(
        secret,
        FastCheck.constantFrom("status", "channel set a", "grant a b c", "", "trust"),
        (word, line) => {
          const parsed = Argv.parse(root, [...line.split(" ").filter((part) => part !== ""), word])
          assert.strictEqual(parsed._tag, "Wrong")
          assert.notInclude(JSON.stringify(parsed), word)
        }
      )
    )
  })

  /** Any text that is no flag of the command: those are told apart from values only by `=`. */
  const value = FastCheck.oneof(
    FastCheck.string(),
    FastCheck.constantFrom("connect", "status", "set", "-x", "--", "-", "help", "a=b", "", "-1")
  )

  it("any value survives -name=value, wherever the flag stands", () => {
    FastCheck.assert(
      FastCheck.property(value, value, FastCheck.nat(2), (hub, machine, at) => {
        const words = ["channel", "set", "stable"]
        words.splice(at, 0, `-hub=${hub}`, `--machine=${machine}`)
        assert.deepStrictEqual(Argv.parse(root, words), {
          _tag: "Run",
          path: ["channel", "set"],
          flags: new Map([
            ["hub", hub],
            ["machine", machine]
          ]),
          positionals: ["stable"]
        })
      })
    )
  })

  it("any value that is not a flag survives -name value", () => {
    const plain = value.filter((word) => word !== "--" && !/^--?(hub|machine|json|h|help|\?)(=|$)/.test(word))
    FastCheck.assert(
      FastCheck.property(plain, plain, (hub, machine) => {
        const expected: Argv.Parsed = {
          _tag: "Run",
          path: ["connect"],
          flags: new Map([
            ["hub", hub],
            ["machine", machine]
          ]),
          positionals: []
        }
        const known = /^--?(token|wait)(=|$)/
        FastCheck.pre(!known.test(hub) && !known.test(machine))
        assert.deepStrictEqual(Argv.parse(root, ["connect", "-hub", hub, "--machine", machine]), expected)
        assert.deepStrictEqual(Argv.parse(root, ["-hub", hub, "-machine", machine, "connect"]), expected)
      })
    )
  })

  it("everything after -- is positional", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.tuple(value, value, value), (words) => {
        const parsed = Argv.parse(root, ["grant", "-hub", "h", "--", ...words])
        assert.deepStrictEqual(parsed._tag === "Run" ? parsed.positionals : parsed, words)
      })
    )
  })

  it("never throws, whatever the words", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(value), (words) => {
        assert.include(["Run", "Help", "Version", "Wrong"], Argv.parse(root, words)._tag)
      })
    )
  })
})
