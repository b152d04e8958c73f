/** What programs keep of hubs, as a person at a terminal, a script, and an agent meet it. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { silentServer } from "../cli/World.ts"
import * as FakeHub from "../support/FakeHub.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Program from "./harness/Program.ts"
import { bin, type Name } from "./harness/Tela.ts"
import * as Terminal from "./harness/Terminal.ts"
import * as Tools from "./harness/Tools.ts"

const token = "5f0c7a5293c54d0e8a3f0c9a91be04aa5f0c7a5293c54d0e8a3f0c9a91be04aa"
const alice = { id: "alice", role: "user", machines: [{ machineId: "barn", permissions: ["connect"] }] }

const answers: Readonly<Record<string, FakeHub.Answer>> = {
  "GET /api/whoami": { body: alice },
  "POST /api/pair": { body: { token, identity: "alice", type: "connect" } },
  "POST /api/admin/rotate/alice": { body: { status: "rotated", id: "alice", token, version: 2 } }
}

/** A hub that answers as told, and a home from which programs run. */
const setting = (more: Readonly<Record<string, FakeHub.Answer>> = {}) =>
  Effect.gen(function* () {
    const hub = yield* FakeHub.make({ ...answers, ...more })
    const home = yield* temporaryFolder
    const env = { HOME: home, TELA_HOME: Path.join(home, "user"), TELA_SYSTEM: Path.join(home, "system") }
    const file = Path.join(home, "user", "credentials.yaml")
    const run = (program: Name, args: ReadonlyArray<string>, more: Partial<Program.Command> = {}) =>
      Program.outcome({ command: bin(program), args, ...more, env: { ...env, ...more.env } })
    const kept = (path = file) => (Fs.existsSync(path) ? Fs.readFileSync(path, "utf8") : undefined)
    return { hub, home, env, file, run, kept }
  })

describe("tela login, logout and whoami", () => {
  it.scopedLive("reads the token from a pipe, tries it, and keeps it for its owner only", () =>
    Effect.gen(function* () {
      const { env, file, hub, kept, run } = yield* setting()
      const login = yield* run("tela", ["login", hub.url], { input: `${token}\nmore\n` })
      assert.deepStrictEqual(
        [login.code, login.stdout, login.stderr],
        [0, `Logged in to ${hub.url} as alice, role user; the token is kept in ${file}.\n`, ""]
      )
      assert.deepStrictEqual(hub.asked, [{ method: "GET", path: "/api/whoami", token, body: undefined }])
      assert.match(kept() ?? "", new RegExp(`^hubs:\n  ${hub.url}:\n    token: ${token}\n    identity: alice$`, "m"))
      assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)

      const who = yield* run("tela", ["whoami", "-hub", hub.url.replace("ws://", "http://")])
      assert.strictEqual(
        who.stdout,
        [
          `Hub:      ${hub.url}`,
          "Identity: alice",
          "Role:     user",
          "Expires:  -",
          "Machines: barn: connect",
          `Token:    from ${file}`,
          ""
        ].join("\n")
      )
      const json: unknown = JSON.parse((yield* run("tela", ["whoami", "-json", "-hub", hub.url])).stdout)
      assert.deepStrictEqual(json, { hub: hub.url, ...alice, source: file })
      const fromEnv = yield* run("tela", ["whoami", "-hub", hub.url], { env: { ...env, TELA_TOKEN: "other" } })
      assert.match(fromEnv.stdout, /^Token: {4}from TELA_TOKEN$/m)

      const logout = yield* run("tela", ["logout", hub.url])
      assert.deepStrictEqual([logout.code, logout.stdout], [0, `Forgot what was kept for ${hub.url} in ${file}.\n`])
      assert.notInclude(kept() ?? "", token)
      const again = yield* run("tela", ["logout", hub.url])
      assert.deepStrictEqual([again.code, again.stdout], [0, `Nothing is kept for ${hub.url}.\n`])
      const nobody = yield* run("tela", ["whoami", "-hub", hub.url])
      assert.strictEqual(nobody.code, 1)
      assert.match(nobody.stderr, /^tela: no token for ws:.*, or run: tela login ws:.*\n$/)
    })
  )

  it.scopedLive("keeps nothing that the hub does not take, nor an empty line, nor a flood", () =>
    Effect.gen(function* () {
      const { hub, kept, run } = yield* setting({
        "GET /api/whoami": { status: 401, body: { error: "no such token" } }
      })
      for (const [input, says] of [
        [`${token}\n`, /refused the token: no such token; nothing was stored$/],
        ["", /no token was given; nothing was stored$/],
        ["x".repeat(100_000), /longer than 4096 bytes$/]
      ] as const) {
        const { code, stderr, stdout } = yield* run("tela", ["login", hub.url], { input })
        assert.deepStrictEqual([code, stdout], [1, ""])
        assert.match(stderr.trimEnd(), says)
        assert.notInclude(stderr, token)
        assert.isUndefined(kept())
      }
    })
  )

  it.scopedLive("logs in at a deployed hub, which cannot say who it is", () =>
    Effect.gen(function* () {
      const { hub, kept, run } = yield* setting({
        "GET /api/whoami": { status: 404, body: "404 page not found" },
        "GET /api/status": { body: { machines: [], timestamp: "2026-07-01T00:00:00Z" } }
      })
      const login = yield* run("tela", ["login", hub.url], { input: token })
      assert.match(login.stdout, /^Logged in to ws:\S+; the token is kept in /)
      assert.include(kept() ?? "", token)
    })
  )

  it.scopedLive("refuses a store that others can read", () =>
    Effect.gen(function* () {
      const { file, hub, run } = yield* setting()
      Fs.mkdirSync(Path.dirname(file))
      Fs.writeFileSync(file, `hubs:\n  ${hub.url}:\n    token: ${token}\n`)
      Fs.chmodSync(file, 0o644)
      for (const [args, input] of [
        [["login", hub.url], token],
        [["whoami", "-hub", hub.url], ""],
        [["connect", "-hub", hub.url, "-machine", "barn"], ""]
      ] as const) {
        const { code, stderr } = yield* run("tela", args, { input })
        assert.strictEqual(code, 1)
        assert.strictEqual(
          stderr,
          `tela: ${file}: other users can read this file, and it holds tokens; run: chmod 600 ${file}\n`
        )
      }
    })
  )
})

