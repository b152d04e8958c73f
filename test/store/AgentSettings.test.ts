import * as Fs from "node:fs"
import * as FsPromises from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Yaml from "yaml"
import type { JsonObject } from "../../src/protocol/Management.ts"
import * as AgentFile from "../../src/store/AgentFile.ts"
import * as AgentSettings from "../../src/store/AgentSettings.ts"
import * as MergePatch from "../../src/store/internal/mergePatch.ts"
import * as Seed from "../../src/testkit/Seed.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const TOKEN = "file-token-0123456789"
const OWN = "own-token-0123456789"

const text = `# Of the operator.
hub: wss://hub.example.com
token: ${TOKEN}

machines:
  # The barn, by the river.
  - name: barn # do not rename
    # Shown in lists.
    displayName: "The barn" # since 2024
    ports: [22, 8080] # ssh and the app
    tags: [lab,   north]

    # What clients see.
    services:
      # The database comes first.
      - { port: 5432, name: postgres } # ask Kim before
      - port: 22
        name: ssh # for the on-call people
        description: shell
    location: cellar
  # The mill has its own token.
  - name: mill
    token: ${OWN}
    ports:
      - 22 # ssh
      # Grafana.
      - 3000
# That is all.
`

const setting = (content = text) =>
  Effect.map(temporaryFolder, (folder) => {
    const file = Path.join(folder, "telad.yaml")
    Fs.writeFileSync(file, content, { mode: 0o640 })
    const settings = AgentSettings.make(file, {})
    return {
      folder,
      file,
      settings,
      content: () => Fs.readFileSync(file, "utf8"),
      /** Tries a patch, writes it, and says that it has proved itself. */
      set: (machine: string, patch: JsonObject) =>
        Effect.tap(settings.edit(machine, patch), ({ confirm, write }) => Effect.zipRight(write, confirm)),
      refusal: (machine: string, patch: JsonObject) =>
        Effect.map(Effect.flip(settings.edit(machine, patch)), ({ message }) => message)
    }
  })

