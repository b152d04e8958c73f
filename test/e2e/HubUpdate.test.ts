/**
 * A hub that was installed from a release updates itself from a channel of its own, into which its owner has put the
 * releases: the real telahubd, in several versions, with nobody who supervises it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Ed25519 from "../../src/crypto/Ed25519.ts"
import type * as Maker from "../../src/system/release/Maker.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { key, unpack } from "../system/release/made.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Releases from "./harness/Releases.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import * as Typed from "./harness/Typed.ts"
import { repositoryRoot } from "./harness/Workspace.ts"

const H = "-hub wss://hub.example.com"

/** The hub with another migration, as a version that comes later has one. */
const withMoreTables = (bundle: string): string => {
  const edited = bundle.replace(
    /"3_machines":\s*(\w+)\(/,
    (found, statements) =>
      `"4_more":${statements}("ALTER TABLE pair_codes ADD COLUMN note TEXT","PRAGMA user_version = 3"),${found}`
  )
  assert.notStrictEqual(edited, bundle, "the bundle holds its migrations by name")
  return edited
}

/** A hub from a release of v1.0.0, which hosts the channel that it follows, and what is done with it. */
const world = Effect.gen(function* () {
  const tokens = {
    owner: HubConfig.token(),
    admin: HubConfig.token(),
    agent: HubConfig.token(),
    alice: HubConfig.token()
  }
  const channel = yield* temporaryFolder
  const first = yield* Releases.make(channel, { version: "v1.0.0", program: "telahubd" })
  const { home } = yield* unpack(channel, first, "telahubd")
  Fs.symlinkSync(Path.join(repositoryRoot, "node_modules"), Path.join(home, "node_modules"))
  const file = Path.join(yield* temporaryFolder, "telahubd.yaml")
  const text = HubConfig.text({
    identities: {
      owner: { token: tokens.owner, role: "owner" },
      admin: { token: tokens.admin, role: "admin" },
      agent: { token: tokens.agent },
      alice: { token: tokens.alice }
    },
    machines: { barn: { register: tokens.agent, connect: [tokens.alice] } }
  })
  Fs.writeFileSync(file, `channels: { enabled: true, key: "${key.publicKey.text}" }\n${text}`, { mode: 0o600 })
  const { port, program, url } = yield* Tela.startHub(file, 0, home)
  const typed = yield* Typed.make({ "wss://hub.example.com": url })
  const address = `http://127.0.0.1:${port}`

  const ask = (method: string, path: string, body: Uint8Array | string, token: string = tokens.owner) =>
    Effect.promise(async () => {
      const headers = { authorization: `Bearer ${token}`, connection: "close" }
      const response = await fetch(`${address}/api/admin/channels/${path}`, { method, headers, body })
      return { status: response.status, text: await response.text() }
    })

  return {
    tokens,
    home,
    port,
    program,
    url,
    typed,
    address,
    ask,
    versions: () => Fs.readdirSync(Path.join(home, "versions")),
    /** Makes a release, and uploads and publishes it as its owner. */
    publish: (options: Omit<Releases.Options, "program">) =>
      Effect.gen(function* () {
        const made: Maker.Made = yield* Releases.make(channel, { ...options, program: "telahubd" })
        const manifests = ["stable", `stable-${options.version}`].flatMap((name) => [
          `${name}.json`,
          `${name}.json.sig`
        ])
        for (const { name } of made.archives) {
          const bytes = Fs.readFileSync(Path.join(channel, "files/stable", name))
          assert.strictEqual((yield* ask("PUT", `files/stable/${name}`, bytes)).status, 200)
        }
        for (const name of manifests) {
          const bytes = Fs.readFileSync(Path.join(channel, name))
          assert.strictEqual((yield* ask("PUT", `files/stable/${name}`, bytes)).status, 200)
        }
        return yield* ask("POST", "publish", JSON.stringify({ channel: "stable", tag: options.version }))
      })
  }
})

describe("a hub from a release", () => {
  it.scopedLive("is updated from the channel that it hosts; agents, clients and their connections go on", () =>
    Effect.gen(function* () {
      const { address, ask, port, program, publish, tokens, typed, url } = yield* world
      yield* typed.run("tela login wss://hub.example.com", { input: `${tokens.owner}\n` })
      const service = yield* Sockets.serve(Sockets.echo)
      const machines = [{ name: "barn", services: [{ port: service, name: "echo" }] }]
      const agent = yield* Tela.startAgent(yield* Tela.agentFolder(url, tokens.agent, machines), machines)
      const client = yield* Tela.connect(url, { machine: "barn", token: tokens.alice })
      const socket = yield* Sockets.open(client.port("echo"))
      const echoed = (word: string) =>
        Effect.gen(function* () {
          socket.write(word)
          assert.strictEqual((yield* Sockets.read(socket, word.length)).toString(), word)
        })
      yield* echoed("before")

      assert.strictEqual((yield* publish({ version: "v1.0.0" })).status, 200)
      const set = yield* typed.run(`tela admin hub channel set stable -manifest-base ${address}/channels ${H}`)
      assert.include(set, `: the channel is stable, from ${address}/channels/stable.json\n`)
      assert.match(
        yield* typed.run(`tela admin hub channel ${H}`),
        / {2}current version: v1\.0\.0\n {2}latest version: {2}v1\.0\.0 {2}\(up to date\)\n/
      )
      assert.match(yield* typed.run(`tela admin hub update ${H}`), /: already running v1\.0\.0\n$/)

      assert.strictEqual((yield* publish({ version: "v1.0.1" })).status, 200)
      assert.match(yield* typed.run(`tela admin hub channel ${H}`), /v1\.0\.1 {2}\(update available\)/)
      const asAdmin = { env: { TELA_TOKEN: tokens.admin } }
      const refused = yield* typed.fail(`tela admin hub update ${H}`, asAdmin)
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /^tela: .*owner.*TELA_TOKEN/)
      assert.strictEqual(
        (yield* ask("POST", "publish", `{"channel":"stable","tag":"v1.0.1"}`, tokens.admin)).status,
        403
      )

      const from = { agent: agent.mark(), client: client.program.mark() }
      const updated = yield* typed.run(`tela admin hub update ${H}`)
      assert.match(updated, /: updating to v1\.0\.1\n.*: running v1\.0\.1\n$/)
      yield* program.expect(/v1\.0\.1 is healthy, and stays/)
      yield* echoed("after")
      yield* Tela.registered(agent, "barn", from.agent)
      assert.notMatch(client.program.output().slice(from.client), /reset/i)
      assert.match(yield* typed.run(`tela admin hub status ${H}`), /v1\.0\.1/)
      assert.match(yield* typed.run(`tela admin hub channel ${H}`), /current version: v1\.0\.1\n.*\(up to date\)\n/)
      const older = yield* typed.fail(`tela admin hub update ${H} -version v1.0.0`)
      assert.match(older.stderr, /v1\.0\.0 is older than v1\.0\.1/)

      yield* client.program.end("SIGINT")
      assert.strictEqual((yield* program.end("SIGTERM", "40 seconds")).code, 0)
      assert.strictEqual((yield* Effect.either(Sockets.open(port)))._tag, "Left", "nobody is left on the port")
    })
  )

  it.scopedLive("takes nothing that another key has signed, and goes back by itself from what does not work", () =>
    Effect.gen(function* () {
      const { address, home, program, publish, tokens, typed, versions } = yield* world
      yield* typed.run("tela login wss://hub.example.com", { input: `${tokens.owner}\n` })
      const current = Fs.readFileSync(Path.join(home, "current.json"), "utf8")

      // Its own channel does not even take it; another one may have it.
      const thief = Ed25519.generate()
      const taken = yield* publish({ version: "v1.0.1", key: thief })
      assert.strictEqual(taken.status, 422)
      assert.include(taken.text, "is not signed with channels.key")
      const elsewhere = yield* temporaryFolder
      yield* Releases.make(elsewhere, { version: "v1.0.1", program: "telahubd", key: thief })
      const base = yield* Releases.serve(elsewhere)
      yield* typed.run(`tela admin hub channel set stable -manifest-base ${base} ${H}`)
      const refused = yield* typed.fail(`tela admin hub update ${H}`)
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /stable\.json is not signed with /)
      assert.match(yield* typed.run(`tela admin hub channel ${H}`), /unavailable \(.*stable\.json is not signed with /)
      assert.strictEqual(Fs.readFileSync(Path.join(home, "current.json"), "utf8"), current)
      assert.deepStrictEqual(versions(), ["v1.0.0"])

      // One that runs when it is tried, adds to the tables, and ends when it is to listen.
      const dies = `require("node:net").Server.prototype.listen = () => process.exit(1)`
      assert.strictEqual((yield* publish({ version: "v1.0.2", first: dies, edit: withMoreTables })).status, 200)
      yield* typed.run(`tela admin hub channel set stable -manifest-base ${address}/channels ${H}`)
      const { code, stderr } = yield* typed.fail(`tela admin hub update ${H}`)
      const reason = "it was started 2 times and never became healthy"
      assert.strictEqual(code, 1)
      assert.include(stderr, `: the update to v1.0.2 came to nothing: rolled back to v1.0.0: ${reason}\n`)
      const shown = yield* typed.run(`tela admin hub channel ${H}`)
      assert.match(shown, / {2}current version: v1\.0\.0\n {2}latest version: {2}v1\.0\.2 {2}\(update available\)\n/)
      assert.include(shown, `  last update:     v1.0.2: rolled back to v1.0.0: ${reason}\n`)
      // The one that is back goes on with the tables as they are now, and with what is in them.
      assert.match(program.output(), /a newer telahubd has added to the database; this one goes on with it .*schema=4/)
      assert.match(yield* typed.run(`tela admin history ${H}`), /hub-update/)
      assert.strictEqual((yield* program.end("SIGTERM", "40 seconds")).code, 0)
    })
  )
})
