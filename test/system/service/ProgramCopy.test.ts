/** A service that is installed from a release runs a copy in its own folder, and installing again leaves that working. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Installation from "../../../src/system/release/Installation.ts"
import type { ProgramName } from "../../../src/system/release/ReleaseFile.ts"
import { machine } from "../../../src/system/release/Update.ts"
import type { ServiceProgram } from "../../../src/system/service/Definition.ts"
import * as Install from "../../../src/system/service/Install.ts"
import type { Plan } from "../../../src/system/service/Plan.ts"
import * as ProgramCopy from "../../../src/system/service/ProgramCopy.ts"
import * as Services from "../../../src/system/service/Services.ts"
import { started } from "../../support/unitFile.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { release, unpack } from "../release/made.ts"
import { computer, everything, hows, modeOf } from "./installing.ts"

const nothing: Plan = { steps: [], notes: [], leavesWithin: 1_000 }

/** A computer, releases for it, and the service that is installed from them. */
const world = (program: ServiceProgram = "telad") =>
  Effect.gen(function* () {
    const machineOf = yield* computer(program)
    const channel = yield* temporaryFolder
    const service = machineOf.service()
    const copy = Path.join(service.place.folder, "program")
    const unpacked = (version: string, programs: ReadonlyArray<ProgramName> = [program]) =>
      Effect.flatMap(release(channel, { version, programs }), (made) => unpack(channel, made, programs[0]))
    const copyOf = (home: string) =>
      ProgramCopy.make({ node: process.execPath, nodeArgs: [], script: Path.join(home, "bin", program) }, service)
    return {
      ...machineOf,
      channel,
      copy,
      installation: Installation.make(copy, { program, ...machine }),
      unpacked,
      copyOf,
      /** `service install` of what is unpacked there. */
      installFrom: (home: string, dryRun = false) =>
        Effect.flatMap(copyOf(home), (own) => machineOf.install(Effect.succeed(nothing), { copy: own, dryRun })),
      /** Runs what the unit says. */
      run: () => {
        const { args, command } = started(Fs.readFileSync(service.place.definitionFile, "utf8"))
        return execFileSync(command, [...args], { encoding: "utf8" })
      },
      versions: () => Fs.readdirSync(Path.join(copy, "versions")).toSorted()
    }
  })

/** The archive of a version, to be installed as an update. */
const archiveOf = (channel: string, version: string) =>
  Effect.map(release(channel, { version }), ({ archives }) =>
    Fs.readFileSync(Path.join(channel, "files/stable", archives[0]?.name ?? ""))
  )

