import * as FsNow from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Files from "../../src/store/internal/files.ts"
import { onSync } from "../support/onSync.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

/** While the scope lasts, every disk is full. */
const fullDisk = (folder: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const handle = await Fs.open(folder, "r")
      await handle.close()
      const full = Object.assign(new Error("no space"), { code: "ENOSPC" })
      return vi.spyOn(Object.getPrototypeOf(handle), "sync").mockRejectedValue(full)
    }),
    (spy) => Effect.sync(() => spy.mockRestore())
  )

describe("Files", () => {
  it.scoped.each([
    ["createOnce", Files.createOnce],
    ["replace", Files.replace]
  ] as const)("%s leaves nothing behind when the disk is full", ([, write]) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* fullDisk(folder)
      const problem = yield* Effect.flip(write(Path.join(folder, "identity.key"), "secret"))
      assert.deepInclude(problem, { code: "ENOSPC", problem: "no space left on the device" })
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(folder)), [])
    })
  )

  const edits: ReadonlyArray<readonly [string, (file: string) => void]> = [
    ["in place, with as many bytes", (file) => FsNow.writeFileSync(file, "edit")],
    ["in place, with more", (file) => FsNow.appendFileSync(file, " and more")],
    [
      "by another file of as many bytes",
      (file) => {
        FsNow.writeFileSync(`${file}.editor`, "edit")
        FsNow.renameSync(`${file}.editor`, file)
      }
    ]
  ]

  it.scoped.each(edits)("an edit just after a file was replaced is another's: %s", ([, edit]) =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "x.yaml")
      FsNow.writeFileSync(file, "old")
      const seen = yield* Files.signatureOf(file)
      // First the new file is synced, and then, when it is in its place, the folder.
      yield* onSync((before) => {
        if (before === 1) edit(file)
      })
      const placed = yield* Files.replaceSeen(seen, [Buffer.from("ours")])
      assert.notStrictEqual((yield* Files.signatureOf(file)).text, placed.text)
      const problem = yield* Effect.flip(Files.replaceSeen(placed, [Buffer.from("next")]))
      assert.strictEqual(problem.code, "ECHANGED")
    })
  )

  it.scoped("a file that nobody touched after it was replaced looks as was said", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "x.yaml")
      FsNow.writeFileSync(file, "old")
      let seen = yield* Files.signatureOf(file)
      for (const text of ["one", "two", "three"]) {
        seen = yield* Files.replaceSeen(seen, [Buffer.from(text)])
        assert.deepStrictEqual(yield* Files.signatureOf(file), seen)
        assert.strictEqual(FsNow.readFileSync(file, "utf8"), text)
      }
    })
  )

  it.scoped("an edit while the new text is written is left as it is, and so is what was there", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "x.yaml")
      FsNow.writeFileSync(file, "old")
      const seen = yield* Files.signatureOf(file)
      yield* onSync((before) => {
        if (before === 0) FsNow.writeFileSync(file, "new")
      })
      const problem = yield* Effect.flip(Files.replaceSeen(seen, [Buffer.from("ours")]))
      assert.strictEqual(problem.code, "ECHANGED")
      assert.strictEqual(FsNow.readFileSync(file, "utf8"), "new")
      assert.deepStrictEqual(FsNow.readdirSync(Path.dirname(file)), ["x.yaml"])
    })
  )

  it.scoped("a file that is taken away just after it was replaced is no failure of what was done", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "x.yaml")
      FsNow.writeFileSync(file, "old")
      const seen = yield* Files.signatureOf(file)
      yield* onSync((before) => {
        if (before === 1) FsNow.renameSync(file, `${file}.aside`)
      })
      const placed = yield* Files.replaceSeen(seen, [Buffer.from("ours")])
      assert.strictEqual((yield* Effect.flip(Files.signatureOf(file))).code, "ENOENT")
      FsNow.renameSync(`${file}.aside`, file)
      assert.strictEqual(FsNow.readFileSync(file, "utf8"), "ours")
      assert.strictEqual(placed.target, seen.target)
    })
  )

  it.effect("a folder that can never be made is not tried for ever", () =>
    Effect.gen(function* () {
      // Linux says of it that it is not there, though the folder above is.
      const { code } = yield* Effect.flip(Files.makeFolderOf("/proc/none/of/these"))
      assert.match(code, /^(?:ENOENT|EACCES|EPERM|EROFS)$/)
    })
  )

  it.scoped("folders are made as far as they are not there, by several at once, too", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "a", "b", "c", "file")
      yield* Effect.all([Files.makeFolderOf(file), Files.makeFolderOf(file)], { concurrency: 2 })
      yield* Files.makeFolderOf(file)
      assert.strictEqual(FsNow.statSync(Path.dirname(file)).mode & 0o777, 0o700)
      FsNow.writeFileSync(file, "")
      assert.strictEqual((yield* Effect.flip(Files.makeFolderOf(Path.join(file, "x")))).code, "EEXIST")
    })
  )
})
