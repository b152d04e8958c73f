import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createHash, randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Sshd from "./harness/Sshd.ts"
import * as Tools from "./harness/Tools.ts"
import * as World from "./harness/World.ts"

const needed = Tools.missing("sshd", "ssh", "ssh-keygen", "scp")
const MiB = 1024 * 1024

const randomFile = (path: string, bytes: number): string => {
  const file = Fs.openSync(path, "w")
  const hash = createHash("sha256")
  for (let left = bytes; left > 0; left -= 4 * MiB) {
    const chunk = randomBytes(Math.min(left, 4 * MiB))
    Fs.writeSync(file, chunk)
    hash.update(chunk)
  }
  Fs.closeSync(file)
  return hash.digest("hex")
}

const sha256 = (path: string): string => {
  const file = Fs.openSync(path, "r")
  const hash = createHash("sha256")
  const chunk = Buffer.alloc(4 * MiB)
  for (let count = Fs.readSync(file, chunk); count > 0; count = Fs.readSync(file, chunk)) {
    hash.update(chunk.subarray(0, count))
  }
  Fs.closeSync(file)
  return hash.digest("hex")
}

describe.skipIf(needed.skip)(`ssh through the hub${needed.notice}`, () => {
  it.scopedLive("a command runs on the machine, and its output and exit code come back", () =>
    Effect.gen(function* () {
      const sshd = yield* Sshd.start()
      const world = yield* World.make([{ name: "web-01", services: [{ port: sshd.port, name: "SSH" }] }])
      const client = yield* world.connect("web-01")

      const { stdout } = yield* Sshd.ssh(sshd, client.port("SSH"), "echo one; echo two; id -un")
      assert.strictEqual(stdout, `one\ntwo\n${sshd.user}\n`)

      const failure = yield* Effect.flip(Sshd.ssh(sshd, client.port("SSH"), "exit 42"))
      assert.strictEqual(failure.problem, "exit code 42")
    })
  )

  it.scopedLive(
    "scp of 256 MiB arrives identical, there and back",
    () =>
      Effect.gen(function* () {
        const sshd = yield* Sshd.start()
        const world = yield* World.make([{ name: "web-01", services: [{ port: sshd.port, name: "SSH" }] }])
        const client = yield* world.connect("web-01")
        const folder = yield* temporaryFolder
        const at = (name: string) => Path.join(folder, name)
        const original = randomFile(at("original"), 256 * MiB)

        yield* Sshd.scp(sshd, client.port("SSH"), at("original"), `remote:${at("there")}`)
        assert.strictEqual(sha256(at("there")), original)

        yield* Sshd.scp(sshd, client.port("SSH"), `remote:${at("there")}`, at("back"))
        assert.strictEqual(sha256(at("back")), original)
      }),
    180_000
  )
})
