/** A running program that is told to update itself, by whoever: what it answers, what it does, and what it never does. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Logger from "effect/Logger"
import * as Ed25519 from "../../../src/crypto/Ed25519.ts"
import * as UpdateStore from "../../../src/store/UpdateStore.ts"
import { Installation } from "../../../src/system/release/Installation.ts"
import { Updater } from "../../../src/system/release/Updater.ts"
import * as Updaters from "../../../src/system/release/Updater.ts"
import * as UpdaterLive from "../../../src/system/release/UpdaterLive.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { BASE, type Exchange, folderOrigin, release, unpack } from "./made.ts"

/** What it logs is not what these tests are about. */
const quiet = Logger.minimumLogLevel(LogLevel.None)

interface Options {
  readonly exchange?: Exchange
  readonly running?: string
  readonly withFile?: boolean
  readonly cannotRestart?: string
}

/** A telad of v1.0.0 with a file, and a channel with v1.1.0; `restarted` is done when it wants to be started anew. */
const program = ({ cannotRestart, exchange, running = "v1.0.0", withFile = true }: Options = {}) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const first = yield* release(folder, { version: "v1.0.0" })
    yield* release(folder, { version: "v1.1.0" })
    const telad = yield* unpack(folder, first)
    const file = Path.join(telad.home, "telad.yaml")
    const text = `# mine\nhub: wss://hub.example.com\nupdate:\n  sources: { stable: ${BASE} } # ours\nmachines: []\n`
    Fs.writeFileSync(file, text, { mode: 0o600 })
    const restarted = yield* Deferred.make<void>()
    const origin = folderOrigin(folder, exchange)
    const context = yield* Layer.build(
      UpdaterLive.layer({
        version: running,
        store: withFile ? UpdateStore.make(file) : undefined,
        restart:
          cannotRestart === undefined
            ? Effect.asVoid(Deferred.succeed(restarted, undefined))
            : Effect.fail({ message: cannotRestart })
      }).pipe(Layer.provide([Layer.succeed(Installation, telad.installation), origin.layer, quiet]))
    )
    return {
      ...telad,
      folder,
      updater: Context.get(context, Updater),
      restarted: Deferred.await(restarted),
      asked: origin.asked,
      text: () => Fs.readFileSync(file, "utf8")
    }
  })

type Program = Effect.Effect.Success<ReturnType<typeof program>>

/** Waits until the update that was begun has come to an end. */
const settled = ({ updater }: Program) =>
  Effect.gen(function* () {
    while (true) {
      const { last } = yield* updater.status
      if (last?.state === "failed" || last?.state === "installed") return last
      yield* Effect.sleep(20)
    }
  })

