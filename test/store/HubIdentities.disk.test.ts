import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Change } from "../../src/policy/Change.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import { bundled } from "../support/bundled.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { change, example, fileOf, idsOf, plain, read, token, write } from "./hubFile.ts"

const add = (id: string) => Change.Add({ id, role: "user", token: token(id), grants: [] })
const mayMount = process.platform === "linux" && process.getuid?.() === 0

const mounted = (folder: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => execFileSync("mount", [...args, folder])),
    () => Effect.sync(() => execFileSync("umount", [folder]))
  )

/** A change that fails leaves memory, the file and its folder as they were. */
const refused = (path: string, store: Effect.Effect.Success<ReturnType<typeof HubIdentities.make>>) =>
  Effect.gen(function* () {
    const before = { text: yield* read(path), state: plain(store.current()), revision: store.current().revision }
    const failure = yield* Effect.flip(Effect.asVoid(change(store, add("carl"))))
    assert.strictEqual(yield* read(path), before.text)
    assert.deepStrictEqual(plain(store.current()), before.state)
    assert.strictEqual(store.current().revision, before.revision)
    const beside = yield* Effect.promise(() => Fs.readdir(Path.dirname(path)))
    assert.notInclude(beside, "telahubd.yaml.tmp")
    return failure
  })

describe("HubIdentities, where it cannot write", () => {
  it.scopedLive("in a folder that cannot be written", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      // Root may write anywhere; a folder in the place of the temporary file stops it too.
      yield* Effect.promise(() => Fs.mkdir(`${path}.tmp`))
      yield* Effect.promise(() => Fs.writeFile(Path.join(`${path}.tmp`, "x"), ""))
      const failure = yield* Effect.flip(Effect.asVoid(change(store, add("carl"))))
      assert.strictEqual(failure.kind, "unwritable")
      assert.match(failure.message, /must be able to write this file and its folder/)
      assert.strictEqual(yield* read(path), example)
      assert.deepStrictEqual(idsOf(store.current()), ["alice", "bob", "owner"])
      yield* Effect.promise(() => Fs.rm(`${path}.tmp`, { recursive: true }))
      yield* change(store, add("carl"))
    })
  )

  it.scopedLive.runIf(mayMount)("on a full disk", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* mounted(folder, ["-t", "tmpfs", "-o", "size=256k", "none"])
      const path = Path.join(folder, "telahubd.yaml")
      yield* write(path, example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, add("dora"))
      yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "filler"), Buffer.alloc(1 << 20)).catch(() => {}))
      const failure = yield* refused(path, store)
      assert.strictEqual(failure.kind, "full")
      assert.match(failure.message, /no space left/)
      yield* Effect.promise(() => Fs.rm(Path.join(folder, "filler")))
      yield* change(store, add("carl"))
      assert.deepStrictEqual(idsOf((yield* HubIdentities.make(path)).current()), [
        "alice",
        "bob",
        "carl",
        "dora",
        "owner"
      ])
    })
  )

  it.scopedLive.runIf(mayMount)("on a read-only file system, where a person's edit still comes into force", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const folder = Path.dirname(path)
      yield* mounted(folder, ["--bind", folder])
      const store = yield* HubIdentities.make(path)
      yield* write(path, example.replace(/ {4}bob:.*\n/, ""))
      yield* Effect.sync(() => execFileSync("mount", ["-o", "remount,bind,ro", folder]))
      const { changes, snapshot } = yield* store.refresh
      assert.deepStrictEqual(
        changes.map(({ how, id }) => `${how} ${id}`),
        ["hand bob"]
      )
      assert.deepStrictEqual(idsOf(snapshot), ["alice", "owner"])
      assert.deepStrictEqual((yield* store.refresh).changes, [])
      const failure = yield* refused(path, store)
      assert.strictEqual(failure.kind, "unwritable")
    })
  )

  it.scopedLive.runIf(mayMount)("on a file that is mounted alone", () =>
    Effect.gen(function* () {
      const source = yield* fileOf(example)
      const path = yield* fileOf("")
      yield* mounted(path, ["--bind", source])
      const store = yield* HubIdentities.make(path)
      const failure = yield* refused(path, store)
      assert.strictEqual(failure.kind, "unwritable")
      assert.match(failure.message, /mount the directory, not the file/)
    })
  )
})

describe("HubIdentities, killed at any moment", () => {
  const trials = process.env["TELA_LONG"] === "1" ? 100 : 8

  it.scopedLive(
    "has every change that it acknowledged, a file that parses, and no temporary files but one",
    () =>
      Effect.gen(function* () {
        const path = yield* fileOf(example)
        const program = yield* bundled("test/store/writer.ts")
        const acknowledged = new Set<string>()
        for (let trial = 0; trial < trials; trial++) {
          yield* Effect.async<void>((resume) => {
            const child = spawn(process.execPath, [program, path, `t${trial}`], {
              stdio: ["ignore", "pipe", "inherit"]
            })
            let output = ""
            let timer: NodeJS.Timeout | undefined
            child.stdout.on("data", (chunk: Buffer) => {
              output += chunk.toString()
              // From the first acknowledgement on it is busy all the time.
              timer ??= setTimeout(() => child.kill("SIGKILL"), Math.random() * 60)
            })
            child.on("close", () => {
              clearTimeout(timer)
              for (const id of output.split("\n").slice(0, -1)) acknowledged.add(id)
              resume(Effect.void)
            })
          })
          const store = yield* HubIdentities.make(path)
          const present = new Set(idsOf(store.current()))
          assert.deepStrictEqual(
            [...acknowledged].filter((id) => !present.has(id)),
            []
          )
          assert.isAtLeast(acknowledged.size, trial + 1)
          const left = yield* Effect.promise(() => Fs.readdir(Path.dirname(path)))
          const expected = ["telahubd.lock", "telahubd.lock-journal", "telahubd.yaml", "telahubd.yaml.tmp"]
          assert.deepStrictEqual(
            left.filter((name) => !expected.includes(name)),
            []
          )
        }
        const store = yield* HubIdentities.make(path)
        assert.deepStrictEqual((yield* store.refresh).changes, [])
        yield* change(store, add("last"))
        const left = yield* Effect.promise(() => Fs.readdir(Path.dirname(path)))
        assert.notInclude(left, "telahubd.yaml.tmp")
      }),
    process.env["TELA_LONG"] === "1" ? 300_000 : 20_000
  )
})
