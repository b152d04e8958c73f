import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/store/Credentials.ts"
import * as CredentialStores from "../../src/store/CredentialStores.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const hub = "wss://hub.example.com"
const token = Redacted.make("hunter2")
const pin = `sha256:${"ab".repeat(32)}`
const otherPin = `sha256:${"cd".repeat(32)}`

const inFolder = Effect.map(temporaryFolder, (folder) => Path.join(folder, "made", "credentials.yaml"))

const write = (file: string, text: string, mode = 0o600) => {
  Fs.mkdirSync(Path.dirname(file), { recursive: true, mode: 0o700 })
  Fs.writeFileSync(file, text, { mode })
  Fs.chmodSync(file, mode)
}

const mode = (path: string) => Fs.statSync(path).mode & 0o777

describe("Credentials", () => {
  it.scopedLive("keeps token, identity and pin, in a file and folder for their owner only", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const store = Credentials.make(file)
      assert.deepStrictEqual(yield* store.list, [])
      assert.isUndefined(yield* store.find(hub))
      yield* store.put(hub, { token, identity: "alice", pin })
      const found = yield* store.find(hub)
      assert.strictEqual(found?.token && Redacted.value(found.token), "hunter2")
      assert.deepStrictEqual({ ...found, token: undefined }, { hub, token: undefined, identity: "alice", pin })
      assert.deepStrictEqual([mode(file), mode(Path.dirname(file))], [0o600, 0o700])
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(file)), ["credentials.yaml"])
      assert.notInclude(JSON.stringify(found), "hunter2")
    })
  )

  it.scopedLive("has one entry for a hub, however its address is written", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      write(file, `hubs:\n  HTTPS://Hub.Example.com:443/:\n    token: old\n`)
      const store = Credentials.make(file)
      for (const spelling of [hub, "https://hub.example.com", "WSS://HUB.example.com//", "hub.example.com"]) {
        const found = yield* store.find(spelling)
        assert.strictEqual(found?.token && Redacted.value(found.token), "old", spelling)
      }
      assert.isUndefined(yield* store.find("ws://hub.example.com"))
      yield* store.put(hub, { token })
      assert.lengthOf(yield* store.list, 1)
      assert.isTrue(yield* store.remove("hub.example.com"))
      assert.isFalse(yield* store.remove(hub))
      assert.deepStrictEqual(yield* store.list, [])
    })
  )

  it.scopedLive("leaves what is not its own as it was: comments, other hubs, keys of other programs, the pin", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const text = [
        "# mine",
        "hubs:",
        "  # a friend's",
        "  wss://other.example.com:",
        "    token: theirs",
        "    note: keep",
        `  ${hub}:`,
        "    token: old",
        `    pin: ${pin.toUpperCase().replace("SHA256", "sha256")}`,
        "update:",
        "  channel: beta # not ours",
        ""
      ].join("\n")
      write(file, text)
      const store = Credentials.make(file)
      yield* store.put(hub, { token, identity: "alice" })
      const after = Fs.readFileSync(file, "utf8")
      assert.strictEqual(
        after,
        text.replace("token: old\n", "token: hunter2\n").replace(/(\n {4}pin: .*\n)/, "$1    identity: alice\n")
      )
      assert.strictEqual((yield* store.find(hub))?.pin, pin)
      yield* store.put(hub, { pin: null })
      assert.isUndefined((yield* store.find(hub))?.pin)
      yield* store.remove(hub)
      assert.include(Fs.readFileSync(file, "utf8"), "note: keep")
      assert.include(Fs.readFileSync(file, "utf8"), "channel: beta # not ours")
    })
  )

  it.scopedLive.each([0o644, 0o640, 0o604, 0o660])("refuses a file of mode %o, and says how to mend it", (exposed) =>
    Effect.gen(function* () {
      const file = yield* inFolder
      write(file, `hubs:\n  ${hub}:\n    token: hunter2\n`, exposed)
      const store = Credentials.make(file)
      for (const use of [store.list, store.put(hub, { token }), store.remove(hub), store.writable, store.find(hub)]) {
        const error = yield* Effect.flip(use)
        assert.strictEqual(
          error.message,
          `${file}: other users can read this file, and it holds tokens; run: chmod 600 ${file}`
        )
      }
      assert.strictEqual(mode(file), exposed)
    })
  )

  it.scopedLive.each([
    ["hubs:\n  wss://h:\n    token: [hunter2]\n", ":3:5"],
    ["hubs:\n  wss://h:\n    token: |\n      hunter2\n", ":3:5"],
    ["hubs:\n  wss://h:\n    token: 1234567890\n", ":3:5"],
    ['hubs:\n  wss://h:\n    token: "hunter2\n', ":4:1"],
    ["hubs:\n  wss://h:\n    token: *hunter2\n", ""],
    ["hubs:\n  wss://h:\n    token: hunter2: x\n", ":3:12"],
    ["hubs:\n  wss://h:\n    pin: hunter2\n", ":3:5"],
    ["hubs: [1\n", ":2:1"],
    ["hubs: [hunter2]\n", ":1:1"],
    ["hubs: hunter2\n", ":1:1"],
    ["hunter2\n", ":1:1"]
  ] as const)("says where %j is wrong, shows no value of it, and changes nothing", ([text, where]) =>
    Effect.gen(function* () {
      const file = yield* inFolder
      write(file, text)
      const store = Credentials.make(file)
      for (const use of [store.find("wss://h"), store.put(hub, { token }), store.writable]) {
        const error = yield* Effect.flip(use)
        assert.include(error.message, `credentials.yaml${where}: not as it should be: under "hubs" stand addresses,`)
        assert.notMatch(error.message, /hunter2|1234567890/)
      }
      assert.strictEqual(Fs.readFileSync(file, "utf8"), text)
    })
  )

  it.scopedLive("many writers at once lose nothing", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) => Credentials.make(file).put(`wss://h${i}`, { token }),
        { concurrency: "unbounded", discard: true }
      )
      assert.lengthOf(yield* Credentials.make(file).list, 20)
    })
  )

  it.scopedLive("whether it can be written is known without writing", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      yield* Credentials.make(file).writable
      assert.isFalse(Fs.existsSync(file))
      Fs.writeFileSync(Path.join(Path.dirname(file), "file"), "")
      const below = Path.join(Path.dirname(file), "file", "credentials.yaml")
      assert.match((yield* Effect.flip(Credentials.make(below).writable)).message, /cannot be (written|used)/)
    })
  )
})

