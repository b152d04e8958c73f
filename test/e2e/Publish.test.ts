/**
 * An owner publishes releases on a hub that hosts channels, by one command: the real hub and the real client, over a wire
 * that can be cut. What was published is what an installed `tela` follows.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Ed25519 from "../../src/crypto/Ed25519.ts"
import { machine } from "../../src/system/release/Update.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { key, unpack } from "../system/release/made.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Program from "./harness/Program.ts"
import * as Releases from "./harness/Releases.ts"
import * as Tela from "./harness/Tela.ts"
import * as Typed from "./harness/Typed.ts"
import * as Wire from "./harness/Wire.ts"

const PUBLISH = "tela admin hub channel publish release -hub wss://hub.example.com"

/** A hub that hosts channels, an owner's shell with the folder `release` in it, and the wire between them. */
const world = Effect.gen(function* () {
  const tokens = { owner: HubConfig.token(), admin: HubConfig.token() }
  const file = Path.join(yield* temporaryFolder, "telahubd.yaml")
  const text = HubConfig.text({
    identities: { owner: { token: tokens.owner, role: "owner" }, admin: { token: tokens.admin, role: "admin" } },
    machines: {}
  })
  Fs.writeFileSync(file, `channels: { enabled: true, key: "${key.publicKey.text}" }\n${text}`, { mode: 0o600 })
  const { port, program } = yield* Tela.startHub(file)
  const wire = yield* Wire.make(port)
  const typed = yield* Typed.make({ "wss://hub.example.com": wire.url })
  yield* typed.run("tela login wss://hub.example.com", { input: `${tokens.owner}\n` })
  const release = Path.join(typed.home, "release")
  const data = Path.join(Path.dirname(file), "channels")
  return {
    tokens,
    program,
    wire,
    typed,
    release,
    data,
    address: `http://127.0.0.1:${wire.port}/channels`,
    names: (folder: string) => {
      const path = Path.join(data, folder)
      return Fs.existsSync(path) ? Fs.readdirSync(path) : []
    }
  }
})

describe("tela admin hub channel publish", () => {
  it.scopedLive("publishes what installed programs follow", () =>
    Effect.gen(function* () {
      const { address, release, typed } = yield* world
      const first = yield* Releases.make(release, { version: "v1.0.0", program: "tela" })
      const { home } = yield* unpack(release, first, "tela")
      const [archive] = first.archives
      const published = yield* Program.run(typed.command(PUBLISH))
      assert.match(published.stdout, /^\S+: published stable v1\.0\.0\n/)
      assert.include(published.stdout, `\nIt is followed with: tela channel sources set stable ${address}\n`)
      const size = archive?.binary.size
      assert.include(published.stderr, `Sending ${archive?.name} (${size} bytes)\n`)
      assert.match(published.stderr, new RegExp(`: 25 % of ${size} bytes\n(.*\n)*.*: 100 % of ${size} bytes\n`))

      const installed = Path.join(home, "bin/tela")
      yield* typed.run(`${installed} channel sources set stable ${address}`)
      assert.match(yield* typed.run(`${installed} channel`), /v1\.0\.0.*up to date/)
      yield* Releases.make(release, { version: "v1.0.1", program: "tela" })
      yield* typed.run(PUBLISH)
      assert.match(yield* typed.run(`${installed} channel`), /v1\.0\.1.*update available/)
      assert.match(yield* typed.run(`${installed} update`), /Installed v1\.0\.1; v1\.0\.0 is kept/)
    })
  )

  it.scopedLive("that was cut is repeated, and sends the rest", () =>
    Effect.gen(function* () {
      const { names, program, release, typed, wire } = yield* world
      const targets = [machine, { os: "linux", arch: "mips" }, { os: "plan9", arch: "amd64" }]
      const { archives } = yield* Releases.make(release, { version: "v1.0.0", program: "tela", targets })
      wire.slow(300_000)
      const before = wire.taken()
      const cut = yield* Program.start(typed.command(PUBLISH))
      yield* cut.expect(new RegExp(`Sending ${archives[1]?.name} `))
      // It asked for each archive, and has sent the first one; the second is under way.
      while (wire.taken() < before + archives.length + 2) yield* Effect.sleep("5 millis")
      wire.reset()
      const { code } = yield* cut.ended
      assert.strictEqual(code, 1)
      assert.match(
        cut.output("stderr"),
        /\ntela: cannot reach \S+: .*; nothing is published; the same command again sends the rest\n$/
      )
      assert.deepStrictEqual([names("published"), names("files/stable")], [[], [archives[0]?.name]])

      wire.slow(Number.POSITIVE_INFINITY)
      assert.include(yield* typed.run(`${PUBLISH} -dry-run`), `  ${archives[0]?.name}  is there\n`)
      const { stderr } = yield* Program.run(typed.command(PUBLISH))
      assert.match(stderr, /^1 of 3 archives are there already\nSending \S+ \(\d+ bytes\)\n/)
      assert.notInclude(stderr, `Sending ${archives[0]?.name}`)
      assert.includeMembers(
        names("files/stable"),
        archives.map(({ name }) => name)
      )
      assert.deepStrictEqual(names("incoming"), [])
      assert.strictEqual((yield* program.end("SIGTERM", "40 seconds")).code, 0)
    })
  )

  it.scopedLive("is for owners, and for releases that the hub's key has signed", () =>
    Effect.gen(function* () {
      const { address, names, release, tokens, typed } = yield* world
      yield* Releases.make(release, { version: "v1.0.0", program: "tela", key: Ed25519.generate() })
      const asAdmin = yield* typed.fail(PUBLISH, { env: { TELA_TOKEN: tokens.admin } })
      assert.strictEqual(asAdmin.code, 1)
      assert.match(asAdmin.stderr, /^tela: \S+ refused: only an owner may .*; the token came from TELA_TOKEN\n$/)
      assert.deepStrictEqual(names("files"), [])

      const thief = yield* typed.fail(PUBLISH)
      assert.strictEqual(thief.code, 1)
      assert.match(
        thief.stderr,
        /\ntela: \S+: stable-v1\.0\.0\.json is not signed with channels\.key \(SHA256:\S+\)\n$/
      )
      assert.deepStrictEqual(names("published"), [])
      const status = yield* Effect.promise(async () => {
        const response = await fetch(`${address}/stable.json`, { headers: { connection: "close" } })
        await response.text()
        return response.status
      })
      assert.strictEqual(status, 404)

      Fs.rmSync(Path.join(release, "stable.json.sig"))
      const damaged = yield* typed.fail(PUBLISH)
      assert.match(damaged.stderr, /^tela: \S+release\/stable\.json\.sig is missing; make the release again/)
      assert.strictEqual((yield* typed.fail(PUBLISH.replace("release ", ""))).code, 2)
    })
  )
})
