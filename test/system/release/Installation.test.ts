/** Installing: what is put in force, what is refused with nothing changed, and the way back. Real archives, real programs. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Binary } from "../../../src/system/release/Manifest.ts"
import { none } from "../../../src/store/UpdateSettings.ts"
import * as Installation from "../../../src/system/release/Installation.ts"
import type { InstallError } from "../../../src/system/release/InstallError.ts"
import * as Lock from "../../../src/system/release/internal/lock.ts"
import type * as Maker from "../../../src/system/release/Maker.ts"
import type { ProgramName } from "../../../src/system/release/ReleaseFile.ts"
import { Steps, steps } from "../../../src/system/release/Steps.ts"
import * as Runner from "../../../src/system/release/Runner.ts"
import * as Tar from "../../../src/system/release/Tar.ts"
import * as Trial from "../../../src/system/release/Trial.ts"
import * as Update from "../../../src/system/release/Update.ts"
import { logLines } from "../../support/logLines.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { BASE, folderOrigin, release, unpack } from "./made.ts"
import type { MadeOptions, Unpacked } from "./made.ts"

/** A channel's folder, and v1.0.0 of it as somebody installed it. */
const installed = (program: ProgramName = "telad") =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const made = yield* release(folder, { version: "v1.0.0", programs: [program] })
    return { folder, ...(yield* unpack(folder, made, program)) }
  })

const archiveOf = (folder: string, made: Maker.Made): Buffer =>
  Fs.readFileSync(Path.join(folder, "files", made.channel, made.archives[0]?.name ?? ""))

/** The archive of a further release. */
const next = (folder: string, options: Partial<MadeOptions> & Pick<MadeOptions, "version">) =>
  Effect.map(release(folder, options), (made) => archiveOf(folder, made))

/** What an installation looks like, so that a test can say that nothing of it changed. */
const look = ({ home, versions }: Unpacked) => ({
  versions: versions(),
  current: Fs.readFileSync(Path.join(home, "current.json"), "utf8"),
  around: Fs.readdirSync(home).toSorted()
})

const refused = (
  unpacked: Unpacked,
  install: Effect.Effect<unknown, InstallError, Scope.Scope>,
  kind: InstallError["kind"]
) =>
  Effect.gen(function* () {
    const before = look(unpacked)
    const error = yield* Effect.flip(install)
    assert.strictEqual(error.kind, kind, error.message)
    assert.deepStrictEqual(look(unpacked), before)
    assert.strictEqual(unpacked.run("x"), "runs v1.0.0 x\n")
    return error.message
  })

