import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Audit } from "../../../src/store/Audit.ts"
import * as HubFile from "../../../src/store/HubFile.ts"
import * as HubStorage from "../../../src/store/HubStorage.ts"
import * as KeyFile from "../../../src/store/KeyFile.ts"
import * as HubPlan from "../../../src/system/service/HubPlan.ts"
import * as Install from "../../../src/system/service/Install.ts"
import { type Computer, computer, everything, hows, modeOf } from "./installing.ts"

const planOn = (
  machine: Computer,
  source?: string,
  settings: HubPlan.HubSettings = {}
): { readonly announced: Array<string>; readonly plan: ReturnType<typeof HubPlan.make> } => {
  const announced: Array<string> = []
  return {
    announced,
    plan: HubPlan.make({
      source,
      place: machine.service().place,
      settings,
      ownerToken: Option.none(),
      announce: (token) => Effect.sync(() => void announced.push(Redacted.value(token)))
    })
  }
}

/** A hub's file that somebody runs a hub on, elsewhere. */
const ownHub = (machine: Computer, more = "") =>
  Effect.gen(function* () {
    const file = Path.join(machine.folder, "own", "hub.yaml")
    yield* HubFile.bootstrap(file, { ownerToken: Option.none() })
    if (more !== "") Fs.writeFileSync(file, `${more}${Fs.readFileSync(file, "utf8")}`)
    return file
  })

const event = { action: "access-grant", actor: "owner", from: "local", outcome: "ok" } as const