describe("a program that is told to update itself", () => {
  it.scopedLive("answers, installs what is signed, and starts anew", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      const before = yield* telad.updater.status
      assert.deepStrictEqual(before, {
        channel: "stable",
        manifestUrl: `${BASE}/stable.json`,
        currentVersion: "v1.0.0",
        latestVersion: "v1.1.0",
        updateAvailable: true,
        sources: { stable: BASE }
      })
      const begun = yield* telad.updater.update({})
      assert.deepStrictEqual(begun, { version: "v1.1.0", begun: true, message: "updating to v1.1.0" })
      yield* telad.restarted
      assert.strictEqual(telad.run(), "runs v1.1.0 \n")
      const after = yield* telad.updater.status
      assert.strictEqual(after.last?.state, "installed")
      // It still runs the old one, and a further request starts it anew without another download.
      const downloads = () => telad.asked.filter((address) => address.endsWith(".tar.gz")).length
      assert.strictEqual(downloads(), 1)
      const again = yield* telad.updater.update({})
      assert.match(again.message, /^updating to v1\.1\.0/)
      assert.strictEqual(downloads(), 1)
    })
  )

  it.scopedLive("does nothing when it is what was asked for", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      const same = yield* telad.updater.update({ version: "v1.0.0" })
      assert.deepStrictEqual(same, { version: "v1.0.0", begun: false, message: "already running v1.0.0" })
      assert.strictEqual(telad.run(), "runs v1.0.0 \n")
    })
  )

  it.scopedLive("refuses an older version, whoever asks", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      yield* release(telad.folder, { version: "v0.9.1" })
      const head = yield* Effect.flip(telad.updater.update({}))
      assert.strictEqual(head.kind, "refused")
      assert.match(head.message, /v0\.9\.1 is older than v1\.0\.0/)
      const named = yield* Effect.flip(telad.updater.update({ version: "v0.9.1" }))
      assert.strictEqual(named.kind, "refused")
      const { latestVersion, updateAvailable } = yield* telad.updater.status
      assert.deepStrictEqual([latestVersion, updateAvailable], ["v0.9.1", false])
    })
  )

  it.scopedLive("offers nothing that is older than what runs", () =>
    Effect.gen(function* () {
      for (const running of ["v1.2.0", "v1.2.0-rc.1", "v1.1.1-alpha"]) {
        const { latestVersion, updateAvailable } = yield* (yield* program({ running })).updater.status
        assert.deepStrictEqual([latestVersion, updateAvailable], ["v1.1.0", false], running)
      }
      const { updateAvailable } = yield* (yield* program({ running: "v1.1.0-rc.1" })).updater.status
      assert.isTrue(updateAvailable)
    })
  )

  it.scopedLive("refuses a channel that it is sent to, when that is signed with another key", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      yield* release(telad.folder, { version: "v2.0.0", channel: "evil", key: Ed25519.generate() })
      const refused = yield* Effect.flip(telad.updater.update({ channel: "evil", base: `${BASE}/` }))
      assert.strictEqual(refused.kind, "unreachable")
      assert.match(refused.message, /is not signed with the key of this release/)
      yield* telad.updater.setChannel({ channel: "evil", base: BASE })
      const { error, updateAvailable } = yield* telad.updater.status
      assert.isFalse(updateAvailable)
      assert.match(error ?? "", /is not signed/)
      assert.strictEqual(telad.run(), "runs v1.0.0 \n")
    })
  )

  it.scopedLive("says what went wrong afterwards, and takes the next request", () =>
    Effect.gen(function* () {
      let lies = true
      const telad = yield* program({
        exchange: (name) => (name.endsWith(".tar.gz") && lies ? Buffer.from("another file") : undefined)
      })
      yield* telad.updater.update({})
      const last = yield* settled(telad)
      assert.strictEqual(last.state, "failed")
      assert.match(last.text, /by the signed manifest; nothing was installed/)
      assert.strictEqual(telad.run(), "runs v1.0.0 \n")
      lies = false
      yield* telad.updater.update({})
      yield* telad.restarted
      assert.strictEqual(telad.run(), "runs v1.1.0 \n")
    })
  )

  it.scopedLive("takes one request at a time", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      const [first, second] = yield* Effect.all(
        [Effect.either(telad.updater.update({})), Effect.either(telad.updater.update({}))],
        { concurrency: 2 }
      )
      assert.strictEqual(first._tag, "Right")
      assert(second._tag === "Left")
      assert.strictEqual(second.left.kind, "busy")
      yield* telad.restarted
    })
  )

  it.scopedLive("goes on when it cannot be started anew", () =>
    Effect.gen(function* () {
      const telad = yield* program({ cannotRestart: "mend telad.yaml first" })
      yield* telad.updater.update({})
      assert.strictEqual((yield* settled(telad)).state, "installed")
    })
  )

  it.scopedLive("tells of the version that had to go", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      yield* telad.updater.update({})
      yield* telad.restarted
      yield* telad.installation.begin("v1.1.0")
      yield* telad.installation.rollBack("v1.1.0", "it was not healthy within 120 s")
      const restarted = yield* Layer.build(
        UpdaterLive.layer({ version: "v1.0.0", store: undefined, restart: Effect.void }).pipe(
          Layer.provide([Layer.succeed(Installation, telad.installation), folderOrigin(telad.folder).layer])
        )
      )
      const { last } = yield* Context.get(restarted, Updater).status
      assert.deepStrictEqual(last, {
        version: "v1.1.0",
        state: "rolled-back",
        text: "rolled back to v1.0.0: it was not healthy within 120 s"
      })
    })
  )

  it.scopedLive("says of a version whether it waits for a start, is on trial, or stays", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      yield* telad.updater.update({})
      yield* telad.restarted
      const lastOf = (version: string) =>
        Effect.gen(function* () {
          const context = yield* Layer.build(
            UpdaterLive.layer({ version, store: undefined, restart: Effect.void }).pipe(
              Layer.provide([Layer.succeed(Installation, telad.installation), folderOrigin(telad.folder).layer])
            )
          )
          return (yield* Context.get(context, Updater).status).last
        })
      assert.containsSubset(yield* lastOf("v1.0.0"), { version: "v1.1.0", state: "installed" })
      yield* telad.installation.begin("v1.1.0")
      assert.deepStrictEqual(yield* lastOf("v1.1.0"), {
        version: "v1.1.0",
        state: "on-trial",
        text: "it runs, and is on trial"
      })
      yield* telad.installation.confirm("v1.1.0")
      assert.isUndefined(yield* lastOf("v1.1.0"))
    })
  )
})