describe("tela pair", () => {
  it.scopedLive("keeps the token in place of another, and the pin that was there, and says what is next", () =>
    Effect.gen(function* () {
      const { file, hub, kept, run } = yield* setting()
      const pin = `sha256:${"ab".repeat(32)}`
      Fs.mkdirSync(Path.dirname(file))
      Fs.writeFileSync(file, `hubs:\n  ${hub.url}:\n    token: old\n    pin: ${pin}\n`, { mode: 0o600 })
      const refused = yield* run("tela", ["pair", "-code", "abcd1234", "-hub", hub.url])
      assert.deepStrictEqual([refused.code, refused.stdout, hub.asked], [1, "", []])
      assert.strictEqual(
        refused.stderr,
        `tela: the code was not redeemed: ${file} keeps a token for ${hub.url}; to put the new one in its place, add -replace\n`
      )
      const { code, stderr, stdout } = yield* run("tela", ["pair", "-code", "abcd1234", "-hub", hub.url, "-replace"])
      assert.deepStrictEqual(
        [code, stderr, stdout],
        [
          0,
          "",
          [
            `Paired with ${hub.url} as alice; the token is kept in ${file}.`,
            "You may use: barn: connect",
            `Next: tela connect -hub ${hub.url} -machine barn`,
            ""
          ].join("\n")
        ]
      )
      assert.deepStrictEqual(hub.asked[0], {
        method: "POST",
        path: "/api/pair",
        token: undefined,
        body: { code: "ABCD-1234", type: "connect" }
      })
      assert.strictEqual(kept(), `hubs:\n  ${hub.url}:\n    token: ${token}\n    pin: ${pin}\n    identity: alice\n`)
    })
  )

  it.scopedLive.each([
    [401, {}, /refused the code: it was redeemed$/],
    [429, { "retry-after": "12" }, /takes no more requests for now; try again in 12 s$/],
    [507, {}, /nothing has changed: it was redeemed$/]
  ] as const)("HTTP %d is a sentence, and nothing is kept", ([status, headers, says]) =>
    Effect.gen(function* () {
      const { hub, kept, run } = yield* setting({
        "POST /api/pair": { status, headers, body: { error: "it was redeemed" } }
      })
      const { code, stderr, stdout } = yield* run("tela", ["pair", "-hub", hub.url, "-code", "ABCD-1234"])
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.match(stderr.trimEnd(), says)
      assert.notInclude(stderr, "ABCD")
      assert.isUndefined(kept())
    })
  )

  it.scopedLive("what can be no code is not asked for, nor repeated", () =>
    Effect.gen(function* () {
      const { hub, run } = yield* setting()
      const { code, stderr } = yield* run("tela", ["pair", "-hub", hub.url, "-code", "ABCD-123"])
      assert.strictEqual(code, 2)
      assert.match(stderr, /^tela: -code is no pairing code; .* \(see tela pair -h\)\n$/)
      assert.notInclude(stderr, "ABCD-123 ")
      assert.deepStrictEqual(hub.asked, [])
    })
  )

  it.scopedLive("a code is spent only when its token can be kept", () =>
    Effect.gen(function* () {
      const { hub, home, run } = yield* setting()
      const blocked = Path.join(home, "blocked")
      Fs.writeFileSync(blocked, "")
      const { code } = yield* run("tela", ["pair", "-hub", hub.url, "-code", "ABCD-1234"], {
        env: { TELA_HOME: Path.join(blocked, "user") }
      })
      assert.strictEqual(code, 1)
      assert.deepStrictEqual(hub.asked, [])
    })
  )

  it.scopedLive.skipIf(process.platform !== "linux")("the code is not in the process listing", () =>
    Effect.gen(function* () {
      const { env } = yield* setting()
      const { arrived, port } = yield* silentServer
      const pairing = yield* Program.start({
        command: bin("tela"),
        args: ["pair", "-hub", `ws://127.0.0.1:${port}`, "-code", "ABCD-1234"],
        env
      })
      yield* arrived
      const shown = Fs.readFileSync(`/proc/${pairing.pid}/cmdline`, "utf8")
      assert.notInclude(shown, "ABCD")
      assert.include(shown, "-code ***")
      assert.strictEqual((yield* pairing.end("SIGINT")).code, 130)
    })
  )
})

