/** Networks whose only way out is a proxy, and whose TLS is inspected: agent, client and administration all live there. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parse, stringify } from "yaml"
import * as Certificates from "../support/certificates.ts"
import * as ConnectProxy from "../support/ConnectProxy.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import { bin, type Name } from "./harness/Tela.ts"
import * as Tools from "./harness/Tools.ts"

const name = "hub.internal.test"

/** A hub with a certificate of a CA that nobody knows, and a proxy that alone knows where it is and wants a password. */
const setting = Effect.gen(function* () {
  const certificates = yield* Certificates.make(`DNS:${name}`)
  const { folder } = certificates
  const tokens = { owner: HubConfig.token(), agent: HubConfig.token(), alice: HubConfig.token() }
  const config: unknown = parse(
    HubConfig.text({
      identities: {
        owner: { token: tokens.owner, role: "owner" },
        agent: { token: tokens.agent },
        alice: { token: tokens.alice }
      },
      machines: { barn: { register: tokens.agent, connect: [tokens.alice] } }
    })
  )
  const file = Path.join(folder, "telahubd.yaml")
  Fs.writeFileSync(file, stringify(Object.assign({ tls: { cert: "cert.pem", key: "key.pem" } }, config)), {
    mode: 0o600
  })
  const hub = yield* Program.start({
    name: "telahubd",
    command: bin("telahubd"),
    args: ["-config", file, "-host", "127.0.0.1", "-port", "0"],
    env: { HOME: folder }
  })
  const [, port = ""] = yield* hub.expect(/listening on https:\/\/127\.0\.0\.1:(\d+)/)
  const proxy = yield* ConnectProxy.start({ ports: { [`${name}:443`]: Number(port) }, credentials: "ann:hunter2" })
  const home = yield* temporaryFolder
  const env = {
    HOME: home,
    TELA_HOME: home,
    TELA_SYSTEM: Path.join(home, "system"),
    HTTPS_PROXY: `http://ann:hunter2@127.0.0.1:${proxy.port}`
  }
  const run = (program: Name, args: ReadonlyArray<string>, more: Partial<Program.Command> = {}) =>
    Program.outcome({ command: bin(program), args, ...more, env: { ...env, ...more.env } })
  return { ca: certificates.ca, env, folder, home, hub, proxy, run, tokens, url: `wss://${name}` }
})

const { notice, skip } = Tools.missing("openssl")