describe("its channel", () => {
  it.scopedLive("is kept in its file, where nothing else changes", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      const set = yield* telad.updater.setChannel({
        channel: "Beta",
        base: "https://dl.example.net/channels/beta.json"
      })
      assert.deepStrictEqual(set, {
        channel: "beta",
        manifestUrl: "https://dl.example.net/channels/beta.json"
      })
      assert.deepStrictEqual(yield* telad.updater.sources, {
        stable: BASE,
        beta: "https://dl.example.net/channels"
      })
      assert.strictEqual(yield* telad.updater.setSource("nightly", "https://n.example.net/"), "https://n.example.net")
      assert.isTrue(yield* telad.updater.removeSource("beta"))
      assert.isFalse(yield* telad.updater.removeSource("beta"))
      assert.deepStrictEqual(yield* telad.updater.channel, { channel: "beta", manifestUrl: "" })
      assert.strictEqual(
        telad.text(),
        `# mine\nhub: wss://hub.example.com\nupdate:\n  sources: { stable: ${BASE}, nightly: https://n.example.net } # ours\n  channel: beta\nmachines: []\n`
      )
    })
  )

  it.scopedLive("is not changed to what makes no sense", () =>
    Effect.gen(function* () {
      const telad = yield* program()
      const before = telad.text()
      for (const request of [{ channel: "no channel" }, { base: "http://dl.example.net" }, { base: "x" }]) {
        assert.strictEqual((yield* Effect.flip(telad.updater.setChannel(request))).kind, "invalid")
      }
      assert.strictEqual((yield* Effect.flip(telad.updater.setSource("A B", BASE))).kind, "invalid")
      yield* telad.updater.setChannel({})
      assert.strictEqual(telad.text(), before)
    })
  )

  it.scopedLive("cannot be kept by a program without a file", () =>
    Effect.gen(function* () {
      const telad = yield* program({ withFile: false })
      assert.match((yield* Effect.flip(telad.updater.setChannel({ channel: "beta" }))).message, /start it with -config/)
      assert.deepStrictEqual(yield* telad.updater.channel, { channel: "stable", manifestUrl: "" })
      assert.match((yield* telad.updater.status).error ?? "", /stable has no source/)
      assert.strictEqual((yield* telad.updater.update({ base: BASE })).message, "updating to v1.1.0")
      yield* telad.restarted
    })
  )
})

describe("a program that cannot be updated", () => {
  it.scoped("says why, whatever is asked", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(Updaters.layerUnavailable("v1.0.0", "it is a part of another program"))
      const updater = Context.get(context, Updater)
      assert.containsSubset(yield* updater.status, {
        currentVersion: "v1.0.0",
        error: "it is a part of another program"
      })
      for (const refused of [
        yield* Effect.flip(updater.update({})),
        yield* Effect.flip(updater.channel),
        yield* Effect.flip(updater.setChannel({})),
        yield* Effect.flip(updater.sources),
        yield* Effect.flip(updater.setSource("a", "b")),
        yield* Effect.flip(updater.removeSource("a"))
      ]) {
        assert.strictEqual(refused.message, "it is a part of another program")
      }
    })
  )
})