describe("telahubd service install", () => {
  it.scoped("makes a hub where there is none, and says its owner's token once", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const { link = "", place } = { ...machine.service().place, place: machine.service().place }
      const { announced, plan } = planOn(machine, undefined, { host: "127.0.0.1", port: 8080 })
      const installed = yield* machine.install(plan)
      assert.deepStrictEqual(hows(installed), {
        configuration: "new, with an owner",
        link: `to ${place.configFile}`,
        service: "new"
      })
      assert.match(announced.join(), /^[0-9a-f]{64}$/)
      assert.notInclude(JSON.stringify(installed), announced.join())
      assert.notInclude(Fs.readFileSync(place.configFile, "utf8"), announced.join())
      const { settings } = yield* HubFile.load(place.configFile)
      assert.containsSubset(settings, { host: "127.0.0.1", port: 8080 })
      assert.strictEqual(modeOf(place.configFile), "600")
      // `telahubd user` finds the file by the rule of all commands.
      assert.strictEqual(Fs.realpathSync(link), Fs.realpathSync(place.configFile))
      const located = yield* HubFile.locate({
        configFlag: Option.none(),
        cwd: machine.folder,
        systemDir: Path.dirname(link)
      })
      assert.deepStrictEqual(located, { path: link, exists: true })

      const before = everything(machine.folder)
      const again = planOn(machine)
      assert.isFalse((yield* machine.install(again.plan)).changed)
      assert.deepStrictEqual(everything(machine.folder), before)
      assert.deepStrictEqual(again.announced, [])
      const other = yield* machine.install(planOn(machine, undefined, { port: 9090 }).plan)
      assert.include(other.notes, `to change the port, write port: 9090 into ${place.configFile}`)
      assert.deepStrictEqual(everything(machine.folder), before)
    })
  )

  it.scoped("copies a hub, its record as it is at this moment, and its key", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const file = yield* ownHub(machine, "# mine\nport: 81\nhost: 10.0.0.1\n")
      const { place } = machine.service()
      yield* KeyFile.loadOrCreate(Path.join(Path.dirname(file), "hub.key"))
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.record([{ ...event, target: "alice" }], 1)
        // The hub runs on: the record is open, and the last of it in SQLite's log only.
        const installed = yield* machine.install(planOn(machine, file, { port: 8080 }).plan)
        assert.deepStrictEqual(hows(installed), {
          record: "carried along",
          key: "carried along",
          configuration: `copied from ${file}`,
          link: `to ${place.configFile}`,
          service: "new"
        })
        assert.include(installed.notes.join("\n"), `stop the hub that runs on ${file}`)
        yield* audit.record([{ ...event, target: "bob" }], 2)
      }).pipe(Effect.provide(Layer.fresh(HubStorage.layerRecord(file))))
      const copied = yield* HubFile.load(place.configFile)
      const original = yield* HubFile.load(file)
      assert.strictEqual(copied.settings.hubId, original.settings.hubId)
      assert.containsSubset(copied.settings, { host: "10.0.0.1", port: 8080 })
      assert.strictEqual(original.settings.port, 81)
      assert.match(Fs.readFileSync(place.configFile, "utf8"), /^# mine$/m)
      assert.strictEqual(
        Fs.readFileSync(Path.join(place.folder, "telahubd.key"), "utf8"),
        Fs.readFileSync(Path.join(Path.dirname(file), "hub.key"), "utf8")
      )
      assert.strictEqual(modeOf(Path.join(place.folder, "telahubd.db")), "600")
      const events = yield* Effect.provide(
        Effect.flatMap(Audit, (audit) => audit.list({ limit: 10 })),
        Layer.fresh(HubStorage.layerRecord(place.configFile))
      )
      assert.deepStrictEqual(
        events.map(({ target }) => target),
        ["alice"]
      )
    })
  )

  it.scoped("goes on with its own file, and takes no other hub in its place", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const file = yield* ownHub(machine)
      const { place } = machine.service()
      yield* machine.install(planOn(machine, file).plan)
      // It has changed since.
      Fs.appendFileSync(place.configFile, "# changed by the service\n")
      const before = everything(place.folder)
      const same = yield* machine.install(planOn(machine, file).plan)
      assert.match(same.notes.join(), new RegExp(`the service goes on with its own file; ${file}, the same hub`))
      assert.isFalse(same.changed)
      const itself = yield* machine.install(planOn(machine, place.link).plan)
      assert.notMatch(itself.notes.join(), /the same hub/)
      Fs.rmSync(file)
      const other = yield* Effect.flip(machine.install(planOn(machine, yield* ownHub(machine)).plan))
      assert.match(other.message, /is another hub than .*own\/hub\.yaml; give that one a -name of its own, or move /)
      assert.deepStrictEqual(everything(place.folder), before)
    })
  )

  it.scoped("refuses a file that names others relative to itself", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const file = yield* ownHub(machine, "tls: { cert: /etc/ssl/hub.pem, key: hub.key }\n")
      const before = everything(machine.folder)
      const { message } = yield* Effect.flip(machine.install(planOn(machine, file).plan))
      assert.include(message, `${file}: tls names hub.key relative to the file`)
      assert.deepStrictEqual(everything(machine.folder), before)
    })
  )

  it.scoped("says that the channels that it serves stay where they are", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const file = yield* ownHub(machine, "channels: { enabled: true }\n")
      const { notes } = yield* machine.install(planOn(machine, file).plan)
      const { folder } = machine.service().place
      const data = Path.join(Path.dirname(file), "channels")
      assert.include(
        notes,
        `the channels in ${data} are not carried along; the service can write them only in ${folder}`
      )
    })
  )

  it.scoped("says which certificates a user of the service's own cannot read", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const own = { ...machine.service().place, stateDirectory: "tela/telahubd" }
      const notesOf = (cert: string, key: string) =>
        Effect.gen(function* () {
          Fs.rmSync(path(machine), { recursive: true, force: true })
          const source = yield* ownHub(machine, `tls: { cert: ${cert}, key: ${key} }\n`)
          const options = { source, settings: {}, ownerToken: Option.none(), announce: () => Effect.void }
          return (yield* HubPlan.make({ ...options, place: own })).notes.slice(1)
        })
      assert.deepStrictEqual(yield* notesOf("/home/ann/hub.pem", "/etc/passwd"), [
        "/home/ann/hub.pem is hidden from the service; keep it outside of homes and /tmp"
      ])
      // Of these every Linux has one that others may read, and one that they may not.
      assert.deepStrictEqual(yield* notesOf("/etc/passwd", "/etc/shadow"), [
        "the service's own user may not read /etc/shadow; run: useradd --system telahubd; and let telahubd read it"
      ])
      assert.deepStrictEqual(yield* notesOf("/etc/passwd", "/etc/no/such/key"), [])
    })
  )

  it.scoped("refuses settings that it cannot write, and changes nothing", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const file = yield* ownHub(machine, '"port": 81\n')
      const before = everything(path(machine))
      const { message } = yield* Effect.flip(machine.install(planOn(machine, file, { port: 8080 }).plan))
      assert.match(message, /port|defined twice|unique/i)
      assert.isFalse(Fs.existsSync(machine.service().place.configFile))
      assert.deepStrictEqual(everything(path(machine)), before)
    })
  )

  it.scoped("leaves a hub's file in the system's folder where it is, and says that commands mean that one", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const { link = "", ...place } = machine.service().place
      yield* HubFile.bootstrap(link, { ownerToken: Option.none() })
      const text = Fs.readFileSync(link, "utf8")
      const installed = yield* machine.install(planOn(machine, link).plan)
      assert.strictEqual(Fs.readFileSync(link, "utf8"), text)
      assert.isTrue(Fs.lstatSync(link).isFile())
      assert.strictEqual(Fs.readFileSync(place.configFile, "utf8"), text)
      assert.match(
        installed.notes.join("\n"),
        /^telahubd user means .*telahubd\.yaml, not the service's file, until you/m
      )
      yield* Effect.provide(Install.uninstall(machine.service()), machine.asked.layer)
      assert.strictEqual(Fs.readFileSync(link, "utf8"), text)
    })
  )

  it.scoped("leaves a link to another file where it is, and replaces one that leads nowhere", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const { configFile, link = "" } = machine.service().place
      const other = yield* ownHub(machine)
      Fs.mkdirSync(Path.dirname(link))
      Fs.symlinkSync(other, link)
      assert.match((yield* machine.install(planOn(machine).plan)).notes.join("\n"), /^telahubd user means /m)
      assert.strictEqual(Fs.readlinkSync(link), other)
      Fs.rmSync(other)
      assert.strictEqual(hows(yield* machine.install(planOn(machine).plan))["link"], `to ${configFile}`)
      assert.strictEqual(Fs.readlinkSync(link), configFile)
    })
  )

  it.scoped("takes its link away with the service, and no file", () =>
    Effect.gen(function* () {
      const machine = yield* computer("telahubd")
      const { place } = machine.service()
      yield* machine.install(planOn(machine).plan)
      const kept = everything(place.folder)
      yield* Effect.provide(Install.uninstall(machine.service()), machine.asked.layer)
      assert.deepStrictEqual(Fs.readdirSync(machine.env["TELA_SYSTEM"] ?? ""), ["telahubd"])
      assert.deepStrictEqual(everything(place.folder), kept)
    })
  )
})

const path = ({ folder }: Computer) => Path.join(folder, "own")