describe("an installation", () => {
  it.scopedLive("has the version of its archive, and then the one that was installed", () =>
    Effect.gen(function* () {
      const { folder, ...tela } = yield* installed("tela")
      assert.strictEqual(tela.run("a", "b"), "runs v1.0.0 a b\n")
      const archive = yield* next(folder, { version: "v1.1.0", programs: ["tela"] })
      const { pointer, release: about } = yield* tela.installation.install(archive, "v1.1.0")
      assert.strictEqual(about.version, "v1.1.0")
      assert.strictEqual(pointer.previous, "v1.0.0")
      assert.isUndefined(pointer.trial)
      assert.strictEqual(tela.run("a"), "runs v1.1.0 a\n")
      assert.match(tela.run("version"), /^tela v1\.1\.0 /)
      assert.deepStrictEqual(tela.versions(), ["v1.0.0", pointer.folder])

      const third = yield* tela.installation.install(
        yield* next(folder, { version: "v1.2.0", programs: ["tela"] }),
        "v1.2.0"
      )
      // The one before is kept, and no other.
      assert.deepStrictEqual(tela.versions(), [pointer.folder, third.pointer.folder].toSorted())
      assert.strictEqual(tela.run(), "runs v1.2.0 \n")
    })
  )

  it.scopedLive("is found from its launcher, also through a link, and nowhere else", () =>
    Effect.gen(function* () {
      const { home } = yield* installed("tela")
      const folder = yield* temporaryFolder
      const link = Path.join(folder, "tela")
      Fs.symlinkSync(Path.join(home, "bin/tela"), link)
      const real = Fs.realpathSync(home)
      assert.strictEqual(yield* Installation.locate(Path.join(home, "bin/tela")), real)
      assert.strictEqual(yield* Installation.locate(link), real)
      for (const other of [undefined, "", folder, Path.join(folder, "x"), process.argv[1]]) {
        assert.isUndefined(yield* Installation.locate(other))
      }
    })
  )

  it.scopedLive("can be run by others, whatever the umask", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archive = yield* next(folder, { version: "v1.1.0" })
      const before = process.umask(0o077)
      yield* Effect.ensuring(
        telad.installation.install(archive, "v1.1.0"),
        Effect.sync(() => process.umask(before))
      )
      const { pointer } = yield* telad.installation.installed
      const modeOf = (name: string) => Fs.statSync(Path.join(telad.home, "versions", pointer.folder, name)).mode & 0o777
      assert.deepStrictEqual(
        ["", "bin", "bin/telad", "bin/launch.mjs", "dist/programs", "dist/programs/telad.cjs", "release.json"].map(
          modeOf
        ),
        [0o755, 0o755, 0o755, 0o644, 0o755, 0o644, 0o644]
      )
      assert.strictEqual(Fs.statSync(Path.join(telad.home, "current.json")).mode & 0o777, 0o644)
    })
  )

  it.scopedLive("refuses what is of another program, version or machine", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const { install } = telad.installation
      const other = yield* next(folder, { version: "v1.1.0", programs: ["tela"] })
      assert.match(yield* refused(telad, install(other, "v1.1.0"), "damaged"), /lacks telad\/versions\/v1\.1\.0/)
      const version = yield* next(folder, { version: "v1.2.0" })
      assert.match(yield* refused(telad, install(version, "v1.3.0"), "damaged"), /lacks telad\/versions\/v1\.3\.0/)
      const machine = yield* next(folder, { version: "v1.4.0", targets: [{ os: "plan9", arch: "mips" }] })
      assert.match(yield* refused(telad, install(machine, "v1.4.0"), "mismatch"), /is of telad v1\.4\.0 plan9\/mips/)
    })
  )

  it.scopedLive("refuses what is no archive, or lacks a part", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const { install } = telad.installation
      yield* refused(telad, install(Buffer.from("no archive"), "v1.1.0"), "damaged")
      const archive = yield* next(folder, { version: "v1.1.0" })
      const entries = Either.getOrThrow(yield* Effect.promise(() => Tar.unpack(archive)))
      const within = "telad/versions/v1.1.0/"
      for (const name of ["bin/telad", "bin/launch.mjs", "dist/programs/telad.cjs", "package.json", "release.json"]) {
        const without = Tar.pack(
          entries.filter(({ path }) => path !== `${within}${name}`),
          0
        )
        assert.include(yield* refused(telad, install(without, "v1.1.0"), "damaged"), `lacks ${within}${name}`)
      }
    })
  )

  it.scopedLive.each([
    ["does not start", "throw new Error('boom')", /does not run here.*Error: boom/],
    ["cannot be parsed", "const = 1", /does not run here.*SyntaxError/],
    ["ends with an error", `process.stderr.write("too old a Node\\n"); process.exit(3)`, /too old a Node/]
  ] as const)("refuses a version that %s", ([, code, said]) =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archive = yield* next(folder, { version: "v1.1.0", code })
      assert.match(yield* refused(telad, telad.installation.install(archive, "v1.1.0"), "unproved"), said)
    })
  )

  it.scopedLive("refuses a version that is not the one it says", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archive = yield* next(folder, { version: "v1.1.0" })
      const entries = Either.getOrThrow(yield* Effect.promise(() => Tar.unpack(archive)))
      const lying = entries.map((entry) =>
        entry.path === "telad/versions/v1.1.0/package.json"
          ? { ...entry, bytes: Buffer.from('{"type":"module","version":"9.9.9"}') }
          : entry
      )
      const install = telad.installation.install(Tar.pack(lying, 0), "v1.1.0")
      assert.match(yield* refused(telad, install, "unproved"), /says that it is telad v9\.9\.9/)
    })
  )

  it.scopedLive("is changed by one at a time, and a lock that a crash left is taken over", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archive = yield* next(folder, { version: "v1.1.0" })
      const both = yield* Effect.all(
        [telad.installation.install(archive, "v1.1.0"), telad.installation.install(archive, "v1.1.0")],
        { concurrency: 2 }
      )
      assert.strictEqual(both.length, 2)
      assert.strictEqual(telad.run(), "runs v1.1.0 \n")
      const lock = Path.join(telad.home, "update.lock")
      assert.isFalse(Fs.existsSync(lock))
      // No process has this number: Linux gives out 2^22 of them.
      for (const left of ["4194305", String(process.pid), "", "x"]) {
        Fs.writeFileSync(lock, left)
        if (left === "" || left === "x") Fs.utimesSync(lock, 1, 1)
        yield* telad.installation.install(archive, "v1.1.0")
        assert.isFalse(Fs.existsSync(lock), left)
      }
    })
  )

  it.scopedLive("is not put back by an update that was decided before a newer one came", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const [first, second] = [
        yield* next(folder, { version: "v1.3.0-rc.1" }),
        yield* next(folder, { version: "v1.3.0-rc.2" })
      ]
      const { pointer } = yield* telad.installation.install(second, "v1.3.0-rc.2")
      const error = yield* Effect.flip(telad.installation.install(first, "v1.3.0-rc.1"))
      assert.strictEqual(error.kind, "older")
      assert.match(
        error.message,
        /^v1\.3\.0-rc\.1 is older than v1\.3\.0-rc\.2, which was installed meanwhile; look again/
      )
      assert.deepStrictEqual((yield* telad.installation.installed).pointer, pointer)
      assert.deepStrictEqual(telad.versions(), ["v1.0.0", pointer.folder])
      // What is there by then is left as it is, its trial too.
      yield* telad.installation.begin("v1.3.0-rc.2")
      const same = yield* telad.installation.install(second, "v1.3.0-rc.2")
      assert.deepStrictEqual(same.pointer, { ...pointer, trial: { starts: 1, pid: process.pid } })
      yield* telad.installation.install(first, "v1.3.0-rc.1", { allowDowngrade: true })
      assert.strictEqual(telad.run(), "runs v1.3.0-rc.1 \n")
    })
  )

  it.scopedLive("is changed by who is meant, when others have the number of one that crashed", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archive = yield* next(folder, { version: "v1.1.0" })
      yield* telad.installation.install(archive, "v1.1.0")
      const lock = Path.join(telad.home, "update.lock")
      // One that is there, and holds no lock.
      const pid = process.ppid
      const at = (text: string) => {
        Fs.writeFileSync(lock, text)
        return Effect.either(Lock.withLock(lock, 100, Effect.void))
      }
      const held = function* (text: string) {
        const refused = yield* at(text)
        assert(refused._tag === "Left", text)
        assert.strictEqual(refused.left.kind, "busy")
        // A start that is counted by nobody does not wait for it.
        const begun = yield* Effect.timeout(telad.installation.begin("v1.0.0"), "5 seconds")
        assert.isFalse(begun)
        Fs.rmSync(lock)
      }
      yield* held(String(pid))
      if (process.platform !== "linux") return
      const boot = Fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
      const stat = Fs.readFileSync(`/proc/${pid}/stat`, "latin1")
      const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
      yield* held(`${pid} ${boot} ${ticks}`)
      for (const left of [`${pid} ${boot} 1`, `${pid} 0a1b ${ticks}`, `4194305 ${boot} ${ticks}`]) {
        assert.isTrue(Either.isRight(yield* at(left)), left)
        assert.isFalse(Fs.existsSync(lock), left)
      }
      // What it writes itself tells it from others.
      const written = yield* Lock.withLock(
        lock,
        100,
        Effect.sync(() => Fs.readFileSync(lock, "utf8"))
      )
      assert.match(written, new RegExp(`^${process.pid} ${boot} \\d+$`))
    })
  )

  it.scopedLive("removes what crashes left", () =>
    Effect.gen(function* () {
      const { folder, ...tela } = yield* installed("tela")
      const left = ["versions/.incoming-1/bin", "versions/.trash-2", "versions/v0.9.0-01234567"]
      for (const name of left) Fs.mkdirSync(Path.join(tela.home, name), { recursive: true })
      Fs.writeFileSync(Path.join(tela.home, "current.json.123.abc"), "half")
      yield* tela.installation.install(yield* next(folder, { version: "v1.1.0", programs: ["tela"] }), "v1.1.0")
      assert.strictEqual(tela.versions().length, 2)
      assert.deepStrictEqual(Fs.readdirSync(tela.home).toSorted(), ["bin", "current.json", "package.json", "versions"])
    })
  )
})