describe("telad login, logout and pair", () => {
  it.scopedLive("keeps what is the computer's in the system's store, where the agent finds it", () =>
    Effect.gen(function* () {
      const { env, home, hub, kept, run } = yield* setting({
        "POST /api/pair": { body: { token, identity: "barn-agent", type: "register", machine: "barn" } }
      })
      const system = Path.join(home, "system", "credentials.yaml")
      const paired = yield* run("telad", ["pair", "-hub", hub.url, "-code", "ABCD-1234"])
      assert.deepStrictEqual(
        [paired.code, paired.stderr, paired.stdout],
        [
          0,
          "",
          [
            `Paired with ${hub.url} as barn-agent; the token is kept in ${system}.`,
            "It may register barn.",
            `Next: telad -hub ${hub.url} -machine barn -ports "22:SSH"`,
            ""
          ].join("\n")
        ]
      )
      assert.include(kept(system) ?? "", token)
      assert.isUndefined(kept())
      const logout = yield* run("telad", ["logout", "-hub", hub.url])
      assert.strictEqual(logout.stdout, `Forgot what was kept for ${hub.url} in ${system}.\n`)
      const login = yield* run("telad", ["login", "-hub", hub.url], { input: token })
      assert.match(login.stdout, /^Logged in to /)
      assert.include(kept(system) ?? "", token)
      assert.notInclude(JSON.stringify(env), token)
    })
  )

  it.scopedLive.skipIf(process.platform !== "linux")("keeps it in the user's store, with a note, where it must", () =>
    Effect.gen(function* () {
      const { file, hub, kept, run } = yield* setting()
      const login = yield* run("telad", ["login", "-hub", hub.url], {
        input: token,
        env: { TELA_SYSTEM: "/sys/none" }
      })
      assert.strictEqual(login.code, 0)
      assert.match(
        login.stderr,
        /^Note: only agents that you start yourself will find it, in .*cannot be written: .*\n$/
      )
      assert.include(login.stdout, `the token is kept in ${file}`)
      assert.include(kept() ?? "", token)
    })
  )

  it.scopedLive.skipIf(process.platform !== "linux")("leaves a person's own token in the same file alone", () =>
    Effect.gen(function* () {
      const { env, file, hub, kept, run } = yield* setting({
        "POST /api/pair": {
          body: { token: "agents-paired", identity: "barn-agent", type: "register", machine: "barn" }
        }
      })
      const more = { env: { ...env, TELA_SYSTEM: "/sys/none" } }
      const of = (name: string) => ["-hub", hub.url, ...(name === "" ? [] : [name])]
      yield* run("tela", ["login", hub.url], { ...more, input: token })
      const login = yield* run("telad", ["login", ...of("")], { ...more, input: "agents-token" })
      assert.deepStrictEqual([login.code, hub.asked.at(-1)?.token], [0, "agents-token"])
      const both = kept() ?? ""
      assert.include(both, `    token: ${token}\n`)
      assert.include(both, "    agent:\n      token: agents-token\n")
      // Nor does the agent's take the place of the person's, or hide it.
      const who = yield* run("tela", ["whoami", ...of("")], more)
      assert.deepStrictEqual([who.code, hub.asked.at(-1)?.token], [0, token])
      const paired = yield* run("telad", ["pair", ...of("-replace"), "-code", "ABCD-1234"], more)
      assert.strictEqual(paired.code, 0)
      assert.include(kept() ?? "", "    agent:\n      token: agents-paired\n")
      assert.include(kept() ?? "", `    token: ${token}\n`)

      const logout = yield* run("telad", ["logout", ...of("")], more)
      assert.deepStrictEqual([logout.code, logout.stdout], [0, `Forgot what was kept for ${hub.url} in ${file}.\n`])
      assert.notInclude(kept() ?? "", "agent")
      assert.include(kept() ?? "", `    token: ${token}\n`)
      const again = yield* run("telad", ["logout", ...of("")], more)
      assert.deepStrictEqual(
        [again.code, again.stdout],
        [
          0,
          `Nothing is kept for an agent at ${hub.url}. Your own token stays; to forget it, run: tela logout ${hub.url}\n`
        ]
      )
      assert.include(kept() ?? "", `    token: ${token}\n`)
      yield* run("telad", ["login", ...of("")], { ...more, input: "agents-token" })
      yield* run("tela", ["logout", hub.url], more)
      assert.notInclude(kept() ?? "", token)
      assert.include(kept() ?? "", "    agent:\n      token: agents-token\n")
    })
  )

  it.scopedLive("a code of the other type is spent, and takes the place of no token", () =>
    Effect.gen(function* () {
      const { home, hub, kept, run } = yield* setting()
      const system = Path.join(home, "system", "credentials.yaml")
      const args = ["pair", "-hub", hub.url, "-code", "ABCD-1234"]
      yield* run("telad", ["login", "-hub", hub.url], { input: "agents-token" })
      const agent = yield* run("telad", [...args, "-machine", "barn", "-replace"])
      assert.deepStrictEqual([agent.code, agent.stdout], [1, ""])
      assert.match(
        agent.stderr,
        /^telad: this was a connect code, .* is spent now, .*tela admin pair-code MACHINE -type register\n$/
      )
      assert.deepStrictEqual(hub.asked.at(-1)?.body, { code: "ABCD-1234", type: "register", machineId: "barn" })
      assert.include(kept(system) ?? "", "token: agents-token\n")
      const registering = yield* setting({
        "POST /api/pair": { body: { token, identity: "barn-agent", type: "register", machine: "barn" } }
      })
      const person = yield* registering.run("tela", ["pair", "-hub", registering.hub.url, "-code", "ABCD-1234"])
      assert.deepStrictEqual([person.code, person.stdout], [1, ""])
      assert.match(person.stderr, /^tela: this was a register code, .* is spent now, .*tela admin pair-code MACHINE\n$/)
      assert.isUndefined(registering.kept())
    })
  )
})