/** Lines with a comment, without what stands before it. */
const commentsOf = (content: string) => [...content.matchAll(/#.*$/gm)].map(([comment]) => comment).toSorted()

describe("a machine's entry", () => {
  it.scoped("is shown as it stands in the file, without tokens", () =>
    Effect.gen(function* () {
      const { file, settings } = yield* setting()
      const { entry, ...rest } = yield* settings.read("mill")
      assert.deepStrictEqual(rest, { hub: "wss://hub.example.com", file })
      assert.deepStrictEqual(entry, { name: "mill", ports: [22, 3000] })
      const barn = yield* settings.read("barn")
      assert.deepStrictEqual(barn.entry["displayName"], "The barn")
      assert.notInclude(JSON.stringify(barn), TOKEN)
      assert.match((yield* Effect.flip(settings.read("loft"))).message, /has no machine "loft" any more/)
    })
  )

  it.scoped("changes where the patch says; not a byte elsewhere", () =>
    Effect.gen(function* () {
      const { content, set, settings } = yield* setting()
      const edit = yield* set("barn", { displayName: "Barn", location: null, owner: "kim" })
      assert.deepStrictEqual(edit.changes, [
        { key: "displayName", from: "The barn", to: "Barn" },
        { key: "location", from: "cellar" },
        { key: "owner", to: "kim" }
      ])
      assert.deepStrictEqual(
        [edit.machine.displayName, edit.machine.location, edit.machine.owner],
        ["Barn", undefined, "kim"]
      )
      assert.strictEqual(
        content(),
        text
          .replace('displayName: "The barn"', "displayName: Barn")
          .replace("    location: cellar\n", "    owner: kim\n")
      )
      assert.deepStrictEqual((yield* settings.read("barn")).entry["owner"], "kim")
    })
  )

  it.scoped("keeps comments in the lists that change, and the form of what stays", () =>
    Effect.gen(function* () {
      const { content, set } = yield* setting()
      yield* set("barn", {
        services: [
          { port: 5432, name: "postgres" },
          { port: 22, name: "shell" },
          { port: 80, name: "web" }
        ]
      })
      assert.strictEqual(
        content(),
        text
          .replace(
            "name: ssh # for the on-call people\n        description: shell\n",
            "name: shell # for the on-call people\n"
          )
          .replace("    location: cellar", "      - port: 80\n        name: web\n    location: cellar")
      )
      yield* set("mill", { ports: [22, 3000, 3001] })
      assert.include(content(), "      - 22 # ssh\n      # Grafana.\n      - 3000\n      - 3001\n# That is all.\n")
    })
  )

  it.scoped("does not change when nothing would, and says so by no change", () =>
    Effect.gen(function* () {
      const { settings } = yield* setting()
      for (const patch of [{}, { displayName: "The barn" }, { owner: null }]) {
        assert.deepStrictEqual((yield* settings.edit("barn", patch)).changes, [])
      }
    })
  )

  it.scoped.each([
    [{ prots: [22] }, /^unknown key "prots"; did you mean "ports"\?$/],
    [{ ports: [22, 70_000] }, /^ports\[1\]: expected a port from 1 to 65535, got 70000$/],
    [{ ports: "22" }, /^ports: expected .*got "22"$/],
    [{ services: [{ name: "x" }] }, /^services\[0\]\.port is missing$/],
    [{ services: [{ port: 22 }, { port: 22 }] }, /port 22 has two services/],
    [{ ports: null, services: null }, /exposes nothing/],
    [{ clients: [{ key: "nonsense" }] }, /^clients\[0\]\.key: expected a client's public key/],
    [{ name: "mill" }, /^name cannot be set from afar/],
    [{ token: "x" }, /^token cannot be set from afar/],
    [{ Token: "x" }, /^token cannot be set from afar/],
    [{ management: true }, /^management cannot be set from afar/],
    [{ tags: ["a"], TAGS: ["b"] }, /a key is there twice/],
    [{ tags: "a\nname: mill" }, /^tags: expected/]
  ] as const)("refuses %j, and nothing has changed", ([patch, message]) =>
    Effect.gen(function* () {
      const { content, folder, refusal } = yield* setting()
      assert.match(yield* refusal("barn", patch), message)
      assert.strictEqual(content(), text)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["telad.yaml"])
    })
  )

  it.scoped("refuses keys that every object has", () =>
    Effect.gen(function* () {
      const { refusal } = yield* setting()
      for (const patch of ['{"__proto__": {"ports": [1]}}', '{"services": [{"port": 1, "constructor": 1}]}']) {
        assert.match(yield* refusal("barn", JSON.parse(patch) as JsonObject), /cannot be a key/)
      }
    })
  )

  it.scoped("takes the deployed tools' spelling of keys", () =>
    Effect.gen(function* () {
      const { content, set } = yield* setting()
      yield* set("barn", { DisplayName: "Barn", Tags: ["a"] })
      assert.include(content(), "displayName: Barn # since 2024")
      assert.include(content(), "tags: [a]")
    })
  )

  it.scoped("leaves a file alone that shares parts between machines", () =>
    Effect.gen(function* () {
      const shared =
        "hub: wss://h.example.com\nmachines:\n  - name: barn\n    ports: &ports [22]\n  - name: mill\n    ports: *ports\n"
      const { content, refusal, set } = yield* setting(shared)
      assert.match(yield* refusal("barn", { ports: [23] }), /aliases|cannot be edited/)
      assert.strictEqual(content(), shared)
      // What nobody shares can be changed.
      yield* set("mill", { ports: [23] })
      assert.deepStrictEqual(Yaml.parse(content()).machines[0].ports, [22])
      yield* set("barn", { owner: "kim" })
      assert.include(content(), "&ports")
    })
  )

  it.scoped("keeps the file's mode, and follows a link", () =>
    Effect.gen(function* () {
      const { file, folder, set } = yield* setting()
      const link = Path.join(folder, "link.yaml")
      Fs.symlinkSync(file, link)
      const linked = AgentSettings.make(link, {})
      yield* Effect.flatMap(linked.edit("barn", { owner: "kim" }), ({ confirm, write }) =>
        Effect.zipRight(write, confirm)
      )
      assert.isTrue(Fs.lstatSync(link).isSymbolicLink())
      assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o640)
      yield* set("barn", { owner: null })
      assert.deepStrictEqual(Fs.readdirSync(folder).toSorted(), ["link.yaml", "telad.yaml", "telad.yaml.previous"])
      assert.strictEqual(Fs.statSync(`${file}.previous`).mode & 0o777, 0o600)
    })
  )

  it.scoped("is not written over what somebody else has written meanwhile", () =>
    Effect.gen(function* () {
      const { content, file, settings } = yield* setting()
      const edit = yield* settings.edit("barn", { owner: "kim" })
      Fs.writeFileSync(file, `${text}# by hand\n`)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(edit.write)))
      assert.strictEqual(content(), `${text}# by hand\n`)
    })
  )
})

