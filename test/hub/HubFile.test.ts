import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { hashOf } from "../../src/crypto/Token.ts"
import { identify } from "../../src/policy/Identity.ts"
import { identitiesOf, identityOf } from "../../src/policy/Identity.ts"
import { decide } from "../../src/policy/Policy.ts"
import * as HubFile from "../../src/store/HubFile.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const write = (text: string) =>
  Effect.gen(function* () {
    const path = Path.join(yield* temporaryFolder, "telahubd.yaml")
    yield* Effect.promise(() => Fs.writeFile(path, text, { mode: 0o600 }))
    return path
  })

const loadText = (text: string) => Effect.flatMap(write(text), HubFile.load)
const problemOf = (text: string) => Effect.map(Effect.flip(loadText(text)), (error) => error.message)
const who = (file: HubFile.HubFile, token: string) => identify(file.snapshot, hashOf(Redacted.make(token)), Date.now())
const may = (file: HubFile.HubFile, token: string, permission: "register" | "connect" | "view", machine: string) =>
  decide(file.snapshot, { identity: who(file, token), permission, machine, now: Date.now() })
const noFlags: HubFile.HubFlags = { host: Option.none(), port: Option.none(), name: Option.none() }
const noOwnerToken = { ownerToken: Option.none() }

const deployed = `# Tela hub configuration
hubId: 550e8400-e29b-41d4-a716-446655440000
port: 8080
udpPort: 41820
name: owlsnest
wwwDir: ""
auth:
  tokens:
    - id: owner
      token: owner-secret
      hubRole: owner
    - id: agent
      token: agent-secret
      issuedAt: 2026-01-01T00:00:00.123456789Z
    - {id: alice, token: alice-secret}
    - {id: gone, token: gone-secret, revokedAt: 2026-01-01T00:00:00Z}
    - {id: late, token: late-secret, expiresAt: 2020-01-01T00:00:00Z}
    - id: console-viewer
      token: viewer-secret
      hubRole: viewer
  machines:
    "*":
      connectTokens: [owner-secret]
    barn:
      registerToken: agent-secret
      connectTokens:
        - alice-secret
        - {token: late-secret, services: [ssh, port-3000]}
    mill:
      connectTokens: [{token: alice-secret, services: [web]}]
`

const ours = `hubId: h
auth:
  revision: 7
  identities:
    owner: {"role":"owner","token":"sha256:${hashOf(Redacted.make("o"))}","prefix":"o","issuedAt":"2026-11-21T00:00:00.000Z"}
    bob: {"role":"user","token":"sha256:${hashOf(Redacted.make("b"))}","prefix":"b"}
  machines:
    "*": {"connect":[{"id":"bob","services":["SSH"]}]}
    barn: {"register":[{"id":"bob","expiresAt":"2999-01-01T00:00:00Z"}],"connect":[{"id":"bob"}]}
`

