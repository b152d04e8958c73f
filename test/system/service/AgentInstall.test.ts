import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as KeyPair from "../../../src/crypto/KeyPair.ts"
import * as AgentFile from "../../../src/store/AgentFile.ts"
import * as CredentialStores from "../../../src/store/CredentialStores.ts"
import * as KeyFile from "../../../src/store/KeyFile.ts"
import * as AgentPlan from "../../../src/system/service/AgentPlan.ts"
import type { ServiceScope } from "../../../src/system/service/Definition.ts"
import * as Install from "../../../src/system/service/Install.ts"
import { type Computer, computer, everything, hows, modeOf } from "./installing.ts"

const HUB = "wss://hub.example.com"

const withToken = `hub: ${HUB}\ntoken: t0ken # kept as it is\nmachines:\n  - { name: web-01, ports: [22] }\n`
const withoutToken = withToken.replace(/^token:.*\n/m, "")

/** An agent that somebody runs in a folder of theirs, and the plan that makes a service of it. */
const agentOn = ({ env, folder, service }: Computer, text = withToken) => {
  const own = Path.join(folder, "own")
  Fs.mkdirSync(own, { recursive: true, mode: 0o700 })
  const file = Path.join(own, "telad.yaml")
  Fs.writeFileSync(file, text, { mode: 0o600 })
  const stores = CredentialStores.make(env)
  return {
    folder: own,
    file,
    key: Path.join(own, "telad.key"),
    stores,
    plan: (more: Partial<AgentPlan.AgentPlanOptions> = {}, scope?: ServiceScope) =>
      AgentPlan.make({
        source: { config: { _tag: "File", file }, folder: own },
        place: service(scope).place,
        seesStores: scope === "user",
        stores,
        variable: undefined,
        ...more
      })
  }
}

const at = (machine: Computer, name: string) => Path.join(machine.service().place.folder, name)