describe("a service's own copy of the program", () => {
  it.scoped("is made of the version in force alone, and is what the service is started from", () =>
    Effect.gen(function* () {
      const { channel, copy, installFrom, installation, run, service, unpacked, versions } = yield* world()
      const { home, installation: original } = yield* unpacked("v1.0.0")
      // An installation with a past, on trial, in the middle of something.
      yield* original.install(yield* archiveOf(channel, "v1.1.0"), "v1.1.0")
      for (const name of ["versions/.incoming-0123abcd/bin", "versions/.trash-0123abcd", "versions/v0.9.0"]) {
        Fs.mkdirSync(Path.join(home, name), { recursive: true })
      }
      for (const name of ["update.lock", "current.json.1.tmp"]) Fs.writeFileSync(Path.join(home, name), "1")
      const installed = yield* installFrom(home)
      assert.deepStrictEqual(hows(installed), { program: `v1.1.0, copied from ${home}`, service: "new" })
      assert.match(installed.notes.join("\n"), new RegExp(`^the service runs its own copy, .*; ${home} can be removed`))
      assert.isTrue(installed.changed)
      const { pointer } = yield* installation.installed
      assert.match(pointer.folder, /^v1\.1\.0-[0-9a-f]{8}$/)
      assert.deepStrictEqual(pointer, { folder: pointer.folder })
      assert.deepStrictEqual(versions(), [pointer.folder])
      assert.deepStrictEqual(Fs.readdirSync(copy).toSorted(), ["bin", "current.json", "package.json", "versions"])
      assert.deepStrictEqual(started(installed.text).args, [
        Path.join(copy, "bin/telad"),
        "-config",
        service().place.configFile
      ])
      assert.deepStrictEqual(
        [modeOf(copy), modeOf(Path.join(copy, "bin/telad")), modeOf(Path.join(copy, "bin/select.mjs"))],
        ["755", "755", "644"]
      )
      assert.strictEqual(yield* Installation.locate(Path.join(copy, "bin/telad")), Fs.realpathSync(copy))
      Fs.rmSync(home, { recursive: true })
      assert.match(run(), /^runs v1\.1\.0 -config /)
    })
  )

  it.scoped("is unchanged when the same is installed again, from there or from the copy itself", () =>
    Effect.gen(function* () {
      const { copy, folder, installFrom, unpacked } = yield* world()
      const { home } = yield* unpacked("v1.0.0")
      yield* installFrom(home)
      const before = everything(folder)
      for (const from of [home, copy]) {
        const again = yield* installFrom(from)
        assert.deepStrictEqual(hows(again), { program: "unchanged, v1.0.0", service: "unchanged" })
        assert.isFalse(again.changed)
        assert.notMatch(again.notes.join("\n"), /its own copy/)
        assert.deepStrictEqual(everything(folder), before)
      }
    })
  )

  it.scoped("gets a newer version beside the one that runs, which is what there is to go back to", () =>
    Effect.gen(function* () {
      const { copy, installFrom, installation, run, unpacked, versions } = yield* world()
      yield* installFrom((yield* unpacked("v1.0.0")).home)
      const first = (yield* installation.installed).pointer.folder
      const { home } = yield* unpacked("v1.1.0")
      Fs.appendFileSync(Path.join(home, "bin/select.mjs"), "// of v1.1.0\n")
      const installed = yield* installFrom(home)
      assert.deepStrictEqual(hows(installed), {
        program: `v1.1.0, copied from ${home}; v1.0.0 is kept beside it`,
        service: "unchanged"
      })
      assert.isTrue(installed.changed)
      const { pointer } = yield* installation.installed
      assert.deepStrictEqual(pointer, { folder: pointer.folder, previous: first })
      assert.deepStrictEqual(versions(), [first, pointer.folder])
      assert.match(Fs.readFileSync(Path.join(copy, "bin/select.mjs"), "utf8"), /of v1\.1\.0/)
      assert.match(run(), /^runs v1\.1\.0 /)

      // A version whose trial is not over is nothing to go back to, nor one that came to nothing.
      const another = yield* unpacked("v1.3.0")
      yield* installation.install(yield* archiveOf(yield* temporaryFolder, "v1.2.0"), "v1.2.0")
      yield* installFrom(another.home)
      const after = (yield* installation.installed).pointer
      assert.deepStrictEqual(after, { folder: after.folder, previous: pointer.folder })
      assert.match(run(), /^runs v1\.3\.0 /)
    })
  )

  it.scoped("stays when the service has updated itself to a newer one", () =>
    Effect.gen(function* () {
      const { channel, copy, installFrom, installation, run, unpacked } = yield* world()
      const { home } = yield* unpacked("v1.0.0")
      yield* installFrom(home)
      yield* installation.install(yield* archiveOf(channel, "v1.1.0"), "v1.1.0")
      yield* installation.confirm("v1.1.0")
      const before = everything(copy)
      const again = yield* installFrom(home)
      assert.deepStrictEqual(hows(again), { program: "v1.1.0 stays: this v1.0.0 is older", service: "unchanged" })
      assert.isFalse(again.changed)
      assert.deepStrictEqual(everything(copy), before)
      assert.match(run(), /^runs v1\.1\.0 /)
    })
  )

  it.scoped.each([
    ["what is in force cannot be told", (copy: string) => Fs.writeFileSync(Path.join(copy, "current.json"), "{")],
    ["its version is gone", (copy: string) => Fs.rmSync(Path.join(copy, "versions"), { recursive: true })],
    ["its launcher is gone", (copy: string) => Fs.rmSync(Path.join(copy, "bin"), { recursive: true })]
  ] as const)("is made anew when %s", ([, damage]) =>
    Effect.gen(function* () {
      const { copy, installFrom, run, unpacked, versions } = yield* world()
      const { home } = yield* unpacked("v1.0.0")
      yield* installFrom(home)
      damage(copy)
      const installed = yield* installFrom(home)
      assert.strictEqual(hows(installed)["program"], `v1.0.0, copied from ${home}; what was there does not run`)
      assert.match(run(), /^runs v1\.0\.0 /)
      assert.lengthOf(versions(), 1)
    })
  )

  it.scoped("is shown and not made by -dry-run", () =>
    Effect.gen(function* () {
      const { folder, installFrom, unpacked } = yield* world()
      const { home } = yield* unpacked("v1.0.0")
      const before = everything(folder)
      const shown = yield* installFrom(home, true)
      assert.deepStrictEqual(everything(folder), before)
      const done = yield* installFrom(home)
      assert.strictEqual(shown.text, done.text)
      assert.deepStrictEqual(shown.rows, done.rows)
    })
  )

  it.scoped("is not there for a program of a package or a checkout", () =>
    Effect.gen(function* () {
      const { copyOf, folder } = yield* world()
      const script = Path.join(folder, "lib/node_modules/tela/bin/telad")
      Fs.mkdirSync(Path.dirname(script), { recursive: true })
      Fs.writeFileSync(script, "")
      assert.isUndefined(yield* copyOf(Path.join(folder, "lib/node_modules/tela")))
    })
  )

  it.scoped("is what launchd and the Task Scheduler start, too", () =>
    Effect.gen(function* () {
      const { asked, env, unpacked } = yield* world()
      const { home } = yield* unpacked("v1.0.0")
      const here = { node: process.execPath, nodeArgs: [], script: Path.join(home, "bin/telad") }
      for (const platform of ["darwin", "win32"]) {
        const meant = { program: "telad", instance: undefined, scope: "user", env, platform } as const
        const service = Either.getOrThrow(Services.find(meant))
        const copy = yield* ProgramCopy.make(here, service)
        assert.isDefined(copy)
        if (copy === undefined) continue
        const options = { plan: nothing, files: copy.files, copy, env, dryRun: true }
        const { text } = yield* Effect.provide(Install.install(service, options), asked.layer)
        assert.include(text, Path.join(service.place.folder, "program/bin/telad"), platform)
        assert.notInclude(text, home, platform)
      }
    })
  )
})
