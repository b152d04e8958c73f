import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { RELEASE_FILES, RELEASE_UNPACKED_BYTES } from "../../../src/protocol/Limits.ts"
import * as Tar from "../../../src/system/release/Tar.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"

const entry = (path: string, text: string, executable = false): Tar.Entry => ({
  path,
  bytes: Buffer.from(text),
  executable
})

const some = [
  entry("telad/bin/telad", "#!/usr/bin/env node\n", true),
  entry("telad/package.json", "{}"),
  entry(`telad/versions/v1.0.0/${"long/".repeat(20)}${"n".repeat(90)}`, "deep"),
  entry("telad/empty", "")
]

const unpack = (archive: Uint8Array) => Effect.promise(() => Tar.unpack(archive))

/** The archive with bytes of its tar exchanged, and the checksums of its headers made right again. */
const forged = (entries: ReadonlyArray<Tar.Entry>, change: (tar: Buffer) => void): Uint8Array => {
  const tar = Zlib.gunzipSync(Tar.pack(entries, 0))
  change(tar)
  tar.fill(" ", 148, 156)
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1")
  return Zlib.gzipSync(tar)
}

describe("Tar", () => {
  it.effect("gives back what was packed", () =>
    Effect.gen(function* () {
      const entries = Either.getOrThrow(yield* unpack(Tar.pack(some, 1_000)))
      const plain = (list: ReadonlyArray<Tar.Entry>) =>
        list
          .map(({ bytes, executable, path }) => [path, Buffer.from(bytes).toString(), executable] as const)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
      assert.deepStrictEqual(plain(entries), plain(some))
    })
  )

  it("gives the same bytes whatever the order", () => {
    assert.deepStrictEqual(Tar.pack(some, 1_000), Tar.pack(some.toReversed(), 1_000))
  })

  it.scoped("is what tar reads, and tar writes what it reads", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      Fs.writeFileSync(Path.join(folder, "a.tar.gz"), Tar.pack(some, 1_000))
      execFileSync("tar", ["-xzf", "a.tar.gz", "--no-same-owner"], { cwd: folder })
      assert.strictEqual(Fs.statSync(Path.join(folder, "telad/bin/telad")).mode & 0o777, 0o755)
      assert.strictEqual(Fs.readFileSync(Path.join(folder, "telad/package.json"), "utf8"), "{}")
      execFileSync("tar", ["--format=ustar", "-czf", "b.tar.gz", "telad"], { cwd: folder })
      const entries = Either.getOrThrow(yield* unpack(Fs.readFileSync(Path.join(folder, "b.tar.gz"))))
      assert.sameMembers(
        entries.map(({ path }) => path),
        some.map(({ path }) => path)
      )
    })
  )

  it.effect.each([
    ["a path that leads up", [entry("telad/../../etc/passwd", "x")], () => {}],
    ["an absolute path", [entry("/etc/passwd", "x")], () => {}],
    ["a path with a backslash", [entry("telad\\x", "x")], () => {}],
    ["a path with a control character", [entry("telad/\u0007", "x")], () => {}],
    ["a dot as a part", [entry("telad/./x", "x")], () => {}],
    ["an empty part", [entry("telad//x", "x")], () => {}],
    ["a file twice", [entry("telad/x", "1"), entry("telad/x", "2")], () => {}],
    ["a symbolic link", [entry("telad/x", "")], (tar: Buffer) => tar.write("2", 156)],
    ["a hard link", [entry("telad/x", "")], (tar: Buffer) => tar.write("1", 156)],
    ["a device", [entry("telad/x", "")], (tar: Buffer) => tar.write("3", 156)],
    ["a header of another archiver", [entry("telad/x", "")], (tar: Buffer) => tar.write("x", 156)],
    ["a size beyond its end", [entry("telad/x", "")], (tar: Buffer) => tar.write("77777777777", 124)],
    ["a size that is none", [entry("telad/x", "")], (tar: Buffer) => tar.write("-1", 124)],
    ["too many files", Array.from({ length: RELEASE_FILES + 1 }, (_, index) => entry(`telad/${index}`, "")), () => {}]
  ] as const)("refuses %s", ([, entries, change]) =>
    Effect.gen(function* () {
      assert.isTrue(Either.isLeft(yield* unpack(forged(entries, change))))
    })
  )

  it.effect("refuses an archive that would fill the memory, and one that is cut", () =>
    Effect.gen(function* () {
      const bomb = Zlib.gzipSync(Buffer.alloc(RELEASE_UNPACKED_BYTES + 1), { level: 1 })
      assert.match(Either.getOrThrow(Either.flip(yield* unpack(bomb))), /more than/)
      const whole = Tar.pack(some, 0)
      assert.isTrue(Either.isLeft(yield* unpack(whole.subarray(0, whole.length - 9))))
      assert.isTrue(Either.isLeft(yield* unpack(Buffer.from("not compressed"))))
    })
  )
})