describe.skipIf(skip)(`A proxy${notice}`, () => {
  it.scopedLive("is the way of everything, and its password is shown nowhere", () =>
    Effect.gen(function* () {
      const { ca, env, home, proxy, run, tokens, url } = yield* setting
      const echo = yield* Sockets.serve(Sockets.echo)
      const printed: Array<string> = []

      const agent = yield* Program.start({
        command: bin("telad"),
        args: ["-hub", url, "-machine", "barn", "-ports", `${echo}:echo`, "-ca", ca, "-v"],
        env: { ...env, TELA_TOKEN: tokens.agent }
      })
      yield* agent.expect(/registered/)
      const client = yield* Program.start({
        command: bin("tela"),
        args: ["connect", "-hub", url, "-machine", "barn", "-v"],
        env: { ...env, TELA_TOKEN: tokens.alice, SSL_CERT_FILE: ca },
        endsOn: "SIGINT"
      })
      const [, local = ""] = yield* client.expect(/localhost:(\d+) +→ echo/)
      yield* client.expect(
        new RegExp(`the way to ${name} is through the proxy http://127.0.0.1:${proxy.port} \\(HTTPS_PROXY\\)`)
      )
      const socket = yield* Sockets.open(Number(local))
      socket.write("through the proxy")
      assert.strictEqual((yield* Sockets.read(socket, 17)).toString(), "through the proxy")
      // The agent's registration, and the session from both sides.
      assert.isAtLeast(proxy.asked.length, 3)
      assert.isAtLeast(proxy.open(), 3)

      for (const [args, token] of [
        [["status", "-hub", url, "-ca", ca], tokens.alice],
        [["machines", "-ca", ca, "-hub", url, "-json"], tokens.alice],
        [["services", "-hub", url, "-machine", "barn", `-ca=${ca}`], tokens.alice],
        [["whoami", "-hub", url, "-ca", ca], tokens.alice],
        [["admin", "tokens", "list", "-hub", url, "-ca", ca], tokens.owner],
        [["admin", "access", "-hub", url, "-ca", ca], tokens.owner]
      ] as const) {
        const before = proxy.asked.length
        const { code, stderr, stdout } = yield* run("tela", args, { env: { TELA_TOKEN: token } })
        assert.deepStrictEqual([code, stderr], [0, ""], args.join(" "))
        assert.isAbove(proxy.asked.length, before, args.join(" "))
        printed.push(stdout)
      }
      const login = yield* run("tela", ["login", url], { input: tokens.alice, env: { TELA_CA: ca } })
      assert.strictEqual(login.code, 0, login.stderr)
      const code = yield* run("tela", ["admin", "pair-code", "barn", "-hub", url, "-ca", ca, "-quiet"], {
        env: { TELA_TOKEN: tokens.owner }
      })
      const paired = yield* run("tela", ["pair", "-hub", url, "-ca", ca, "-replace", "-code", code.stdout.trim()])
      assert.strictEqual(paired.code, 0, paired.stderr)

      printed.push(agent.output(), client.output(), login.stdout, paired.stdout)
      for (const file of Fs.readdirSync(home, { recursive: true, withFileTypes: true })) {
        if (file.isFile()) printed.push(Fs.readFileSync(Path.join(file.parentPath, file.name), "utf8"))
      }
      assert.notInclude(printed.join("\n"), "hunter2")
      assert.notInclude(printed.join("\n"), Buffer.from("ann:hunter2").toString("base64"))
    })
  )

  it.scopedLive("that does not open the way is named, and so is whoever signs in the hub's place", () =>
    Effect.gen(function* () {
      const { ca, proxy, run, tokens, url } = yield* setting
      const shown = `the proxy http://127.0.0.1:${proxy.port} (HTTPS_PROXY)`
      const of = (env: Record<string, string>, ...args: ReadonlyArray<string>) =>
        run("tela", args, { env: { TELA_TOKEN: tokens.alice, ...env } })
      for (const command of [
        ["status", "-hub", url],
        ["connect", "-hub", url, "-machine", "barn"]
      ]) {
        const unknown = yield* of({}, ...command)
        assert.deepStrictEqual([unknown.code, unknown.stdout], [1, ""])
        assert.include(
          unknown.stderr,
          "its certificate's CA is not known here: it is issued by \"Example Inspection CA\"; name the CA's file with -ca"
        )
        const wrong = yield* of({ HTTPS_PROXY: `http://ann:hunter3@127.0.0.1:${proxy.port}`, TELA_CA: ca }, ...command)
        assert.strictEqual(wrong.code, 1)
        assert.include(wrong.stderr, `${shown} refuses the user and password in HTTPS_PROXY (HTTP 407)`)
        const none = yield* of({ HTTPS_PROXY: `127.0.0.1:${proxy.port}`, TELA_CA: ca }, ...command)
        assert.include(none.stderr, `${shown} wants credentials (HTTP 407)`)
        const socks = yield* of({ HTTPS_PROXY: "socks5://ann:hunter3@p:1" }, ...command)
        assert.include(socks.stderr, "HTTPS_PROXY names a SOCKS proxy, and only HTTP proxies can be used")
        assert.notInclude(unknown.stderr + wrong.stderr + none.stderr + socks.stderr, "hunter")
      }
    })
  )

  it.scopedLive("a CA file that is none is wrong usage, and nothing is done", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const home = Path.join(folder, "home")
      Fs.writeFileSync(Path.join(folder, "text"), "no certificate")
      const env = { HOME: home, TELA_HOME: home, TELA_SYSTEM: home }
      const hub = ["-hub", "ws://127.0.0.1:1"]
      for (const [program, args, says] of [
        ["tela", ["status", ...hub, "-ca", "none.pem"], `-ca: ${folder}/none.pem is not there`],
        ["tela", ["connect", ...hub, "-machine", "m", "-ca", "text"], `-ca: ${folder}/text holds no certificate`],
        ["tela", ["admin", "tokens", "list", ...hub, "-token", "t", "-ca", folder], `-ca: ${folder} is a folder`],
        ["tela", ["login", "ws://127.0.0.1:1", "-ca", "text"], `-ca: ${folder}/text holds no certificate`],
        ["tela", ["status", ...hub, "-ca", ""], "-ca is empty"],
        ["telad", [...hub, "-machine", "m", "-ports", "22", "-ca", "none.pem"], `-ca: ${folder}/none.pem is not there`]
      ] as const) {
        const { code, stderr, stdout } = yield* Program.outcome({ command: bin(program), args, env, cwd: folder })
        assert.deepStrictEqual([code, stdout, stderr.split("\n").length], [2, "", 2], args.join(" "))
        assert.include(stderr, `${program}: ${says}`)
      }
      const variable = yield* Program.outcome({
        command: bin("tela"),
        args: ["status", ...hub],
        env: { ...env, TELA_CA: Path.join(folder, "text") }
      })
      assert.deepStrictEqual([variable.code, variable.stdout], [2, ""])
      assert.include(variable.stderr, `TELA_CA: ${folder}/text holds no certificate`)
      assert.isFalse(Fs.existsSync(home))
    })
  )
})