describe("HubFile", () => {
  it.scoped("reads a file of the deployed hub", () =>
    Effect.gen(function* () {
      const file = yield* loadText(deployed)
      assert.strictEqual(file.settings.port, 8080)
      assert.strictEqual(file.settings.name, "owlsnest")
      assert.strictEqual(who(file, "owner-secret")?.role, "owner")
      assert.strictEqual(who(file, "alice-secret")?.role, "user")
      assert.isUndefined(who(file, "gone-secret"))
      assert.isUndefined(who(file, "late-secret"))
      assert.isUndefined(who(file, ""))
      assert.isTrue(may(file, "agent-secret", "register", "barn").permit)
      assert.isFalse(may(file, "alice-secret", "register", "barn").permit)
      assert.isTrue(may(file, "alice-secret", "connect", "barn").permit)
      assert.deepStrictEqual(may(file, "alice-secret", "connect", "mill").services, ["web"])
      assert.isTrue(may(file, "viewer-secret", "view", "anything").permit)
      assert.isFalse(may(file, "viewer-secret", "connect", "anything").permit)
      assert.isFalse(JSON.stringify(identitiesOf(file.snapshot)).includes("alice-secret"))
    })
  )

  it.scoped("honours no machine that anybody could register, and names the command that mends it", () =>
    Effect.gen(function* () {
      const file = yield* loadText(deployed)
      assert.isFalse(may(file, "alice-secret", "register", "mill").permit)
      assert.isTrue(may(file, "owner-secret", "register", "mill").permit)
      const warnings = file.warnings.filter((text) => text.includes("tela admin access grant"))
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], "tela admin access grant <id> mill register")
      const spaced = yield* loadText(deployed.replace("mill:\n", '"Kim\'s PC":\n'))
      assert.include(spaced.warnings.join("\n"), "tela admin access grant <id> 'Kim'\\''s PC' register")
      const mended = deployed.replace("mill:\n", "mill:\n      register: [{ id: agent }]\n")
      const again = yield* loadText(mended)
      assert.isTrue(may(again, "agent-secret", "register", "mill").permit)
      assert.notInclude(again.warnings.join(), "tela admin")
      assert.strictEqual(file.warnings.filter((text) => text.includes("udpPort")).length, 1)
      assert.isFalse(file.warnings.some((text) => text.includes("secret")))
    })
  )

  it.scoped("reads our form, alone and beside the deployed one", () =>
    Effect.gen(function* () {
      const file = yield* loadText(ours)
      assert.strictEqual(file.snapshot.revision, 7)
      assert.deepStrictEqual(file.warnings, [])
      assert.isTrue(may(file, "b", "register", "barn").permit)
      assert.isUndefined(may(file, "b", "connect", "barn").services)
      assert.deepStrictEqual(may(file, "b", "connect", "other").services, ["SSH"])
      const both = yield* loadText(`${ours}    mill: {registerToken: b}\n  tokens:\n    - {id: carl, token: c}\n`)
      assert.isTrue(may(both, "b", "register", "mill").permit)
      assert.strictEqual(who(both, "c")?.id, "carl")
    })
  )

  it.scoped("keeps two identities of one label apart", () =>
    Effect.gen(function* () {
      const file = yield* loadText(
        "auth:\n  tokens:\n    - {id: owner, token: o, hubRole: owner}\n    - {id: p, token: p1}\n    - {id: p, token: p2}\n"
      )
      assert.strictEqual(who(file, "p1")?.id, "p")
      assert.strictEqual(who(file, "p2")?.id, "p-2")
    })
  )

  it.scoped("says where a file is wrong, and what was probably meant", () =>
    Effect.gen(function* () {
      const unknown = yield* problemOf(`${ours}prot: 80\n`)
      assert.match(unknown, /telahubd\.yaml:10:1: unknown key "prot"; did you mean "port"\?$/)
      const nested = yield* problemOf(ours.replace('"prefix":"b"', '"prefx":"b"'))
      assert.match(nested, /telahubd\.yaml:6:\d+: unknown key "prefx"; did you mean "prefix"/)
      const broken = yield* problemOf("auth: [1, 2\nport: 80\n")
      assert.match(broken, /telahubd\.yaml:\d+:\d+: /)
      const port = yield* problemOf(`${ours}port: 70000\n`)
      assert.match(port, /telahubd\.yaml:10:1: port: expected a port from 0 to 65535, got 70000/)
      const proxies = yield* problemOf(`${ours}trustedProxies: [10.0.0.0/8, 10.0.0.0/33]\n`)
      assert.match(proxies, /telahubd\.yaml:10:30: trustedProxies\[1\]: expected an address/)
      const plain = yield* problemOf(ours.replace("sha256:", "md5:"))
      assert.match(plain, /telahubd\.yaml:5:\d+: .*digest/)
      for (const problem of [unknown, nested, broken, port, proxies, plain]) assert.notInclude(problem, "\n")
    })
  )

  it.scoped("refuses an empty or ownerless file, and leaves it alone", () =>
    Effect.gen(function* () {
      for (const text of ["", "# nothing\n", "port: 80\n", "auth: {tokens: [{id: a, token: b}]}\n"]) {
        const path = yield* write(text)
        const error = yield* Effect.flip(HubFile.open({ path, exists: true }, noOwnerToken))
        assert.match(error.message, /backup/)
        const again = yield* Effect.flip(HubFile.bootstrap(path, noOwnerToken))
        assert.strictEqual(again._tag, "HubFileError")
        assert.strictEqual(yield* Effect.promise(() => Fs.readFile(path, "utf8")), text)
      }
    })
  )

  it.scoped("starts for the first time once: 0600, only digests, and the owner's token returned", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* temporaryFolder, "new", "telahubd.yaml")
      const { created, file } = yield* HubFile.open({ path, exists: false }, noOwnerToken)
      const token = Redacted.value(Option.getOrThrow(created))
      assert.match(token, /^[0-9a-f]{64}$/)
      assert.strictEqual(who(file, token)?.role, "owner")
      assert.deepStrictEqual(file.warnings, [])
      const viewer = identityOf(file.snapshot, "console-viewer")
      const sees = decide(file.snapshot, { identity: viewer, permission: "view", machine: "any", now: Date.now() })
      assert.isTrue(sees.permit)
      const stat = yield* Effect.promise(() => Fs.stat(path))
      assert.strictEqual(stat.mode & 0o777, 0o600)
      assert.notInclude(yield* Effect.promise(() => Fs.readFile(path, "utf8")), token)
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(Path.dirname(path))), ["telahubd.yaml"])
      const refused = yield* Effect.flip(HubFile.bootstrap(path, noOwnerToken))
      assert.strictEqual(refused._tag, "OwnerExists")
      assert.include(refused.message, "telahubd user rotate owner")
      const second = yield* HubFile.open({ path, exists: true }, noOwnerToken)
      assert.isTrue(Option.isNone(second.created))
    })
  )

  it.scoped("of two first starts at once one creates, and both run with the same file", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* temporaryFolder, "telahubd.yaml")
      const both = yield* Effect.all(
        [1, 2].map(() => HubFile.open({ path, exists: false }, noOwnerToken)),
        { concurrency: 2 }
      )
      assert.strictEqual(both.filter(({ created }) => Option.isSome(created)).length, 1)
      assert.strictEqual(both[0]?.file.settings.hubId, both[1]?.file.settings.hubId)
    })
  )

  it.scoped("takes the owner's token from outside", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* temporaryFolder, "telahubd.yaml")
      const seeded = { ownerToken: Option.some(Redacted.make("from-the-environment")) }
      const { file } = yield* HubFile.open({ path, exists: false }, seeded)
      assert.strictEqual(who(file, "from-the-environment")?.id, "owner")
    })
  )

  it.scoped("warns, and no more, when others can read the file", () =>
    Effect.gen(function* () {
      const path = yield* write(ours)
      yield* Effect.promise(() => Fs.chmod(path, 0o644))
      const file = yield* HubFile.load(path)
      assert.strictEqual(file.warnings.length, 1)
      assert.include(file.warnings[0], "chmod 600")
    })
  )

  it.scoped("is found by one rule", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryFolder
      const systemDir = Path.join(yield* temporaryFolder, "etc-tela")
      const find = (configFlag: Option.Option<string>) => HubFile.locate({ configFlag, cwd, systemDir })
      const system = Path.join(systemDir, "telahubd.yaml")
      const local = Path.join(cwd, "data", "telahubd.yaml")
      assert.deepStrictEqual(yield* find(Option.some("a.yaml")), { path: Path.join(cwd, "a.yaml"), exists: false })
      assert.deepStrictEqual(yield* find(Option.none()), { path: system, exists: false })
      yield* Effect.promise(() => Fs.mkdir(systemDir))
      yield* Effect.promise(() => Fs.writeFile(system, ours))
      assert.deepStrictEqual(yield* find(Option.none()), { path: system, exists: true })
      yield* Effect.promise(() => Fs.mkdir(Path.dirname(local)))
      yield* Effect.promise(() => Fs.writeFile(local, ours))
      assert.deepStrictEqual(yield* find(Option.none()), { path: local, exists: true })
    })
  )

  it.scoped("puts flag, file and default together in that order", () =>
    Effect.gen(function* () {
      const bare = yield* loadText(ours)
      const file = yield* loadText(`${ours}port: 81\nhost: 10.0.0.1\nname: f\ntls: {cert: c.pem, key: /k.pem}\n`)
      const flags = { host: Option.some("10.0.0.3"), port: Option.some(0), name: Option.some("g") }
      const pick = ({ host, name, port }: HubFile.HubConfig) => [host, port, name]
      assert.deepStrictEqual(pick(HubFile.resolve(bare, noFlags)), ["", 80, ""])
      assert.deepStrictEqual(pick(HubFile.resolve(file, noFlags)), ["10.0.0.1", 81, "f"])
      assert.deepStrictEqual(pick(HubFile.resolve(file, flags)), ["10.0.0.3", 0, "g"])
      const config = HubFile.resolve(file, noFlags)
      assert.strictEqual(config.hubId, "h")
      assert.strictEqual(config.tls?.cert, Path.join(Path.dirname(file.path), "c.pem"))
    })
  )
})
