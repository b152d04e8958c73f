import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Program from "./harness/Program.ts"
import * as Tela from "./harness/Tela.ts"
import * as Typed from "./harness/Typed.ts"

const TOKEN = /[0-9a-f]{64}/

/** A hub that `telahubd user bootstrap` made, and the owner's token as it printed it. */
const bootstrapped = Effect.gen(function* () {
  const machine = yield* Typed.make({})
  const owner = TOKEN.exec(yield* machine.run("telahubd user bootstrap"))?.[0] ?? ""
  assert.match(owner, TOKEN)
  const again = yield* machine.fail("telahubd user bootstrap")
  assert.match(again.stderr, /telahubd user rotate owner/)
  const hub = yield* Tela.startHub(Path.join(machine.home, "system", "telahubd.yaml"))
  // What was printed once is printed by nothing else.
  assert.notInclude(hub.program.output(), owner)
  return { hub, owner }
})

/** A user's shell at which the owner has logged in, as the page has it. */
const loggedIn = Effect.gen(function* () {
  const { hub, owner } = yield* bootstrapped
  const typed = yield* Typed.make({ "wss://hub.example.com": hub.url, "<owner-token>": owner })
  yield* typed.run("tela login wss://hub.example.com", { input: `${owner}\n` })
  return { hub, owner, typed }
})

interface Listed {
  readonly id: string
  readonly role: string
  readonly machines: ReadonlyArray<{ readonly machineId: string; readonly permissions: ReadonlyArray<string> }>
}

const accessOf = (typed: Typed.Typed, id: string) =>
  Effect.map(typed.run("tela admin access -hub wss://hub.example.com -json"), (text) => {
    const { access } = JSON.parse(text) as { readonly access: ReadonlyArray<Listed> }
    const entry = access.find((each) => each.id === id)
    return (
      entry && {
        role: entry.role,
        machines: Object.fromEntries(entry.machines.map((each) => [each.machineId, each.permissions.toSorted()]))
      }
    )
  })

