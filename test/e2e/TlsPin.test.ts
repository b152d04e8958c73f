/** The key of a hub's certificate, pinned: it holds for every connection of every program, after the CA. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parse, stringify } from "yaml"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as HubConfig from "./harness/HubConfig.ts"
import * as Program from "./harness/Program.ts"
import { bin, type Name } from "./harness/Tela.ts"
import * as Tools from "./harness/Tools.ts"

/** A CA of one's own, a hub's certificate that it vouches for, and the pin of the key in it as openssl computes it. */
const certificates = (folder: string) =>
  Effect.sync(() => {
    const openssl = (line: string, input?: Buffer) =>
      execFileSync("openssl", line.split(" "), { cwd: folder, input, stdio: ["pipe", "pipe", "ignore"] })
    const key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(`req -x509 ${key} -subj /CN=ca -days 2 -keyout ca.key -out ca.pem`)
    openssl(`req ${key} -subj /CN=hub -keyout hub.key -out hub.csr`)
    Fs.writeFileSync(Path.join(folder, "names"), "subjectAltName=IP:127.0.0.1\n")
    openssl("x509 -req -in hub.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out hub.pem")
    const publicKey = openssl("x509 -in hub.pem -pubkey -noout")
    const spki = openssl("pkey -pubin -pubout -outform der", publicKey)
    return `sha256:${openssl("dgst -sha256 -binary", spki).toString("hex")}`
  })

const setting = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const pin = yield* certificates(folder)
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
  const tls = { cert: "hub.pem", key: "hub.key" }
  const file = Path.join(folder, "telahubd.yaml")
  Fs.writeFileSync(file, stringify(Object.assign({ tls }, config)), { mode: 0o600 })
  const hub = yield* Program.start({
    name: "telahubd",
    command: bin("telahubd"),
    args: ["-config", file, "-host", "127.0.0.1", "-port", "0"],
    env: { HOME: folder }
  })
  const [, port = ""] = yield* hub.expect(/listening on https:\/\/127\.0\.0\.1:(\d+)/)
  const url = `wss://127.0.0.1:${port}`
  const home = yield* temporaryFolder
  const env = {
    HOME: home,
    TELA_HOME: home,
    TELA_SYSTEM: Path.join(home, "system"),
    NODE_EXTRA_CA_CERTS: Path.join(folder, "ca.pem")
  }
  const run = (program: Name, args: ReadonlyArray<string>, more: Partial<Program.Command> = {}) =>
    Program.outcome({ command: bin(program), args, ...more, env: { ...env, ...more.env } })
  return { hub, home, pin, port: Number(port), run, env, tokens, url }
})

const { notice, skip } = Tools.missing("openssl")

