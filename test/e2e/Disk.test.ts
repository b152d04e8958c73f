/** A hub that cannot write: what it says over HTTP, and that nothing has changed, on the disk or in memory. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Program from "./harness/Program.ts"
import * as Tela from "./harness/Tela.ts"

const isRoot = process.getuid?.() === 0

const mounted = (folder: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => execFileSync("mount", [...args, folder])),
    () => Effect.sync(() => execFileSync("umount", ["-l", folder]))
  )

/** Whether this process may mount anything: a container may keep even root from it. */
const canMount = (): boolean => {
  if (process.platform !== "linux" || !isRoot) return false
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "tela-mount-"))
  try {
    execFileSync("mount", ["-t", "tmpfs", "none", folder], { stdio: "ignore" })
    execFileSync("umount", [folder], { stdio: "ignore" })
    return true
  } catch {
    return false
  } finally {
    Fs.rmdirSync(folder)
  }
}

const mayMount = canMount()

/** A hub whose file is in the folder, and its owner's requests to it. */
const hubIn = (folder: string) =>
  Effect.gen(function* () {
    const file = Path.join(folder, "telahubd.yaml")
    const args = ["user", "bootstrap", "-quiet", "-config", file]
    const { stdout } = yield* Program.run({ command: Tela.bin("telahubd"), args })
    const hub = yield* Tela.startHub(file)
    const ask = (method: string, path: string, body?: object) =>
      Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${hub.port}${path}`, {
          method,
          headers: { authorization: `Bearer ${stdout.trim()}` },
          ...(body !== undefined && { body: JSON.stringify(body) })
        })
        return { status: response.status, text: await response.text() }
      })
    const change = (machine: string) =>
      ask("PUT", `/api/admin/access/owner/machines/${machine}`, { permissions: ["connect"] })
    return { hub, file, ask, change }
  })

/** Each kind of change is refused with this status and a sentence, and neither the file nor what is in force changes. */
const refusesChanges = (
  { ask, change, file }: Effect.Effect.Success<ReturnType<typeof hubIn>>,
  status: number,
  says: RegExp
) =>
  Effect.gen(function* () {
    const inForce = () =>
      Effect.all([ask("GET", "/api/admin/access"), ask("GET", "/api/admin/tokens"), ask("GET", "/api/whoami")])
    const beside = () => Fs.readdirSync(Path.dirname(file)).filter((name) => name.startsWith("telahubd.yaml"))
    const before = { text: Fs.readFileSync(file, "utf8"), beside: beside(), inForce: yield* inForce() }
    for (const refused of [
      yield* change("mill"),
      yield* ask("POST", "/api/admin/tokens", { id: "carol" }),
      yield* ask("POST", "/api/admin/rotate/owner"),
      yield* ask("DELETE", "/api/admin/access/console-viewer")
    ]) {
      assert.strictEqual(refused.status, status, refused.text)
      assert.match(refused.text, says)
      assert.include(refused.text, file)
    }
    assert.strictEqual(Fs.readFileSync(file, "utf8"), before.text)
    assert.deepStrictEqual(beside(), before.beside)
    assert.deepStrictEqual(yield* inForce(), before.inForce)
    assert.strictEqual((yield* ask("GET", "/healthz")).status, 200)
  })

describe("A hub that cannot write", () => {
  const notice = mayMount ? "" : " (skipped: nothing can be mounted here)"

  it.scopedLive.runIf(mayMount)(`on a full disk answers 507, and goes on when there is room${notice}`, () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* mounted(folder, ["-t", "tmpfs", "-o", "size=4m", "none"])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const made = yield* hubIn(folder)
          assert.strictEqual((yield* made.change("barn")).status, 200)
          const filler = Path.join(folder, "filler")
          yield* Effect.sync(() => {
            const descriptor = Fs.openSync(filler, "w")
            try {
              while (true) Fs.writeSync(descriptor, Buffer.alloc(4_096))
            } catch {
              Fs.closeSync(descriptor)
            }
          })
          yield* refusesChanges(made, 507, /no space left on the device; make room there/)
          Fs.rmSync(filler)
          assert.strictEqual((yield* made.change("mill")).status, 200)
          assert.include(Fs.readFileSync(made.file, "utf8"), "mill: {")
        })
      )
    })
  )

  it.scopedLive("where it may not write answers 500, and goes on when it may", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const made = yield* hubIn(folder)
      assert.strictEqual((yield* made.change("barn")).status, 200)
      const obstacle = `${made.file}.tmp`
      yield* Effect.acquireUseRelease(
        Effect.sync(() => {
          if (!isRoot) return Fs.chmodSync(folder, 0o500)
          // Root may write whatever the mode; a folder in the place of the temporary file stops it too.
          Fs.mkdirSync(obstacle)
          return Fs.writeFileSync(Path.join(obstacle, "x"), "")
        }),
        () => refusesChanges(made, 500, /the hub must be able to write this file and its folder/),
        () => Effect.sync(() => (isRoot ? Fs.rmSync(obstacle, { recursive: true }) : Fs.chmodSync(folder, 0o700)))
      )
      assert.strictEqual((yield* made.change("mill")).status, 200)
      assert.include(Fs.readFileSync(made.file, "utf8"), "mill: {")
    })
  )
})