describe("Hub administration, as the page has it", () => {
  it.scopedLive("Authentication", () =>
    Effect.gen(function* () {
      const { hub, owner } = yield* bootstrapped
      const typed = yield* Typed.make({ "wss://hub.example.com": hub.url, "<owner-token>": owner })
      const listed = yield* typed.run("tela admin tokens list -hub wss://hub.example.com -token <owner-token>")
      assert.match(listed, /^owner +owner +active/m)
      assert.notInclude(listed, owner)

      // Without a token there is nothing to go by yet.
      const without = yield* typed.fail("tela admin tokens list -hub wss://hub.example.com")
      assert.match(without.stderr, /^tela: .*token.*\n$/)

      yield* typed.run("tela login wss://hub.example.com", { input: `${owner}\n` })
      assert.match(yield* typed.run("tela admin tokens list -hub wss://hub.example.com"), /^owner +owner/m)

      // The order of sources: each is named when it is refused.
      const add = yield* typed.run("tela admin tokens add nobody -quiet -hub wss://hub.example.com")
      const user = add.trim()
      const list = "tela admin tokens list -hub wss://hub.example.com"
      const cases: ReadonlyArray<readonly [Record<string, string>, string, RegExp]> = [
        [{ TELA_OWNER_TOKEN: user, TELA_TOKEN: owner }, list, /TELA_OWNER_TOKEN/],
        [{ TELA_TOKEN: user }, list, /TELA_TOKEN/],
        [{ TELA_OWNER_TOKEN: owner }, `${list} -token ${user}`, /-token/]
      ]
      for (const [env, line, source] of cases) {
        const refused = yield* typed.fail(line, { env })
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, source)
        assert.notInclude(refused.stderr, user)
      }
      yield* typed.run(list, { env: { TELA_OWNER_TOKEN: owner, TELA_TOKEN: user } })
      yield* typed.run(`${list} -token ${owner}`, { env: { TELA_OWNER_TOKEN: user } })
    })
  )

  it.scopedLive("Tokens, and flag placement", () =>
    Effect.gen(function* () {
      const { typed } = yield* loggedIn
      yield* typed.run("tela admin tokens list -hub wss://hub.example.com")
      assert.match(yield* typed.run("tela admin tokens add carol -hub wss://hub.example.com"), TOKEN)
      assert.match(yield* typed.run("tela admin tokens add dave -hub wss://hub.example.com -role admin"), TOKEN)
      const listed = yield* typed.run("tela admin tokens list -hub wss://hub.example.com")
      assert.match(listed, /^carol +user +active/m)
      assert.match(listed, /^dave +admin +active/m)
      yield* typed.run("tela admin tokens remove carol -hub wss://hub.example.com")
      assert.notMatch(yield* typed.run("tela admin tokens list -hub wss://hub.example.com"), /^carol /m)

      for (const line of [
        "tela admin tokens add alice -hub wss://hub.example.com -role admin",
        "tela admin tokens add -hub wss://hub.example.com -role admin alice"
      ]) {
        yield* typed.run(line)
        assert.strictEqual((yield* accessOf(typed, "alice"))?.role, "admin")
        yield* typed.run("tela admin tokens remove alice -hub wss://hub.example.com")
      }

      // -quiet is for scripts: the secret, alone.
      const script = 'TOKEN=$(tela admin tokens add robot -quiet -hub wss://hub.example.com); printf "<%s>" "$TOKEN"'
      assert.match(yield* typed.run(script), /^<[0-9a-f]{64}>$/)
    })
  )

  it.scopedLive("Access and Rotate", () =>
    Effect.gen(function* () {
      const { typed } = yield* loggedIn
      yield* typed.run("tela admin tokens add alice -hub wss://hub.example.com")
      assert.match(yield* typed.run("tela admin access -hub wss://hub.example.com"), /^alice +user/m)
      yield* typed.run("tela admin access grant alice barn connect -hub wss://hub.example.com")
      yield* typed.run("tela admin access grant alice '*' connect -hub wss://hub.example.com")
      assert.deepStrictEqual((yield* accessOf(typed, "alice"))?.machines, { "*": ["connect"], barn: ["connect"] })
      yield* typed.run("tela admin access revoke alice '*' -hub wss://hub.example.com")
      const regrant = "tela admin access grant alice barn connect,register -hub wss://hub.example.com"
      assert.match(yield* typed.run(regrant), /connect/)
      assert.deepStrictEqual((yield* accessOf(typed, "alice"))?.machines, { barn: ["connect", "register"] })
      yield* typed.run("tela admin access rename alice alicia -hub wss://hub.example.com")
      assert.deepStrictEqual((yield* accessOf(typed, "alicia"))?.machines, { barn: ["connect", "register"] })

      const explained = yield* typed.run(
        "tela admin access explain alicia barn connect -service ssh -hub wss://hub.example.com"
      )
      assert.match(explained, /alicia has connect on barn/)

      const rotated = yield* typed.run("tela admin rotate alicia -hub wss://hub.example.com")
      assert.match(rotated, TOKEN)
      assert.deepStrictEqual((yield* accessOf(typed, "alicia"))?.machines, { barn: ["connect", "register"] })

      yield* typed.run("tela admin access revoke alicia barn -hub wss://hub.example.com")
      assert.deepStrictEqual((yield* accessOf(typed, "alicia"))?.machines, {})
      yield* typed.run("tela admin access remove alicia -hub wss://hub.example.com")
      assert.isUndefined(yield* accessOf(typed, "alicia"))

      const history = yield* typed.run("tela admin history -hub wss://hub.example.com")
      for (const action of ["token-add", "access-grant", "access-rename", "token-rotate", "access-remove"]) {
        assert.include(history, action)
      }
    })
  )

  it.scopedLive(
    "what a hub prints for a machine that anybody could register works when pasted, whatever its name",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const file = Path.join(folder, "telahubd.yaml")
        const tokens = { owner: HubConfig.token(), agent: HubConfig.token() }
        Fs.writeFileSync(
          file,
          [
            "auth:",
            "  tokens:",
            `    - {id: owner, token: ${tokens.owner}, hubRole: owner}`,
            `    - {id: agent, token: ${tokens.agent}}`,
            "  machines:",
            `    "Kim's PC": {connectTokens: [${tokens.agent}]}`,
            ""
          ].join("\n"),
          { mode: 0o600 }
        )
        const hub = yield* Tela.startHub(file)
        const [, command = ""] = yield* hub.program.expect(/to name one, run: (tela admin access grant .* register)$/m)
        const typed = yield* Typed.make({ "wss://hub.example.com": hub.url, "<id>": "agent" })
        yield* typed.run("tela login wss://hub.example.com", { input: `${tokens.owner}\n` })
        yield* typed.run(`${command} -hub wss://hub.example.com`)
        assert.deepStrictEqual((yield* accessOf(typed, "agent"))?.machines, { "Kim's PC": ["register"] })
        // A name that the hub does not know, and would not take.
        const refused = yield* typed.fail("tela admin access grant agent 'Lee PC' connect -hub wss://hub.example.com")
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, /: the machine name "Lee PC" must be 1 to 128 printable characters without spaces/)
      })
  )

  it.scopedLive("Pair codes, and what they print works when pasted", () =>
    Effect.gen(function* () {
      const { hub, owner, typed } = yield* loggedIn
      const shape = (verb: string) =>
        new RegExp(
          [
            "^Generated pairing code: ([0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4})",
            "Expires: (\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ)",
            "",
            `(?:Client|Agent) pairing command:`,
            `  (${verb} pair -hub ${hub.url} -code \\1.*)`,
            ""
          ].join("\n")
        )
      const generate = (line: string, verb = "tela") =>
        Effect.map(typed.run(line), (text) => {
          const match = shape(verb).exec(text)
          assert.isNotNull(match, text)
          const [, code = "", expires = "", command = ""] = match ?? []
          return { code, command, hours: (Date.parse(expires) - Date.now()) / 3_600_000, text }
        })

      const day = yield* generate("tela admin pair-code barn -hub wss://hub.example.com")
      assert.include(day.text, "Client pairing command:")
      assert.closeTo(day.hours, 24, 0.1)
      const two = yield* generate("tela admin pair-code barn -hub wss://hub.example.com -expires 48h")
      assert.closeTo(two.hours, 48, 0.1)
      const agent = yield* generate("tela admin pair-code barn -hub wss://hub.example.com -type register", "telad")
      assert.include(agent.text, "Agent pairing command:")
      const all = yield* generate("tela admin pair-code barn -hub wss://hub.example.com -machines '*'")

      const paired = yield* Typed.make({})
      yield* paired.run(day.command)
      const first = JSON.parse(yield* paired.run(`tela whoami -json -hub ${hub.url}`)) as Listed
      assert.deepStrictEqual(first.machines, [{ machineId: "barn", permissions: ["connect"] }])
      const spent = yield* paired.fail(day.command)
      assert.strictEqual(spent.code, 1)

      const everywhere = yield* Typed.make({})
      // However a person writes it.
      yield* everywhere.run(all.command.replace(all.code, all.code.toLowerCase().replace("-", "")))
      const second = JSON.parse(yield* everywhere.run(`tela whoami -json -hub ${hub.url}`)) as Listed
      assert.deepStrictEqual(second.machines, [{ machineId: "*", permissions: ["connect"] }])

      // The agent that was paired registers with what the store holds, and the client that was paired reaches it.
      const machine = yield* Typed.make({})
      // Whoever sets the agent up may be the owner: what the agent was paired as counts all the same.
      yield* machine.run(`tela login ${hub.url}`, { input: `${owner}\n` })
      yield* machine.run(agent.command)
      const telad = yield* Program.start(
        machine.command(`exec telad -hub ${hub.url} -machine barn -ports ${hub.port}`, { name: "telad" })
      )
      yield* Tela.registered(telad, "barn")
      yield* hub.program.expect(/agent registered .*principal=barn-agent/)
      assert.match(yield* paired.run(`tela machines -hub ${hub.url}`), /^barn +online/m)

      // Those that were redeemed are not in the list, and one that was cancelled cannot be.
      const rest = yield* typed.run("tela admin pair-code list -hub wss://hub.example.com")
      assert.strictEqual(rest.trim().split("\n").length, 2, rest)
      for (const each of [day, two, agent, all]) {
        assert.notInclude(hub.program.output(), each.code)
        assert.notInclude(
          Fs.readFileSync(Path.join(Path.dirname(hub.file), "telahubd.db")).toString("latin1"),
          each.code
        )
      }
    })
  )
})