describe("a change that has not proved itself", () => {
  it.scoped("can be undone", () =>
    Effect.gen(function* () {
      const { content, folder, settings } = yield* setting()
      const edit = yield* settings.edit("barn", { owner: "kim" })
      yield* edit.write
      assert.include(content(), "owner: kim")
      yield* edit.undo
      assert.strictEqual(content(), text)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["telad.yaml"])
    })
  )

  it.scoped("is undone at the next start, at whatever point the agent was killed", () =>
    Effect.gen(function* () {
      const { content, file, folder, settings } = yield* setting()
      assert.isUndefined(yield* AgentSettings.recover(file))
      const edit = yield* settings.edit("barn", { owner: "kim" })
      yield* edit.write
      assert.match((yield* AgentSettings.recover(file)) ?? "", /was undone$/)
      assert.strictEqual(content(), text)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["telad.yaml"])
      // Killed before the file itself was written.
      yield* (yield* settings.edit("barn", { owner: "kim" })).write
      Fs.writeFileSync(file, text)
      assert.isUndefined(yield* AgentSettings.recover(file))
      assert.strictEqual(content(), text)
    })
  )

  it.scoped.runIf(process.platform === "linux")(
    "is on disk when it is confirmed, so that a power cut does not undo it",
    () =>
      Effect.gen(function* () {
        const { file, folder, settings } = yield* setting()
        const { confirm, write } = yield* settings.edit("barn", { location: "attic" })
        yield* write
        const handle = yield* Effect.promise(() => FsPromises.open(file))
        const prototype: FsPromises.FileHandle = Object.getPrototypeOf(handle)
        yield* Effect.promise(() => handle.close())
        const { sync } = prototype
        const synced: Array<{ readonly path: string; readonly names: ReadonlyArray<string> }> = []
        const spy = vi.spyOn(prototype, "sync").mockImplementation(function (this: FsPromises.FileHandle) {
          synced.push({ path: Fs.readlinkSync(`/proc/self/fd/${this.fd}`), names: Fs.readdirSync(folder).toSorted() })
          return sync.call(this)
        })
        yield* Effect.ensuring(
          confirm,
          Effect.sync(() => spy.mockRestore())
        )
        assert.deepStrictEqual(synced, [
          { path: Fs.realpathSync(folder), names: ["telad.yaml", "telad.yaml.previous"] }
        ])
      })
  )

  it.scoped("stays when somebody has written the file since, or when it was confirmed", () =>
    Effect.gen(function* () {
      const { content, file, folder, set, settings } = yield* setting()
      yield* (yield* settings.edit("barn", { owner: "kim" })).write
      const byHand = content().replace("kim", "lee")
      Fs.writeFileSync(file, byHand)
      assert.isUndefined(yield* AgentSettings.recover(file))
      assert.strictEqual(content(), byHand)
      yield* set("barn", { owner: "ann" })
      assert.isUndefined(yield* AgentSettings.recover(file))
      assert.include(content(), "owner: ann")
      assert.include(Fs.readFileSync(`${file}.previous`, "utf8"), byHand)
      assert.notInclude(Fs.readdirSync(folder).join(), "unconfirmed")
    })
  )
})

describe("random patches", () => {
  /** A patch of some keys of an entry, most of them sound. */
  const patchOf = (random: Seed.Seed): JsonObject => {
    const port = () => random.between(1, 9)
    const name = () => `n${random.between(1, 99)}`
    const some = <A>(make: () => A): ReadonlyArray<A> => Array.from({ length: random.between(0, 4) }, make)
    const values: Readonly<Record<string, () => unknown>> = {
      displayName: name,
      location: () => `a ${name()}: "quoted" # no comment`,
      owner: () => `${name()}\nof two lines`,
      hostname: name,
      target: () => "10.0.0.1",
      tags: () => some(name),
      ports: () => some(port),
      services: () =>
        some(() => ({ port: port(), name: name(), ...(random.between(0, 1) === 0 && { description: name() }) })),
      nonsense: name
    }
    const keys = Object.keys(values).filter((key) => random.between(0, key === "nonsense" ? 19 : 3) === 0)
    return Object.fromEntries(keys.map((key) => [key, random.between(0, 3) === 0 ? null : values[key]?.()]))
  }

  /** Comments that stand beside nothing that a patch of these keys takes away. */
  const lasting = [
    "# Of the operator.",
    "# The barn, by the river.",
    "# do not rename",
    "# The mill has its own token.",
    "# That is all."
  ]

  it.scoped("200 of them leave a file that is valid and commented, says what they say, and keeps its tokens", () =>
    Effect.gen(function* () {
      const { content, file, set } = yield* setting()
      const random = Seed.make(20_261_129)
      let taken = 0
      for (let i = 0; i < 200; i++) {
        const [machine, index] = random.between(0, 1) === 0 ? ["barn", 0] : ["mill", 1]
        const patch = patchOf(random)
        const before: unknown = Yaml.parse(content())
        const was = content()
        const done = yield* Effect.either(set(String(machine), patch))
        if (Either.isLeft(done)) {
          assert.strictEqual(content(), was, `${JSON.stringify(patch)}: ${done.left.message}`)
          continue
        }
        taken++
        const items = (before as { readonly machines: ReadonlyArray<unknown> }).machines
        assert.deepStrictEqual(
          Yaml.parse(content()),
          MergePatch.withItem(before, "machines", Number(index), MergePatch.apply(items[Number(index)], patch))
        )
        const { config } = yield* AgentFile.load(file, {})
        assert.deepStrictEqual(
          config.machines.map(({ name }) => name),
          ["barn", "mill"]
        )
        for (const comment of lasting) assert.include(content(), comment)
        assert.include(content(), `token: ${TOKEN}`)
        assert.include(content(), `token: ${OWN}`)
      }
      assert.isAbove(taken, 80)
      assert.isBelow(taken, 195)
      assert.includeMembers(commentsOf(content()), lasting)
    })
  )
})