const { notice, skip } = Tools.missing("script", "stty")

describe.skipIf(skip)(`At a terminal${notice}`, () => {
  const after = "; echo code=$?; stty -a"

  it.scopedLive("the token is typed unseen, corrected, and kept", () =>
    Effect.gen(function* () {
      const { env, hub, kept } = yield* setting()
      const terminal = yield* Terminal.run(`${bin("tela")} login ${hub.url}${after}`, env)
      yield* terminal.expect(/Token: /)
      yield* terminal.type(`wrong\u0015${token}xy\u007f\u007f\r`)
      yield* terminal.expect(/ echok? /)
      yield* terminal.ended
      assert.match(terminal.seen(), /Token: \r?\nLogged in to ws:.* as alice.*\r?\ncode=0/)
      assert.match(terminal.seen(), / icanon .* echo /s)
      assert.notInclude(terminal.seen(), "wrong")
      assert.notInclude(terminal.seen(), token.slice(0, 8))
      assert.include(kept() ?? "", `token: ${token}\n`)
    })
  )

  it.scopedLive("Ctrl-C gives up, and leaves the terminal as it was", () =>
    Effect.gen(function* () {
      const { env, hub, kept } = yield* setting()
      const terminal = yield* Terminal.run(`${bin("tela")} login ${hub.url}${after}`, env)
      yield* terminal.expect(/Token: /)
      yield* terminal.type("half\u0003")
      yield* terminal.expect(/code=130/)
      yield* terminal.ended
      assert.match(terminal.seen(), / icanon .* echo /s)
      assert.notInclude(terminal.seen(), "half")
      assert.deepStrictEqual([hub.asked, kept()], [[], undefined])
    })
  )

  it.scopedLive("SIGHUP gives up too, and leaves the terminal as it was", () =>
    Effect.gen(function* () {
      const { env, hub, kept } = yield* setting()
      const line = `sh -c 'echo pid=$$; exec ${bin("tela")} login ${hub.url}'${after}`
      const terminal = yield* Terminal.run(line, env)
      const [, pid] = yield* terminal.expect(/pid=(\d+)/)
      yield* terminal.expect(/Token: /)
      process.kill(Number(pid), "SIGHUP")
      yield* terminal.expect(/code=130/)
      yield* terminal.ended
      assert.match(terminal.seen(), / icanon .* echo /s)
      assert.deepStrictEqual([hub.asked, kept()], [[], undefined])
    })
  )

  it.scopedLive.each([
    ["n\r", [], /nothing was changed\r?\ncode=1/],
    ["\r", [], /nothing was changed\r?\ncode=1/],
    ["y\r", ["/api/admin/rotate/alice"], new RegExp(`^${token}\r?\ncode=0`, "m")]
  ] as const)("a person is asked before something is taken away: %j", ([keys, asked, says]) =>
    Effect.gen(function* () {
      const { env, hub } = yield* setting()
      const line = `${bin("tela")} admin rotate alice -quiet -hub ${hub.url}; echo code=$?`
      const terminal = yield* Terminal.run(line, { ...env, TELA_TOKEN: "owners" })
      yield* terminal.expect(/Replace the token of alice at ws:\S+\? \[y\/N\] /)
      yield* terminal.type(keys)
      yield* terminal.expect(/code=\d/)
      yield* terminal.ended
      assert.match(terminal.seen(), says)
      assert.deepStrictEqual(
        hub.asked.map(({ path }) => path),
        [...asked]
      )
    })
  )

  it.scopedLive.each([
    ["n\r", /the code was not redeemed.*\r?\ncode=1/, "old"],
    ["y\r", /Paired with .* as alice;[^]*code=0/, token]
  ] as const)("a person is asked before pairing replaces a token: %j", ([keys, says, remains]) =>
    Effect.gen(function* () {
      const { env, file, hub, kept } = yield* setting()
      Fs.mkdirSync(Path.dirname(file))
      Fs.writeFileSync(file, `hubs:\n  ${hub.url}:\n    token: old\n    identity: owner\n`, { mode: 0o600 })
      const line = `${bin("tela")} pair -hub ${hub.url} -code ABCD-1234; echo code=$?`
      const terminal = yield* Terminal.run(line, env)
      yield* terminal.expect(/keeps the token of owner for ws:\S+\. Replace it\? \[y\/N\] /)
      assert.deepStrictEqual(hub.asked, [])
      yield* terminal.type(keys)
      yield* terminal.expect(/code=\d/)
      yield* terminal.ended
      assert.match(terminal.seen(), says)
      assert.include(kept() ?? "", `token: ${remains}\n`)
    })
  )

  it.scopedLive("-yes asks nothing", () =>
    Effect.gen(function* () {
      const { env, hub } = yield* setting()
      const line = `${bin("tela")} admin rotate alice -yes -quiet -hub ${hub.url}`
      const terminal = yield* Terminal.run(line, { ...env, TELA_TOKEN: "owners" })
      yield* terminal.ended
      assert.strictEqual(terminal.seen().trim(), token)
    })
  )
})
