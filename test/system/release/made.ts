/** Releases for tests: made by the maker, of programs that are a few lines, with keys of their own. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Ed25519 from "../../../src/crypto/Ed25519.ts"
import * as Installation from "../../../src/system/release/Installation.ts"
import * as Maker from "../../../src/system/release/Maker.ts"
import { Origin } from "../../../src/system/release/Origin.ts"
import type { ProgramName } from "../../../src/system/release/ReleaseFile.ts"
import { machine } from "../../../src/system/release/Update.ts"
import { FetchError } from "../../../src/transport/Fetch.ts"
import { repositoryRoot } from "../../e2e/harness/Workspace.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"

export const key = Ed25519.generate()

/** What the program does; `-h` is to say something, since that is how a version is proved to run. */
export const works = `if (process.argv[2] === "-h") process.stdout.write("help\\n")
else process.stdout.write("runs " + VERSION + " " + process.argv.slice(2).join(" ") + "\\n")`

/** A folder with what a build leaves, of a program of so many lines. */
export const build = (
  folder: string,
  version: string,
  code = works,
  programs: ReadonlyArray<ProgramName> = ["telad"]
) => {
  Fs.mkdirSync(Path.join(folder, "dist/programs"), { recursive: true })
  Fs.mkdirSync(Path.join(folder, "bin"))
  for (const name of ["bin/launch.mjs", "bin/select.mjs", "LICENSE"]) {
    Fs.copyFileSync(Path.join(repositoryRoot, name), Path.join(folder, name))
  }
  const about = { version: version.slice(1), license: "Apache-2.0", dependencies: { "better-sqlite3": "^12.11.1" } }
  Fs.writeFileSync(Path.join(folder, "package.json"), JSON.stringify(about))
  for (const program of programs) {
    const bundle = `// 0123456789abcdef\nconst VERSION = "${version}"\n${code}\n`
    Fs.writeFileSync(Path.join(folder, `dist/programs/${program}.cjs`), bundle)
  }
}

export interface MadeOptions {
  readonly version: string
  readonly code?: string
  readonly channel?: string
  readonly key?: Ed25519.PrivateKey
  readonly nextKey?: Ed25519.PublicKey
  readonly programs?: ReadonlyArray<ProgramName>
  readonly targets?: ReadonlyArray<Maker.Target>
  readonly publishedAt?: number
  readonly expires?: Maker.MakerOptions["expires"]
  readonly downloadBase?: string
}

const DAY = 24 * 3_600_000

/** Makes a release into a channel's folder. */
export const release = (out: string, options: MadeOptions): Effect.Effect<Maker.Made, never, Scope.Scope> =>
  Effect.gen(function* () {
    const root = yield* temporaryFolder
    const { code, programs = ["telad"], version } = options
    build(root, version, code, programs)
    return yield* Maker.make({
      root,
      out,
      key: options.key ?? key,
      nextKey: options.nextKey,
      channel: options.channel ?? "stable",
      programs,
      targets: options.targets ?? [machine],
      downloadBase: options.downloadBase,
      publishedAt: options.publishedAt ?? Date.now(),
      expires: options.expires ?? { head: Date.now() + DAY, version: Date.now() + DAY }
    })
  }).pipe(Effect.orDie)

/** Where the channel's folder is served, in tests without a server. */
export const BASE = "https://releases.test"

/** The address of a file of the folder. */
export const addressOf = (name: string): string => `${BASE}/${name}`

/** What a test has an origin answer in place of a file; undefined for the file itself. */
export type Exchange = (name: string) => Uint8Array | undefined

/** An origin that serves a folder, and what of it a test exchanges. */
export const folderOrigin = (folder: string, exchange: Exchange = () => undefined) => {
  const asked: Array<string> = []
  const layer = Layer.succeed(Origin, {
    open: (address) =>
      Effect.suspend(() => {
        asked.push(address)
        const name = address.startsWith(`${BASE}/`) ? address.slice(BASE.length + 1) : ""
        const file = Path.join(folder, name)
        const exchanged = exchange(name)
        if (exchanged === undefined && (name === "" || !Fs.existsSync(file))) {
          return new FetchError({ address, reason: "there is no such file (HTTP 404)", status: 404 })
        }
        const bytes = exchanged ?? Fs.readFileSync(file)
        const pieces = [bytes.subarray(0, 1_000), bytes.subarray(1_000)]
        return Effect.succeed({ address, length: bytes.length, body: Stream.fromIterable(pieces) })
      })
  })
  return { layer, asked }
}

/** A program as people install it: an archive, unpacked. */
export interface Unpacked {
  readonly home: string
  readonly installation: typeof Installation.Installation.Service
  /** Runs what is in force; succeeds with what it prints. */
  readonly run: (...args: ReadonlyArray<string>) => string
  /** Names in its folder of versions. */
  readonly versions: () => ReadonlyArray<string>
}

/** Unpacks the archive of a release by tar, as docs/operations.md says. */
export const unpack = (
  channelFolder: string,
  made: Maker.Made,
  program: ProgramName = "telad"
): Effect.Effect<Unpacked, never, Scope.Scope> =>
  Effect.map(temporaryFolder, (folder) => {
    const name = made.archives.find((archive) => archive.name.startsWith(`${program}-`))?.name ?? ""
    const archive = Path.join(channelFolder, "files", made.channel, name)
    execFileSync("tar", ["-xzf", archive, "-C", folder, "--no-same-owner"])
    const home = Path.join(folder, program)
    return {
      home,
      installation: Installation.make(home, { program, ...machine }),
      run: (...args) =>
        execFileSync(process.execPath, [Path.join(home, "bin", program), ...args], { encoding: "utf8", stdio: "pipe" }),
      versions: () => Fs.readdirSync(Path.join(home, "versions")).toSorted()
    }
  })
