import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { silentServer } from "../cli/World.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Program from "./harness/Program.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tela from "./harness/Tela.ts"
import * as Typed from "./harness/Typed.ts"

const commandLine = (pid: number): string =>
  Fs.existsSync(`/proc/${pid}/cmdline`) ? Fs.readFileSync(`/proc/${pid}/cmdline`, "utf8") : ""

const bytesBelow = (folder: string): ReadonlyArray<readonly [string, string]> =>
  Fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => Path.join(folder, name))
    .filter((file) => Fs.statSync(file).isFile())
    .map((file) => [file, Fs.readFileSync(file).toString("latin1")] as const)

/** A secret key of a file, in every form in which it could be somewhere else: as it stands there, its bytes, and in hex. */
const keyForms = (what: string, file: string): ReadonlyArray<readonly [string, string]> => {
  const text = Fs.readFileSync(file, "utf8").trim()
  const bytes = Buffer.from(text, "base64")
  assert.strictEqual(bytes.length, 32, file)
  return [
    [what, text],
    [`${what}, its bytes`, bytes.toString("latin1")],
    [`${what}, in hex`, bytes.toString("hex")]
  ]
}

describe("secrets", () => {
  it.scopedLive(
    "no token, code or key is in a log, an error, the record, a process listing or any file but its own",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const file = Path.join(folder, "telahubd.yaml")
        const bootstrap = ["user", "bootstrap", "-quiet", "-config", file]
        const { stdout } = yield* Program.run({ command: Tela.bin("telahubd"), args: bootstrap })
        const owner = stdout.trim()
        const secrets = new Map([["the owner's token", owner]])
        const programs: Array<Program.Program> = []

        const hub = yield* Program.start({
          name: "telahubd -v",
          command: Tela.bin("telahubd"),
          args: ["-config", file, "-host", "127.0.0.1", "-port", "0", "-v"],
          env: { HOME: folder }
        })
        programs.push(hub)
        const [, port = ""] = yield* hub.expect(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
        const url = `ws://127.0.0.1:${port}`
        const errors: Array<string> = []
        const admin = yield* Typed.make({ HUB: `-hub ${url} -token ${owner}` })
        const secretOf = (what: string, line: string) =>
          Effect.map(admin.run(line), (text) => {
            secrets.set(what, text.trim())
            return text.trim()
          })
        const failing = (typed: Typed.Typed, line: string) =>
          Effect.map(typed.fail(line), ({ stderr }) => void errors.push(stderr))

        const agentToken = yield* secretOf("the agent's token", "tela admin tokens add agent -quiet HUB")
        const alice = yield* secretOf("alice's token", "tela admin tokens add alice -quiet HUB")
        yield* admin.run("tela admin access grant agent barn register HUB")
        yield* admin.run("tela admin access grant alice barn connect HUB")

        const service = yield* Sockets.serve(Sockets.echo)
        const machine = yield* Typed.make({})
        const telad = yield* Program.start(
          machine.command(`exec telad -v -hub ${url} -machine barn -ports ${service} -token ${agentToken}`)
        )
        programs.push(telad)
        yield* Tela.registered(telad, "barn")
        const user = yield* Typed.make({})
        const tela = yield* Program.start(
          user.command(`exec tela connect -v -hub ${url} -machine barn -token ${alice}`, { endsOn: "SIGINT" })
        )
        programs.push(tela)
        yield* tela.expect(/Services available/, { on: "stdout" })
        for (const program of programs) {
          for (const [what, secret] of secrets) assert.notInclude(commandLine(program.pid), secret, what)
        }

        /** Where a secret is kept. */
        const kept = new Map<string, string>()
        for (const [what, key] of [
          ["the hub's key", Path.join(folder, "telahubd.key")],
          ["the agent's key", Path.join(machine.home, ".tela", "telad.key")],
          ["the client's key", Path.join(user.home, ".tela", "identity.key")]
        ] as const) {
          for (const [form, secret] of keyForms(what, key)) {
            secrets.set(form, secret)
            kept.set(form, key)
          }
        }
        for (const program of programs) {
          for (const [what, secret] of secrets) assert.notInclude(commandLine(program.pid), secret, what)
        }
        // While it asks, which this server makes it do for long.
        const { arrived, port: silent } = yield* silentServer
        const asking = yield* Program.start({
          command: Tela.bin("tela"),
          args: [
            "admin",
            "access",
            "grant",
            "alice",
            "barn",
            "connect",
            "-hub",
            `ws://127.0.0.1:${silent}`,
            "-token",
            owner
          ],
          env: { HOME: user.home },
          endsOn: "SIGINT"
        })
        yield* arrived
        if (process.platform === "linux") {
          assert.include(commandLine(asking.pid), "-token ***")
          assert.notInclude(commandLine(asking.pid), owner)
        }

        const code = yield* secretOf("a pairing code", "tela admin pair-code barn -quiet HUB")
        yield* user.run(`tela pair -hub ${url} -code ${code}`)
        const store = Path.join(user.home, ".tela", "credentials.yaml")
        const paired = /[0-9a-f]{64}/.exec(Fs.readFileSync(store, "utf8"))?.[0] ?? ""
        assert.isNotEmpty(paired)
        secrets.set("the token of a code", paired)
        kept.set("the token of a code", store)
        secrets.set("a pairing code, bare", code.replace("-", ""))
        yield* failing(user, `tela pair -hub ${url} -code ${code}`)
        yield* failing(user, `tela admin tokens list -hub ${url} -token ${alice}`)
        yield* failing(user, `tela connect -hub ${url} -machine mill -token ${alice}`)
        const rotated = yield* secretOf("alice's new token", "tela admin rotate alice -quiet HUB")
        yield* tela.ended
        yield* failing(user, `tela machines -hub ${url} -token ${alice}`)
        yield* user.run(`tela machines -hub ${url} -token ${rotated}`)
        // A token in the address, as earlier tools sent it.
        yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/api/status?token=${rotated}`))
        yield* admin.run("tela admin tokens remove alice HUB")

        const listed = [
          yield* admin.run("tela admin history -n 1000 -json HUB"),
          yield* admin.run("tela admin access -json HUB"),
          yield* admin.run("tela admin tokens list -json HUB"),
          yield* admin.run("tela admin pair-code list -json HUB")
        ]
        yield* hub.end("SIGTERM")
        const places: ReadonlyArray<readonly [string, string]> = [
          ...programs.map((program) => [program.name, program.output()] as const),
          ...errors.map((text) => ["an error", text] as const),
          ...listed.map((text) => ["a list", text] as const),
          ...[folder, machine.home, user.home, admin.home].flatMap(bytesBelow)
        ]
        assert.isAtLeast(bytesBelow(folder).length, 3)
        // Where each is kept it is found, so that looking means something.
        const found = new Set(places.map(([place]) => place))
        for (const file of kept.values()) assert.isTrue(found.has(file), file)
        for (const [place, text] of places) {
          for (const [what, secret] of secrets) {
            if (kept.get(what) === place) continue
            assert.isFalse(text.includes(secret), `${what} is in ${place}`)
            assert.isFalse(text.toLowerCase().includes(secret.toLowerCase()), `${what} is in ${place}`)
          }
        }
      })
  )
})
