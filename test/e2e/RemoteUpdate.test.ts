/**
 * An agent that was installed from a release is updated through its hub, from one terminal: the real telad, in two
 * versions, with nobody who supervises it.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { unpack } from "../system/release/made.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import { descendants, isAlive } from "./harness/Memory.ts"
import * as Program from "./harness/Program.ts"
import * as Releases from "./harness/Releases.ts"
import * as Tela from "./harness/Tela.ts"
import * as Typed from "./harness/Typed.ts"

const H = "-hub wss://hub.example.com"

describe("an agent from a release", () => {
  it.scopedLive("is updated through the hub, and is back with the version that was asked for", () =>
    Effect.gen(function* () {
      const token = HubConfig.token
      const tokens = { owner: token(), kim: token(), agent: token(), alice: token() }
      const hub = yield* Tela.hub({
        identities: {
          owner: { token: tokens.owner, role: "owner" },
          kim: { token: tokens.kim, role: "admin" },
          agent: { token: tokens.agent },
          alice: { token: tokens.alice }
        },
        machines: { barn: { register: tokens.agent, connect: [tokens.alice] } }
      })
      const typed = yield* Typed.make({ "wss://hub.example.com": hub.url })
      yield* typed.run("tela login wss://hub.example.com", { input: `${tokens.owner}\n` })

      const channel = yield* temporaryFolder
      const base = yield* Releases.serve(channel)
      const first = yield* Releases.make(channel, { version: "v1.0.0", program: "telad" })
      const { home } = yield* unpack(channel, first)
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "telad.yaml")
      const text = `# Of the river site.
hub: ${hub.url}
token: ${tokens.agent}
update:
  sources: { stable: "${base}" } # ours
machines:
  - name: barn
    ports: [22]
`
      Fs.writeFileSync(file, text, { mode: 0o600 })
      const agent = yield* Program.start({
        name: "telad",
        command: process.execPath,
        args: [Path.join(home, "bin/telad"), "-config", file],
        env: { HOME: folder, TELA_HOME: folder }
      })
      yield* Tela.registered(agent, "barn")

      assert.match(
        yield* typed.run(`tela admin agent channel -machine barn ${H}`),
        /latest version: {2}v1\.0\.0 {2}\(up to date\)/
      )
      assert.strictEqual(
        yield* typed.run(`tela admin agent update -machine barn ${H}`),
        "barn: already running v1.0.0\n"
      )

      yield* Releases.make(channel, { version: "v1.0.1", program: "telad" })
      const offered = yield* typed.run(`tela admin agent channel -machine barn ${H}`)
      assert.match(offered, /current version: v1\.0\.0\n {2}latest version: {2}v1\.0\.1 {2}\(update available\)/)

      const updated = yield* typed.run(`tela admin agent update -machine barn ${H} -version v1.0.1`)
      assert.strictEqual(updated, "barn: updating to v1.0.1\nbarn: running v1.0.1\n")
      assert.match(yield* typed.run(`tela admin agent list ${H}`), /^barn +online +v1\.0\.1 /m)

      // Nobody goes back from afar: whoever asks may be a hub that lies.
      const { code, stderr } = yield* typed.fail(`tela admin agent update -machine barn ${H} -version v1.0.0`)
      assert.strictEqual(code, 1)
      assert.match(stderr, /^tela: barn: .*older/)

      const set = yield* typed.run(`tela admin agent channel -machine barn ${H} set beta`)
      assert.match(set, /^barn: the channel is beta/)
      assert.match(Fs.readFileSync(file, "utf8"), /# ours/)
      assert.match(Fs.readFileSync(file, "utf8"), /channel: beta/)
      const unavailable = yield* typed.run(`tela admin agent channel -machine barn ${H}`)
      assert.match(unavailable, /latest version: {2}unavailable \(/)

      const sources = `tela admin agent channel -machine barn ${H} sources`
      const nightly = "https://dl.example.net/channels"
      assert.strictEqual(
        yield* typed.run(`${sources} set nightly ${nightly}/nightly.json`),
        `barn: nightly is at ${nightly}\n`
      )
      assert.strictEqual(
        yield* typed.run(sources),
        `CHANNEL         BASE URL\nnightly         ${nightly}\nstable          ${base}\n`
      )
      assert.match(Fs.readFileSync(file, "utf8"), /nightly: https:\/\/dl\.example\.net\/channels/)
      assert.strictEqual(yield* typed.run(`${sources} remove nightly`), "barn: nightly has no source any more\n")
      assert.deepStrictEqual(JSON.parse(yield* typed.run(`${sources} list -json`)), { sources: { stable: base } })
      const again = yield* typed.fail(`${sources} remove nightly`)
      assert.deepStrictEqual(again, { code: 1, stderr: 'tela: barn: no source is kept for "nightly"\n' })
      const adminsOwn = yield* typed.fail(`${sources} set stable ${nightly}`, { env: { TELA_OWNER_TOKEN: tokens.kim } })
      assert.strictEqual(adminsOwn.code, 1)
      assert.match(adminsOwn.stderr, /where an agent's code comes from is for an owner to choose; .*TELA_OWNER_TOKEN/)
      assert.notInclude(Fs.readFileSync(file, "utf8"), nightly)

      const children = descendants(agent.pid)
      assert.strictEqual(children.length, 1)
      assert.deepStrictEqual(yield* agent.end("SIGTERM", "20 seconds"), { code: 0, signal: null })
      for (const pid of children) assert.isFalse(isAlive(pid))
    })
  )
})