describe("Credentials of an agent in a person's file", () => {
  it.scopedLive("stand beside the person's own: neither is taken for the other, replaced or removed with it", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const own = Credentials.make(file)
      const agent = Credentials.make(file, { whose: "agent" })
      const tokens = Effect.all([own.find(hub), agent.find(hub)]).pipe(
        Effect.map((both) => both.map((found) => found?.token && Redacted.value(found.token)))
      )
      yield* own.put(hub, { token, identity: "alice", pin })
      yield* agent.put(hub, { token: Redacted.make("agents"), identity: "barn" })
      assert.deepStrictEqual(yield* tokens, ["hunter2", "agents"])
      assert.strictEqual((yield* agent.find(hub))?.identity, "barn")
      // A hub has one TLS key, whoever connects to it.
      assert.strictEqual((yield* agent.find(hub))?.pin, pin)
      yield* own.put(hub, { token: Redacted.make("newer") })
      assert.deepStrictEqual(yield* tokens, ["newer", "agents"])

      assert.isTrue(yield* agent.remove(hub))
      assert.isFalse(yield* agent.remove(hub))
      assert.deepStrictEqual(yield* tokens, ["newer", undefined])
      assert.strictEqual((yield* own.find(hub))?.pin, pin)

      yield* agent.put(hub, { token: Redacted.make("agents") })
      assert.isTrue(yield* own.remove(hub))
      assert.isFalse(yield* own.remove(hub))
      assert.deepStrictEqual(yield* tokens, [undefined, "agents"])
      assert.isTrue(yield* agent.remove(hub))
      assert.deepStrictEqual(yield* own.list, [])
    })
  )

  it.scopedLive("are refused where they are malformed, and shown no more than others", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      write(file, "hubs:\n  wss://h:\n    agent:\n      token: [hunter2]\n")
      for (const whose of ["own", "agent"] as const) {
        const error = yield* Effect.flip(Credentials.make(file, { whose }).find("wss://h"))
        assert.include(error.message, "credentials.yaml:4:7: not as it should be")
        assert.notInclude(error.message, "hunter2")
      }
    })
  )
})

