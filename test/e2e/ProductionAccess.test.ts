import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Program from "./harness/Program.ts"
import * as Sshd from "./harness/Sshd.ts"
import * as Tela from "./harness/Tela.ts"
import * as Tools from "./harness/Tools.ts"
import * as Typed from "./harness/Typed.ts"

const TOKEN = /[0-9a-f]{64}/

const needed = Tools.missing("sshd", "ssh", "ssh-keygen")

describe.skipIf(needed.skip)(`Production access, steps 1 to 4 as the page has them${needed.notice}`, () => {
  it.scopedLive(
    "a first start, tokens, agents, an operator, and an operator who leaves",
    () =>
      Effect.gen(function* () {
        // Step 1: the hub prints an owner token on its first start.
        const server = yield* Typed.make({})
        const onLoopback = { TELAHUBD_HOST: "127.0.0.1", TELAHUBD_PORT: "0" }
        const program = yield* Program.start(server.command("exec telahubd", { env: onLoopback, name: "telahubd" }))
        const [, port = ""] = yield* program.expect(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
        const url = `ws://127.0.0.1:${port}`
        const owner = TOKEN.exec(program.output("stdout"))?.[0] ?? ""
        assert.notInclude(program.output("stderr"), owner)
        const status = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/api/status`))
        assert.strictEqual(status.status, 401)

        // Step 2: one token for each machine and each operator.
        const admin = yield* Typed.make({ "wss://prod-hub.example.com": url, "<owner-token>": owner })
        const add = (id: string) =>
          Effect.map(
            admin.run(`tela admin tokens add ${id} -hub wss://prod-hub.example.com -token <owner-token>`),
            (text) => TOKEN.exec(text)?.[0] ?? ""
          )
        const web = yield* add("agent-web01")
        const db = yield* add("agent-db01")
        for (const line of [
          "tela admin access grant agent-web01 prod-web01 register -hub wss://prod-hub.example.com -token <owner-token>",
          "tela admin access grant agent-db01 prod-db01 register -hub wss://prod-hub.example.com -token <owner-token>"
        ]) {
          yield* admin.run(line)
        }
        const alice = yield* add("alice")
        for (const line of [
          "tela admin access grant alice prod-web01 connect -hub wss://prod-hub.example.com -token <owner-token>",
          "tela admin access grant alice prod-db01 connect -hub wss://prod-hub.example.com -token <owner-token>"
        ]) {
          yield* admin.run(line)
        }

        // Step 3: Pattern A with a file, and with flags.
        const sshd = yield* Sshd.start()
        const machine = yield* Typed.make({
          "wss://prod-hub.example.com": url,
          "<agent-web01-token>": web,
          "<agent-token>": db,
          "[22]": `[${sshd.port}]`,
          '"22"': `"${sshd.port}"`
        })
        Fs.writeFileSync(
          Path.join(machine.home, "telad.yaml"),
          [
            "# telad.yaml",
            `hub: ${url}`,
            `token: "${web}"`,
            "",
            "machines:",
            "  - name: prod-web01",
            `    ports: [${sshd.port}]`,
            ""
          ].join("\n"),
          { mode: 0o600 }
        )
        const agent = yield* Program.start(machine.command("exec telad -config telad.yaml", { name: "telad" }))
        yield* Tela.registered(agent, "prod-web01")
        const other = yield* Program.start(
          machine.command(
            'exec telad -hub wss://prod-hub.example.com -machine prod-db01 -ports "22" -token <agent-token>',
            { name: "telad of prod-db01" }
          )
        )
        yield* Tela.registered(other, "prod-db01")

        // Step 4: the operator.
        const operator = yield* Typed.make({ "wss://prod-hub.example.com": url, "<your-token>": alice })
        const list = yield* operator.run("tela machines -hub wss://prod-hub.example.com -token <your-token>")
        assert.match(list, /^prod-db01 +online/m)
        assert.match(list, /^prod-web01 +online/m)
        const line = "tela connect -hub wss://prod-hub.example.com -machine prod-web01 -token <your-token>"
        const connected = yield* Program.start(operator.command(`exec ${line}`, { endsOn: "SIGINT" }))
        const [, local = ""] = yield* connected.expect(/localhost:(\d+) +→ .*\(prod-web01\)/, { on: "stdout" })
        const { stdout } = yield* Sshd.ssh(sshd, Number(local), "echo reached")
        assert.strictEqual(stdout, "reached\n")

        const tip = [
          "export TELA_HUB=wss://prod-hub.example.com",
          "export TELA_TOKEN=<your-token>",
          "tela machines"
        ].join("\n")
        assert.match(yield* operator.run(tip), /^prod-web01 +online/m)

        // "If a team member leaves, their identity is removed from the hub and their access ends immediately."
        yield* admin.run("tela admin tokens remove alice -hub wss://prod-hub.example.com -token <owner-token>")
        yield* connected.expect(/access revoked/, { on: "stderr" })
        assert.strictEqual((yield* connected.ended).code, 1)
        const refused = yield* operator.fail(line)
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, /token/)
        // Nothing else changed on the production machines.
        assert.match(
          yield* admin.run("tela machines -hub wss://prod-hub.example.com -token <owner-token>"),
          /^prod-web01 +online/m
        )
      }),
    60_000
  )
})