describe.skipIf(skip)(`TLS pins${notice}`, () => {
  it.scopedLive("hold for requests, administration, sessions and agents, and say the way out", () =>
    Effect.gen(function* () {
      const { env, home, hub, pin, port, run, tokens, url } = yield* setting
      const wrong = `sha256:${"0".repeat(64)}`
      const agentArgs = ["-hub", url, "-machine", "barn", "-ports", `${port}:hub`]
      const asAgent = { ...env, TELA_TOKEN: tokens.agent }

      assert.strictEqual((yield* run("tela", ["pin", url])).stdout, `No key is pinned for ${url}.\n`)
      assert.strictEqual((yield* run("tela", ["pin", url, wrong])).stdout, `Pinned ${url} to ${wrong}.\n`)
      const refusal = new RegExp(
        `its TLS key is not the pinned ${wrong}; .* run: tela pin ${url.replaceAll(".", "\\.")} ${pin}`
      )
      const mark = hub.mark()
      for (const [args, token] of [
        [["status", "-hub", url], tokens.alice],
        [["machines", "-hub", `https://127.0.0.1:${port}/`], tokens.alice],
        [["admin", "tokens", "list", "-hub", url], tokens.owner],
        [["admin", "pair-code", "barn", "-hub", url], tokens.owner],
        [["pair", "-hub", url, "-code", "ABCD-1234"], tokens.owner],
        [["whoami", "-hub", url], tokens.alice],
        [["connect", "-hub", url, "-machine", "barn"], tokens.alice]
      ] as const) {
        const { code, stderr, stdout } = yield* run("tela", args, { env: { TELA_TOKEN: token } })
        assert.deepStrictEqual([code, stdout], [1, ""], args.join(" "))
        assert.match(stderr, refusal, args.join(" "))
      }
      const login = yield* run("tela", ["login", url], { input: tokens.alice })
      assert.strictEqual(login.code, 1)
      assert.match(login.stderr, refusal)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const refused = yield* Program.start({ command: bin("telad"), args: agentArgs, env: asAgent })
          yield* refused.expect(refusal)
          assert.notMatch(refused.output(), /INFO .* registered/)
        })
      )
      assert.notMatch(hub.output().slice(mark), /barn/)

      const set = yield* run("tela", ["pin", url, pin.toUpperCase().replace("SHA256", "sha256")])
      assert.strictEqual(set.stdout, `Pinned ${url} to ${pin}, in place of ${wrong}.\n`)
      assert.strictEqual((yield* run("tela", ["pin", `127.0.0.1:${port}`])).stdout, `${pin}\n`)
      const listed = yield* run("tela", ["admin", "tokens", "list", "-hub", url], { env: { TELA_TOKEN: tokens.owner } })
      assert.deepStrictEqual([listed.code, listed.stderr], [0, ""])
      const agent = yield* Program.start({ command: bin("telad"), args: agentArgs, env: asAgent })
      yield* agent.expect(/registered/)
      assert.notInclude(agent.output(), "not pinned")

      assert.strictEqual(
        (yield* run("tela", ["pin", url, "-clear"])).stdout,
        `The key of ${url} is not pinned any more.\n`
      )
      assert.strictEqual((yield* run("tela", ["pin", "-clear", url])).stdout, `No key is pinned for ${url}.\n`)
      const client = yield* Program.start({
        command: bin("tela"),
        args: ["connect", "-v", "-hub", url, "-machine", "barn"],
        env: { ...env, TELA_TOKEN: tokens.alice },
        endsOn: "SIGINT"
      })
      yield* client.expect(new RegExp(`DEBUG .*not pinned; to pin it, run: tela pin ${url} ${pin}`))
      yield* client.expect(/Services available:/)
      assert.notInclude(Fs.readFileSync(Path.join(home, "credentials.yaml"), "utf8"), "pin:")
    })
  )

  it.scopedLive("hold whatever NODE_TLS_REJECT_UNAUTHORIZED says", () =>
    Effect.gen(function* () {
      const { env, hub, port, run, tokens, url } = yield* setting
      yield* run("tela", ["pin", url, `sha256:${"0".repeat(64)}`])
      const mark = hub.mark()
      const lax = { NODE_TLS_REJECT_UNAUTHORIZED: "0", TELA_TOKEN: tokens.alice }
      for (const more of [lax, { ...lax, NODE_EXTRA_CA_CERTS: "" }]) {
        for (const args of [
          ["status", "-hub", url],
          ["connect", "-hub", url, "-machine", "barn"]
        ]) {
          const { code, stderr, stdout } = yield* run("tela", args, { env: more })
          assert.deepStrictEqual([code, stdout], [1, ""], args.join(" "))
          assert.match(stderr, /is not the pinned sha256:0+|its certificate's CA is not known here/)
        }
      }
      const agent = yield* Program.start({
        command: bin("telad"),
        args: ["-hub", url, "-machine", "barn", "-ports", `${port}:hub`],
        env: { ...env, ...lax, TELA_TOKEN: tokens.agent }
      })
      yield* agent.expect(/is not the pinned sha256:0+/)
      assert.notMatch(hub.output().slice(mark), /barn/)
    })
  )

  it.scopedLive("login takes a pin along, and holds the first connection to it", () =>
    Effect.gen(function* () {
      const { home, pin, run, tokens, url } = yield* setting
      const wrong = `sha256:${"f".repeat(64)}`
      const refused = yield* run("tela", ["login", url, "-pin", wrong], { input: tokens.alice })
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /is not the pinned sha256:f+; .*; nothing was stored\n$/)
      assert.isFalse(Fs.existsSync(Path.join(home, "credentials.yaml")))
      const login = yield* run("tela", ["login", url, "-pin", pin], { input: tokens.alice })
      assert.strictEqual(login.code, 0, login.stderr)
      assert.strictEqual((yield* run("tela", ["pin", url])).stdout, `${pin}\n`)
      const again = yield* run("tela", ["login", url], { input: tokens.owner })
      assert.strictEqual(again.code, 0, again.stderr)
      assert.strictEqual((yield* run("tela", ["pin", url])).stdout, `${pin}\n`)
    })
  )

  it.scopedLive("a CA that nobody knows is refused, pinned or not", () =>
    Effect.gen(function* () {
      const { pin, run, tokens, url } = yield* setting
      yield* run("tela", ["pin", url, pin])
      const { code, stderr } = yield* run("tela", ["status", "-hub", url], {
        env: { TELA_TOKEN: tokens.alice, NODE_EXTRA_CA_CERTS: "" }
      })
      assert.strictEqual(code, 1)
      assert.match(stderr, /its certificate's CA is not known here/)
    })
  )

  it.scopedLive.each([
    [["pin", "wss://h", "sha256:abc"], /<fingerprint>: "sha256:abc" is no pin; it is sha256: and 64 hex digits/],
    [["pin", "ws://h", `sha256:${"0".repeat(64)}`], /ws:\/\/h is reached without TLS and has no key; write it as wss:/],
    [["pin", "wss://h", `sha256:${"0".repeat(64)}`, "-clear"], /-clear and a fingerprint exclude each other/],
    [["pin"], /<hub> is missing/],
    [["pin", "ftp://h"], /<hub>: "ftp:\/\/h" is no hub address/],
    [["login", "wss://h", "-pin", "x"], /-pin: "x" is no pin/]
  ] as const)("%j is wrong usage", ([args, says]) =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const { code, stderr } = yield* Program.outcome({ command: bin("tela"), args, env: { TELA_HOME: home } })
      assert.deepStrictEqual([code, stderr.split("\n").length], [2, 2])
      assert.match(stderr, says)
      assert.deepStrictEqual(Fs.readdirSync(home), [])
    })
  )
})