/** Runs something as a user who may write nowhere; what root may do tells nothing. */
const asNobody = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  process.geteuid?.() === 0
    ? Effect.acquireUseRelease(
        Effect.sync(() => process.seteuid?.(65_534)),
        () => effect,
        () => Effect.sync(() => process.seteuid?.(0))
      )
    : effect

describe("an installation that cannot be written", () => {
  it.scopedLive("says so, and stays as it is", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archive = yield* next(folder, { version: "v1.1.0" })
      Fs.chmodSync(Path.dirname(telad.home), 0o755)
      Fs.chmodSync(telad.home, 0o555)
      const before = look(telad)
      const error = yield* Effect.flip(asNobody(telad.installation.install(archive, "v1.1.0")))
      Fs.chmodSync(telad.home, 0o755)
      assert.strictEqual(error.kind, "unwritable")
      assert.match(error.message, /update\.lock: permission denied; whoever updates must be able to write there/)
      assert.deepStrictEqual(look(telad), before)
    })
  )

  it.scopedLive("has no trial that nobody could end, and keeps what was in force", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const archives = [yield* next(folder, { version: "v1.1.0" }), yield* next(folder, { version: "v1.2.0" })] as const
      const tried = yield* telad.installation.install(archives[0], "v1.1.0")
      // As it is when it was not known who runs it: that is said, and nothing is changed.
      Fs.chmodSync(Path.dirname(telad.home), 0o755)
      Fs.chmodSync(telad.home, 0o555)
      const { layer, until } = yield* logLines
      const trial = yield* asNobody(Trial.begin(telad.installation, "v1.1.0")).pipe(Effect.provide(layer))
      const said = yield* until(/is on trial/)
      Fs.chmodSync(telad.home, 0o755)
      assert.match(
        said,
        /^v1\.1\.0 is on trial, .*update\.lock: permission denied.*othing goes back by itself.*update -config/
      )
      yield* trial.watch(Effect.never)
      assert.deepStrictEqual((yield* telad.installation.installed).pointer, tried.pointer)

      const { pointer } = yield* telad.installation.install(archives[1], "v1.2.0", { untried: true })
      assert.deepStrictEqual(pointer, { folder: pointer.folder, previous: tried.pointer.folder })
      assert.deepStrictEqual(telad.versions(), [tried.pointer.folder, pointer.folder].toSorted())
    })
  )

  it.scopedLive("is known by whose key a daemon has", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const key = Path.join(folder, "telad.key")
      const home = Path.join(folder, "home")
      Fs.mkdirSync(home, { mode: 0o755 })
      const without = Runner.withoutRights(home, key)
      assert.isUndefined(yield* without)
      Fs.writeFileSync(key, "", { mode: 0o600 })
      assert.isUndefined(yield* without)
      if (process.geteuid?.() !== 0) return
      Fs.chownSync(key, 65_534, 65_534)
      assert.strictEqual(yield* without, 65_534)
      for (const mode of [0o775, 0o757]) {
        Fs.chmodSync(home, mode)
        assert.isUndefined(yield* without)
      }
      Fs.chmodSync(home, 0o755)
      Fs.chownSync(home, 65_534, 65_534)
      assert.isUndefined(yield* without)
      Fs.chmodSync(home, 0o555)
      assert.strictEqual(yield* without, 65_534)
    })
  )

  it.scopedLive.each(steps)("and is interrupted at the step %s: has nothing half done", (step) =>
    Effect.gen(function* () {
      const { folder, ...tela } = yield* installed("tela")
      const archive = yield* next(folder, { version: "v1.1.0", programs: ["tela"] })
      const there = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const stopping = {
        reached: (reached: string) =>
          reached === step ? Effect.zipRight(Deferred.succeed(there, undefined), Deferred.await(go)) : Effect.void
      }
      const running = yield* Effect.fork(
        Effect.provideService(tela.installation.install(archive, "v1.1.0"), Steps, stopping)
      )
      yield* Deferred.await(there)
      yield* Fiber.interruptFork(running)
      // The rename of the pointer is not interrupted: there it goes on to the end of that.
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.await(running)
      const isIn = ["pointing", "switched", "cleaned"].includes(step)
      assert.strictEqual(tela.run(), `runs ${isIn ? "v1.1.0" : "v1.0.0"} \n`)
      assert.deepStrictEqual(Fs.readdirSync(tela.home).toSorted(), ["bin", "current.json", "package.json", "versions"])
      yield* tela.installation.install(archive, "v1.1.0")
      assert.strictEqual(tela.run(), "runs v1.1.0 \n")
      assert.isAtMost(tela.versions().length, 2)
    })
  )
})