describe("CredentialStores", () => {
  const stores = Effect.map(temporaryFolder, (folder) =>
    CredentialStores.make({ TELA_HOME: Path.join(folder, "user"), TELA_SYSTEM: Path.join(folder, "system") })
  )

  it.scopedLive("the user's token counts before the system's, and an entry without one hides none", () =>
    Effect.gen(function* () {
      const { system, token: tokenOf, user } = yield* stores
      assert.isUndefined(yield* tokenOf(hub))
      yield* system.put(hub, { token: Redacted.make("systems") })
      yield* user.put(hub, { pin })
      const first = yield* tokenOf("https://hub.example.com")
      assert.deepStrictEqual([first?.file, first && Redacted.value(first.token)], [system.file, "systems"])
      yield* user.put(hub, { token })
      const second = yield* tokenOf(hub)
      assert.deepStrictEqual([second?.file, second && Redacted.value(second.token)], [user.file, "hunter2"])
    })
  )

  it.scopedLive("an agent's token is the system's, else its own in the user's file, else the user's", () =>
    Effect.gen(function* () {
      const { agentToken, system, token: tokenOf, user, userAgent } = yield* stores
      const found = Effect.all([agentToken(hub), tokenOf(hub)]).pipe(
        Effect.map((both) => both.map((each) => each && Redacted.value(each.token)))
      )
      yield* userAgent.put(hub, { token: Redacted.make("agents") })
      // What is the agent's is nobody else's.
      assert.deepStrictEqual(yield* found, ["agents", undefined])
      yield* user.put(hub, { token: Redacted.make("alices") })
      assert.deepStrictEqual(yield* found, ["agents", "alices"])
      yield* system.put(hub, { token: Redacted.make("systems") })
      assert.deepStrictEqual(yield* found, ["systems", "alices"])
      yield* system.remove(hub)
      yield* userAgent.remove(hub)
      assert.deepStrictEqual(yield* found, ["alices", "alices"])
    })
  )

  it.scopedLive("a pin holds for the whole origin, by WebSocket and by request", () =>
    Effect.gen(function* () {
      const { pinOf, system, user } = yield* stores
      yield* system.put(`${hub}/ws`, { pin: otherPin })
      assert.strictEqual(yield* pinOf("https://hub.example.com/api/status"), otherPin)
      yield* user.put(hub, { pin })
      assert.strictEqual(yield* pinOf("https://hub.example.com/api/status"), pin)
      assert.strictEqual(yield* pinOf("wss://HUB.example.com:443/ws"), pin)
      assert.isUndefined(yield* pinOf("wss://hub.example.com:8443"))
      assert.isUndefined(yield* pinOf("ws://hub.example.com"))
    })
  )

  it.scopedLive("a pin is changed where it holds, and cleared wherever there is one", () =>
    Effect.gen(function* () {
      const { pinOf, setPin, system, user } = yield* stores
      yield* system.put(`${hub}/ws`, { pin })
      assert.strictEqual(yield* setPin(`${hub}/other`, otherPin), pin)
      assert.strictEqual((yield* system.find(`${hub}/ws`))?.pin, otherPin)
      assert.deepStrictEqual(yield* user.list, [])
      yield* user.put(`${hub}/mine`, { token, pin })
      Fs.appendFileSync(user.file, `  ${hub}/mine/: { pin: "${otherPin}" }\n`)
      assert.strictEqual(yield* setPin(hub, null), pin)
      assert.isUndefined(yield* pinOf(hub))
      assert.isDefined((yield* user.find(`${hub}/mine`))?.token)
      assert.isUndefined(yield* setPin(hub, null))
      assert.isUndefined(yield* setPin(hub, pin))
      assert.strictEqual((yield* user.find(hub))?.pin, pin)
    })
  )
})
