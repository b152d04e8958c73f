/** Every mistake a person can make: one line that says what to do, the right exit code, and nothing changed. */
import { assert, layer } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Name } from "../e2e/harness/Tela.ts"
import { contents, World, world } from "./World.ts"

interface Case {
  readonly name: string
  readonly program: Name
  readonly args: (world: Context.Tag.Service<World>) => ReadonlyArray<string>
  readonly env?: (world: Context.Tag.Service<World>) => Readonly<Record<string, string>>
  readonly code: number
  readonly says: ReadonlyArray<RegExp>
}

/** `tela connect` to the hub as alice, with these arguments. */
const asAlice = (...args: ReadonlyArray<string>): Pick<Case, "program" | "args" | "env"> => ({
  program: "tela",
  args: ({ url }) => [...args, "-hub", url],
  env: ({ tokens }) => ({ TELA_TOKEN: tokens.alice })
})

const cases: ReadonlyArray<Case> = [
  {
    name: "an unknown flag",
    ...asAlice("connect", "-mashine", "web-01"),
    code: 2,
    says: [/unknown flag -mashine; did you mean -machine\?/]
  },
  { name: "an unknown command", ...asAlice("conect"), code: 2, says: [/did you mean "connect"\?/] },
  { name: "a flag without its value", ...asAlice("connect", "-machine"), code: 2, says: [/-machine needs a value/] },
  {
    name: "no hub",
    program: "tela",
    args: () => ["connect", "-machine", "web-01"],
    code: 2,
    says: [/-hub is missing: give -hub URL, or set TELA_HUB/]
  },
  { name: "no machine", ...asAlice("connect"), code: 2, says: [/-machine is missing: .*TELA_MACHINE/] },
  {
    name: "a hub that is none",
    program: "tela",
    args: () => ["connect", "-hub", "ftp://hub.example.com", "-machine", "m"],
    code: 2,
    says: [/-hub: "ftp:.*write it as wss:\/\/hub\.example\.com/]
  },
  {
    name: "a wrong token in a flag",
    program: "tela",
    args: ({ url }) => ["connect", "-hub", url, "-machine", "web-01", "-token", "wrong"],
    code: 1,
    says: [/refused the token/, /the token came from -token$/m]
  },
  {
    name: "a wrong token in the environment",
    ...asAlice("connect", "-machine", "web-01"),
    env: () => ({ TELA_TOKEN: "wrong" }),
    code: 1,
    says: [/refused the token/, /the token came from TELA_TOKEN$/m]
  },
  {
    name: "no token",
    program: "tela",
    args: ({ url }) => ["connect", "-hub", url, "-machine", "web-01"],
    code: 1,
    says: [/no token was given/]
  },
  {
    name: "a machine without a grant",
    ...asAlice("connect", "-machine", "web-01"),
    env: ({ tokens }) => ({ TELA_TOKEN: tokens.bob }),
    code: 1,
    says: [/access refused to "web-01"/, /the token came from TELA_TOKEN$/m]
  },
  {
    name: "a machine that nobody knows",
    ...asAlice("connect", "-machine", "web-9"),
    code: 1,
    says: [/"web-9"/, /access refused|unknown/]
  },
  {
    name: "a machine that is offline",
    ...asAlice("connect", "-machine", "web-02"),
    code: 1,
    says: [/"web-02" is unknown .* or offline/, /tela machines/]
  },
  {
    name: "a hub that cannot be reached",
    program: "tela",
    args: () => ["connect", "-hub", "ws://127.0.0.1:1", "-machine", "web-01"],
    code: 1,
    says: [/cannot reach ws:\/\/127\.0\.0\.1:1: nothing listens there/]
  },
  {
    name: "a local port out of range",
    ...asAlice("connect", "-machine", "web-01", "-ports", "70000"),
    code: 2,
    says: [/-ports: "70000" is no port/]
  },
  {
    name: "a local port with letters",
    ...asAlice("connect", "-machine", "web-01", "-ports", "22abc"),
    code: 2,
    says: [/-ports: "22abc" is no port/]
  },
  {
    name: "a service that is not offered",
    ...asAlice("connect", "-machine", "web-01", "-services", "quite"),
    code: 1,
    says: [/did you mean "quiet"\?/]
  },
  {
    name: "a fingerprint that is none",
    ...asAlice("connect", "-machine", "web-01", "-fingerprint", "abc"),
    code: 2,
    says: [/-fingerprint: "abc" is none/]
  },
  {
    name: "another key than the one asked for",
    ...asAlice("connect", "-machine", "web-01", "-fingerprint", `SHA256:${"A".repeat(43)}`),
    code: 1,
    says: [/has the key SHA256:.*, not SHA256:AAAA/]
  },
  {
    name: "machines with a wrong token",
    ...asAlice("machines"),
    env: () => ({ TELA_TOKEN: "wrong" }),
    code: 1,
    says: [/valid token/, /the token came from TELA_TOKEN$/m]
  },
  {
    name: "status of a hub that cannot be reached",
    program: "tela",
    args: () => ["status", "-hub", "ws://127.0.0.1:1"],
    code: 1,
    says: [/cannot reach ws:\/\/127\.0\.0\.1:1/]
  },
  {
    name: "services of a machine misspelt",
    ...asAlice("services", "-machine", "web-O1"),
    code: 1,
    says: [/did you mean "web-01"\?/]
  },
  {
    name: "administration by a user",
    ...asAlice("admin", "tokens", "add", "eve"),
    code: 1,
    says: [/refused: .*admin/, /; the token came from TELA_TOKEN$/]
  },
  {
    name: "administration without a token",
    program: "tela",
    args: ({ url }) => ["admin", "access", "-hub", url],
    code: 1,
    says: [/no token for ws:.*tela login ws:/]
  },
  {
    name: "a permission that is none",
    ...asAlice("admin", "access", "grant", "bob", "web-01", "conect"),
    code: 2,
    says: [/"conect" is no permission; .*did you mean "connect"\?/]
  },
  {
    name: "a pairing code that nobody made",
    ...asAlice("pair", "-code", "ABCD-1234"),
    code: 1,
    says: [/refused the code: .*ask for a new one$/]
  },
  {
    name: "a pairing code that is none",
    program: "telad",
    args: ({ url }) => ["pair", "-hub", url, "-code", "hello"],
    code: 2,
    says: [/-code is no pairing code/]
  },
  {
    name: "a login with a token that nobody holds",
    program: "tela",
    args: ({ url }) => ["login", url],
    code: 1,
    says: [/no token was given; nothing was stored/]
  },
  {
    name: "a pin that is none",
    program: "tela",
    args: () => ["pin", "wss://h", "SHA256:abc"],
    code: 2,
    says: [/<fingerprint>: "SHA256:abc" is no pin/]
  },
  {
    name: "forgetting what is not remembered",
    ...asAlice("trust", "forget", "nobody"),
    code: 1,
    says: [/no key of "nobody"/]
  },
  { name: "an agent told nothing", program: "telad", args: () => [], code: 2, says: [/-config is missing: .*-ports/] },
  {
    name: "an agent's port out of range",
    program: "telad",
    args: ({ url }) => ["-hub", url, "-machine", "a", "-ports", "99999"],
    code: 2,
    says: [/-ports: "99999"/]
  },
  {
    name: "an agent's file and flags at once",
    program: "telad",
    args: ({ url }) => ["-config", "no-hub.yaml", "-hub", url],
    code: 2,
    says: [/-config and -hub exclude each other/]
  },
  {
    name: "an agent's file that is not there",
    program: "telad",
    args: () => ["-config", "nowhere.yaml"],
    code: 1,
    says: [/nowhere\.yaml: no such file; check/]
  },
  {
    name: "an agent's file with broken YAML",
    program: "telad",
    args: () => ["-config", "syntax.yaml"],
    code: 1,
    says: [/syntax\.yaml:\d+:\d+: /]
  },
  {
    name: "an agent's file with an unknown key",
    program: "telad",
    args: () => ["-config", "unknown-key.yaml"],
    code: 1,
    says: [/unknown-key\.yaml:4:5: .*prots.*did you mean "ports"\?/]
  },
  {
    name: "an agent's file with a port out of range",
    program: "telad",
    args: () => ["-config", "bad-port.yaml"],
    code: 1,
    says: [/bad-port\.yaml:4:\d+: .*1 to 65535/]
  },
  {
    name: "an agent's file without a hub",
    program: "telad",
    args: () => ["-config", "no-hub.yaml"],
    code: 1,
    says: [/no-hub\.yaml.*hub is missing/]
  },
  {
    name: "a hub's port out of range",
    program: "telahubd",
    args: () => ["-config", "good-hub.yaml", "-port", "70000"],
    code: 2,
    says: [/-port is a number from 0 to 65535, not "70000"/]
  },
  {
    name: "a hub's port from the environment",
    program: "telahubd",
    args: () => ["-config", "good-hub.yaml"],
    env: () => ({ TELAHUBD_PORT: "http" }),
    code: 2,
    says: [/TELAHUBD_PORT is a number/]
  },
  {
    name: "a hub's port that is taken",
    program: "telahubd",
    args: ({ taken }) => ["-config", "good-hub.yaml", "-host", "127.0.0.1", "-port", String(taken)],
    code: 1,
    says: [/in use|taken/]
  },
  {
    name: "a hub's file with broken YAML",
    program: "telahubd",
    args: () => ["-config", "hub-syntax.yaml"],
    code: 1,
    says: [/hub-syntax\.yaml:\d+:\d+: /]
  },
  {
    name: "a hub's file with an unknown key",
    program: "telahubd",
    args: () => ["-config", "hub-unknown-key.yaml"],
    code: 1,
    says: [/hub-unknown-key\.yaml:2:1: .*prot.*did you mean "port"\?/]
  },
  {
    name: "an empty hub file",
    program: "telahubd",
    args: () => ["-config", "empty-hub.yaml"],
    code: 1,
    says: [/empty/]
  },
  {
    name: "a second owner",
    program: "telahubd",
    args: () => ["user", "bootstrap", "-config", "good-hub.yaml"],
    code: 1,
    says: [/an owner exists/, /telahubd user rotate owner/]
  }
]

layer(world, { excludeTestServices: true, timeout: "60 seconds" })("Bad input", (it) => {
  for (const { args, code, env, name, program, says } of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const here = yield* World
        const before = contents(here.folder)
        const ended = yield* here.run(program, args(here), env?.(here))
        const errors = ended.stderr.split("\n").filter((line) => line !== "" && !/^\S+Z (INFO|WARN)/.test(line))
        assert.strictEqual(ended.code, code, ended.stderr)
        assert.strictEqual(errors.length, 1, ended.stderr)
        assert.isTrue(ended.stderr.trimEnd().split("\n").at(-1)?.startsWith(`${program}: `), ended.stderr)
        assert.notInclude(ended.stderr, "    at ", "a stack trace")
        for (const token of Object.values(here.tokens)) assert.notInclude(ended.stderr, token)
        for (const pattern of says) assert.match(errors[0] ?? "", pattern)
        assert.deepStrictEqual(contents(here.folder), before)
      })
    )
  }

  it.effect("a local port that is taken", () =>
    Effect.gen(function* () {
      const { folder, run, taken, tokens, url } = yield* World
      const asked = yield* run("tela", ["machines", "-json", "-hub", url], { TELA_TOKEN: tokens.alice })
      const remote = /"port": (\d+)/.exec(asked.stdout)?.[1] ?? ""
      const before = contents(folder)
      const ended = yield* run("tela", ["connect", "-hub", url, "-machine", "web-01", "-ports", `${taken}:${remote}`], {
        TELA_TOKEN: tokens.alice
      })
      assert.strictEqual(ended.code, 1, ended.stderr)
      assert.match(ended.stderr, new RegExp(`^tela: .*${taken}.*(taken|in use)`, "m"))
      assert.strictEqual(ended.stdout, "")
      assert.deepStrictEqual(contents(folder), before)
    })
  )
})