describe("an archive", () => {
  /** Installs v1.1.0 from a channel in which one file is another. */
  const update = (folder: string, unpacked: Unpacked, exchange: (name: string) => Uint8Array | undefined) => {
    const { layer } = folderOrigin(folder, exchange)
    return Effect.gen(function* () {
      const { offer } = yield* Update.look({}, { ...none, sources: { stable: BASE } })
      const decision = yield* offer.decision
      assert(decision._tag === "Install")
      return yield* Update.install(decision.candidate, offer.address, {
        onProgress: () => Effect.void,
        onInstall: Effect.void
      })
    }).pipe(Effect.provideService(Installation.Installation, unpacked.installation), Effect.provide(layer))
  }

  it.scopedLive("that is not the one that was signed is never unpacked: any byte changed, one more, one less", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const made = yield* release(folder, { version: "v1.1.0" })
      const name = `files/stable/${made.archives[0]?.name}`
      const archive = archiveOf(folder, made)
      const before = look(telad)
      const refuses = (bytes: Uint8Array, what: string) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(update(folder, telad, (file) => (file === name ? bytes : undefined)))
          assert(error._tag === "UpdateRefused")
          assert.strictEqual(error.kind, "unreachable", what)
          assert.match(error.message, /signed manifest/, what)
        })
      // Every 37th byte, another set in each run would be as good: the digest covers all of them.
      for (let at = 0; at < archive.length; at += 37) {
        const changed = Buffer.from(archive)
        changed[at] = (changed[at] ?? 0) ^ 0xff
        yield* refuses(changed, `byte ${at}`)
      }
      yield* refuses(Buffer.concat([archive, Buffer.alloc(1)]), "one more")
      yield* refuses(archive.subarray(0, -1), "one less")
      yield* refuses(Buffer.alloc(0), "nothing")
      assert.deepStrictEqual(look(telad), before)
      assert.strictEqual(telad.run(), "runs v1.0.0 \n")
      yield* update(folder, telad, () => undefined)
      assert.strictEqual(telad.run(), "runs v1.1.0 \n")
    })
  )

  it.scopedLive("of a size that the server lies about is left as soon as that is known", () =>
    Effect.gen(function* () {
      const { folder, ...telad } = yield* installed()
      const made = yield* release(folder, { version: "v1.1.0" })
      const binary: Binary = made.archives[0]?.binary ?? { sha256: "", size: 0 }
      const endless = Buffer.alloc(binary.size + 5_000_000)
      const error = yield* Effect.flip(
        update(folder, telad, (file) => (file.endsWith(".tar.gz") ? endless : undefined))
      )
      assert.include(error.message, `it has ${endless.length} bytes, and ${binary.size} by the signed manifest`)
    })
  )
})
