/** Releases of the programs that were built, as whatever versions a test needs, and where they are served. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import type * as Ed25519 from "../../../src/crypto/Ed25519.ts"
import * as Maker from "../../../src/system/release/Maker.ts"
import type { ProgramName } from "../../../src/system/release/ReleaseFile.ts"
import { machine } from "../../../src/system/release/Update.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import * as Made from "../../system/release/made.ts"
import { repositoryRoot } from "./Workspace.ts"

const DAY = 24 * 3_600_000

export interface Options {
  readonly version: string
  readonly program: ProgramName
  /** Unless given, this one. */
  readonly targets?: ReadonlyArray<Maker.Target>
  /** What the program does first; for one that does not work. */
  readonly first?: string
  /** What else is different in its one file. */
  readonly edit?: (bundle: string) => string
  /** Who signs it; unless given, whoever signs all. */
  readonly key?: Ed25519.PrivateKey
}

/** Makes a release into a channel's folder. */
export const make = (
  out: string,
  { edit = (same) => same, first = "", key = Made.key, program, targets = [machine], version }: Options
): Effect.Effect<Maker.Made, never, Scope.Scope> =>
  Effect.gen(function* () {
    const root = yield* temporaryFolder
    Fs.mkdirSync(Path.join(root, "dist/programs"), { recursive: true })
    Fs.mkdirSync(Path.join(root, "bin"))
    for (const name of ["bin/launch.mjs", "bin/select.mjs", "LICENSE"]) {
      Fs.copyFileSync(Path.join(repositoryRoot, name), Path.join(root, name))
    }
    const read = (name: string) => Fs.readFileSync(Path.join(repositoryRoot, name), "utf8")
    const about = JSON.parse(read("package.json")) as { readonly version: string }
    Fs.writeFileSync(Path.join(root, "package.json"), JSON.stringify({ ...about, version: version.slice(1) }))
    const bundle = edit(read(`dist/programs/${program}.cjs`).replaceAll(`"v${about.version}"`, `"${version}"`))
    // The first line is the digest of what was built.
    const [digest, ...lines] = bundle.split("\n")
    Fs.writeFileSync(Path.join(root, `dist/programs/${program}.cjs`), [digest, first, ...lines].join("\n"))
    return yield* Maker.make({
      root,
      out,
      key,
      channel: "stable",
      programs: [program],
      targets,
      publishedAt: Date.now(),
      expires: { head: Date.now() + DAY, version: Date.now() + DAY }
    })
  }).pipe(Effect.orDie)

/** A web server of a folder; its address. */
export const serve = (folder: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<Http.Server>((resume) => {
        const server = Http.createServer((request, response) => {
          const file = Path.join(folder, decodeURIComponent(request.url ?? "/"))
          if (!Fs.existsSync(file) || Fs.statSync(file).isDirectory()) return response.writeHead(404).end()
          return response.writeHead(200).end(Fs.readFileSync(file))
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    (server) => {
      const address = server.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    }
  )