describe("telad service install", () => {
  it.scoped("carries along the configuration, the key and the ids, and changes nothing the second time", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine)
      const key = yield* KeyFile.loadOrCreate(agent.key)
      Fs.writeFileSync(Path.join(agent.folder, "telad.state"), "agentId: a-1\nmachines: {}\n", { mode: 0o600 })
      const installed = yield* machine.install(agent.plan())
      assert.deepStrictEqual(hows(installed), {
        configuration: `copied from ${agent.file}`,
        key: `carried along, ${KeyPair.fingerprint(key.publicKey)}`,
        ids: "carried along",
        service: "new"
      })
      assert.isTrue(installed.changed)
      assert.strictEqual(Fs.readFileSync(at(machine, "telad.yaml"), "utf8"), withToken)
      assert.strictEqual((yield* KeyFile.load(at(machine, "telad.key"))).publicHex, key.publicHex)
      assert.match(Fs.readFileSync(at(machine, "telad.state"), "utf8"), /^agentId: a-1\n[^]*web-01/)
      for (const name of ["telad.yaml", "telad.key", "telad.state"])
        assert.strictEqual(modeOf(at(machine, name)), "600")
      assert.strictEqual(modeOf(machine.service().place.folder), "700")
      assert.strictEqual(modeOf(machine.service().place.definitionFile), "644")
      assert.deepStrictEqual(machine.asked.lines, [
        "systemctl show --property=Version --value",
        "systemctl daemon-reload",
        "systemctl enable telad.service"
      ])
      // What was there is still there, for whoever wants to go back.
      assert.deepStrictEqual(Fs.readdirSync(agent.folder).toSorted(), ["telad.key", "telad.state", "telad.yaml"])

      const before = everything(machine.folder)
      const again = yield* machine.install(agent.plan())
      assert.isFalse(again.changed)
      assert.deepStrictEqual(everything(machine.folder), before)
      assert.deepStrictEqual(hows(again), {
        configuration: "unchanged",
        key: `stays, ${KeyPair.fingerprint(key.publicKey)}`,
        ids: "stay as they are",
        service: "unchanged"
      })
      assert.strictEqual((yield* machine.install(agent.plan({ source: undefined }))).changed, false)
      assert.deepStrictEqual(everything(machine.folder), before)
    })
  )

  it.scoped("keeps the key that it has, whatever lies beside a configuration", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine)
      yield* machine.install(agent.plan())
      const first = Fs.readFileSync(at(machine, "telad.key"), "utf8")
      const other = yield* KeyFile.loadOrCreate(agent.key)
      Fs.writeFileSync(agent.file, `${withToken}# changed\n`)
      const installed = yield* machine.install(agent.plan())
      assert.strictEqual(Fs.readFileSync(at(machine, "telad.key"), "utf8"), first)
      assert.include(installed.notes.join(), `${agent.key} holds another one, and to use that, move`)
      assert.notInclude(JSON.stringify(installed.notes), KeyPair.fingerprint(other.publicKey))
      assert.match(Fs.readFileSync(at(machine, "telad.yaml"), "utf8"), /# changed/)
      assert.strictEqual(Fs.readFileSync(at(machine, "telad.yaml.previous"), "utf8"), withToken)
      assert.match(hows(installed)["configuration"] ?? "", /; the one before is telad\.yaml\.previous$/)
    })
  )

  it.scoped("replaces links that somebody laid into the folder, and follows none", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine, withoutToken)
      yield* agent.stores.system.put(HUB, { token: Redacted.make("t0ken") })
      const secret = Path.join(machine.folder, "secret")
      Fs.writeFileSync(secret, "not yours\n", { mode: 0o600 })
      Fs.mkdirSync(machine.service().place.folder, { recursive: true, mode: 0o700 })
      for (const name of ["telad.yaml", "telad.yaml.previous"]) Fs.symlinkSync(secret, at(machine, name))
      yield* machine.install(agent.plan())
      assert.strictEqual(Fs.readFileSync(secret, "utf8"), "not yours\n")
      assert.strictEqual(modeOf(secret), "600")
      assert.strictEqual(Fs.readFileSync(at(machine, "telad.yaml"), "utf8"), withoutToken)
      assert.isTrue(Fs.lstatSync(at(machine, "telad.yaml")).isFile())
      // Moved as it is, and not copied: what it leads to may be another's.
      assert.isTrue(Fs.lstatSync(at(machine, "telad.yaml.previous")).isSymbolicLink())
      assert.isTrue(Fs.lstatSync(at(machine, "credentials.yaml")).isFile())
    })
  )

  it.scoped("takes the token and the pin along that the agent has from a store", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine, withoutToken)
      const pin = `sha256:${"ab".repeat(32)}`
      yield* agent.stores.user.put(HUB, { pin })
      yield* agent.stores.system.put(HUB, { token: Redacted.make("first") })
      yield* agent.stores.system.put("wss://other.example.com", { token: Redacted.make("another") })
      const installed = yield* machine.install(agent.plan())
      assert.strictEqual(hows(installed)["token"], `from ${agent.stores.system.file}`)
      const store = Fs.readFileSync(at(machine, "credentials.yaml"), "utf8")
      assert.match(store, /wss:\/\/hub\.example\.com:\n +token: first\n/)
      assert.include(store, pin)
      assert.notInclude(store, "another")
      assert.strictEqual(modeOf(at(machine, "credentials.yaml")), "600")
      assert.notInclude(JSON.stringify(installed), "first")
      assert.strictEqual(hows(yield* machine.install(agent.plan()))["token"], "unchanged")

      // Somebody logs in anew: the service has the new token from its next start on.
      yield* agent.stores.system.put(HUB, { token: Redacted.make("second") })
      const { place } = machine.service()
      const step = yield* AgentPlan.refresh(place, agent.stores)
      yield* Install.carryOut(place, step === undefined ? [] : [step])
      assert.match(Fs.readFileSync(at(machine, "credentials.yaml"), "utf8"), /token: second\n/)
      assert.isUndefined((yield* AgentPlan.refresh(place, agent.stores))?.make)
    })
  )

  it.scoped("takes TELA_TOKEN, which the service will not have", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine, withoutToken)
      yield* agent.stores.user.put(HUB, { token: Redacted.make("stored") })
      const installed = yield* machine.install(agent.plan({ variable: Redacted.make("from-variable") }))
      assert.strictEqual(hows(installed)["token"], "from TELA_TOKEN")
      assert.match(Fs.readFileSync(at(machine, "credentials.yaml"), "utf8"), /token: from-variable\n/)
    })
  )

  it.scoped("copies no token of its user for a service of that user, and says when there is none", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine, withoutToken)
      const none = yield* machine.install(agent.plan({}, "user"), { scope: "user" })
      assert.include(none.notes, `no token for web-01; run: telad login -hub ${HUB}`)
      const variable = yield* agent.plan({ variable: Redacted.make("t") }, "user")
      assert.match(
        variable.notes.join(),
        /^no token for web-01, since TELA_TOKEN is not the service's; run: telad login/
      )
      yield* agent.stores.user.put(HUB, { token: Redacted.make("t0ken") })
      const some = yield* machine.install(agent.plan({}, "user"), { scope: "user" })
      assert.notMatch(some.notes.join(), /no token/)
      assert.isFalse(Fs.existsSync(Path.join(machine.service("user").place.folder, "credentials.yaml")))
      assert.include(some.text, `Environment="TELA_HOME=${machine.env["TELA_HOME"]}"`)
      assert.match(machine.asked.lines.join("\n"), /^systemctl --user enable telad\.service$/m)
    })
  )

  it.scoped("makes a configuration of flags", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine)
      const config = yield* AgentFile.fromFlags({
        hub: HUB,
        machine: "db-01",
        ports: "22:SSH,5432:db:the main: one",
        token: Redacted.make("t0ken"),
        targetHost: "10.0.0.7"
      })
      const source = {
        config: { _tag: "Flags", text: AgentFile.textOf(config), config },
        folder: agent.folder
      } as const
      const installed = yield* machine.install(agent.plan({ source }))
      assert.strictEqual(hows(installed)["configuration"], "made from flags")
      const loaded = yield* AgentFile.load(at(machine, "telad.yaml"), {})
      assert.deepStrictEqual(
        loaded.config.machines.map(({ name, services, target }) => ({ name, services, target })),
        config.machines.map(({ name, services, target }) => ({ name, services, target }))
      )
      assert.isFalse((yield* machine.install(agent.plan({ source }))).changed)
    })
  )

  it.scoped("does nothing when it is only to show what it would do", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine, withoutToken)
      yield* agent.stores.user.put(HUB, { token: Redacted.make("t0ken") })
      const before = everything(machine.folder)
      const shown = yield* machine.install(agent.plan(), { dryRun: true })
      assert.deepStrictEqual(everything(machine.folder), before)
      assert.deepStrictEqual(machine.asked.lines, [])
      const done = yield* machine.install(agent.plan())
      assert.strictEqual(shown.text, done.text)
      assert.deepStrictEqual(shown.rows, done.rows)
    })
  )

  it.scoped.each([
    ["systemd does not run", withToken, { code: 1, stderr: "Failed to connect to bus" }, undefined],
    ["the configuration is wrong", "hub: 1\n", undefined, undefined],
    ["others can read the key", withToken, undefined, "exposed key"],
    ["somebody else made a unit of that name", withToken, undefined, "foreign unit"]
  ] as const)("changes nothing when %s", ([, text, answer, prepare]) =>
    Effect.gen(function* () {
      const machine = yield* computer("telad", answer && [["systemctl show", answer]])
      const agent = agentOn(machine, text)
      if (prepare === "exposed key") {
        yield* KeyFile.loadOrCreate(agent.key)
        Fs.chmodSync(agent.key, 0o644)
      }
      if (prepare === "foreign unit") {
        const file = machine.service().place.definitionFile
        Fs.mkdirSync(Path.dirname(file))
        Fs.writeFileSync(file, "[Service]\nExecStart=/bin/true\n")
      }
      const before = everything(machine.folder)
      const { message } = yield* Effect.flip(machine.install(agent.plan()))
      assert.notInclude(message, "\n")
      assert.deepStrictEqual(everything(machine.folder), before)
      assert.notMatch(machine.asked.lines.join("\n"), /enable/)
    })
  )

  it.scoped("changes nothing when systemd cannot be told where the program is", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine)
      const before = everything(machine.folder)
      const plan = yield* agent.plan()
      for (const command of [["/opt/it's/node", "telad"] as const, ["/usr/bin/node", "/opt/a\nb/bin/telad"] as const]) {
        const files = { command, readsFrom: [], files: [] }
        const install = Install.install(machine.service(), { plan, files, env: machine.env, dryRun: false })
        assert.notInclude((yield* Effect.flip(Effect.provide(install, machine.asked.layer))).message, "\n")
      }
      assert.deepStrictEqual(everything(machine.folder), before)
    })
  )

  it.scoped("of a service that runs says so", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad", [
        ["systemctl show --property=ActiveState", { stdout: "ActiveState=active\nMainPID=42\n" }]
      ])
      const agent = agentOn(machine)
      assert.isFalse((yield* machine.install(agent.plan())).running)
      assert.isTrue((yield* machine.install(agent.plan())).running)
    })
  )

  it.scoped("tells of variables that it has and the service has not", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine)
      const env = { ...machine.env, HTTPS_PROXY: "http://user:hunter2@proxy" }
      const { place } = machine.service()
      const install = Effect.flatMap(agent.plan(), (plan) =>
        Install.install(machine.service(), {
          plan,
          files: { command: ["/usr/bin/node", "/opt/tela/bin/telad"], readsFrom: [], files: [] },
          env,
          dryRun: false
        })
      ).pipe(Effect.provide(machine.asked.layer))
      const first = yield* install
      assert.include(
        first.notes,
        `set here, and not for the service: HTTPS_PROXY; where it needs them, write them into ${place.environmentFile}`
      )
      assert.notInclude(JSON.stringify(first), "hunter2")
      Fs.writeFileSync(place.environmentFile, "HTTPS_PROXY=http://proxy\n")
      assert.notMatch((yield* install).notes.join(), /HTTPS_PROXY/)
    })
  )
})

describe("telad service uninstall", () => {
  it.scoped("takes away the unit, and leaves what the service kept", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telad")
      const agent = agentOn(machine)
      const service = machine.service()
      yield* machine.install(agent.plan())
      const kept = everything(service.place.folder)
      machine.asked.lines.length = 0
      yield* Effect.provide(Install.uninstall(service), machine.asked.layer)
      assert.deepStrictEqual(everything(service.place.folder), kept)
      assert.isFalse(Fs.existsSync(service.place.definitionFile))
      assert.deepStrictEqual(machine.asked.lines.slice(1), [
        "systemctl disable --now telad.service",
        "systemctl daemon-reload"
      ])
      for (const act of [
        Install.uninstall(service),
        Install.act(service, "start", Effect.void),
        Install.act(service, "stop", Effect.void)
      ]) {
        const { message } = yield* Effect.flip(Effect.provide(act, machine.asked.layer))
        assert.strictEqual(message, "telad.service is not installed; run: telad service install")
      }
      assert.isUndefined(yield* Effect.provide(Install.status(service), machine.asked.layer))
      const again = yield* machine.install(agent.plan())
      assert.match(hows(again)["key"] ?? "", /^stays/)
    })
  )
})
