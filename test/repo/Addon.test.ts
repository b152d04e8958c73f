import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const bundle = (program: string) => Fs.readFileSync(Path.join(root, `dist/programs/${program}.cjs`), "utf8")

/** `telahubd` as it is installed in a folder, beside whatever of SQLite is there. */
const installed = Effect.map(temporaryFolder, (folder) => {
  Fs.cpSync(Path.join(root, "bin"), Path.join(folder, "bin"), { recursive: true })
  Fs.cpSync(Path.join(root, "package.json"), Path.join(folder, "package.json"))
  Fs.mkdirSync(Path.join(folder, "dist/programs"), { recursive: true })
  Fs.cpSync(Path.join(root, "dist/programs/telahubd.cjs"), Path.join(folder, "dist/programs/telahubd.cjs"))
  return {
    folder,
    run: (...args: ReadonlyArray<string>) => {
      const bin = Path.join(folder, "bin/telahubd")
      const { status, stderr, stdout } = spawnSync(process.execPath, [bin, ...args], {
        cwd: folder,
        encoding: "utf8",
        env: { PATH: process.env["PATH"] },
        timeout: 15_000
      })
      return { status, stderr, stdout }
    }
  }
})

/** The package without its addon, as `npm install --ignore-scripts` leaves it. */
const withoutAddon = (folder: string) => {
  for (const name of ["bindings", "file-uri-to-path", "better-sqlite3/lib", "better-sqlite3/package.json"]) {
    Fs.cpSync(Path.join(root, "node_modules", name), Path.join(folder, "node_modules", name), { recursive: true })
  }
}

const brokenAddon = (folder: string) => {
  withoutAddon(folder)
  const file = Path.join(folder, "node_modules/better-sqlite3/build/Release/better_sqlite3.node")
  Fs.mkdirSync(Path.dirname(file), { recursive: true })
  Fs.writeFileSync(file, "compiled for something else")
}

describe("SQLite's addon", () => {
  it("is nothing that tela and telad know of", () => {
    assert.include(bundle("telahubd"), "better-sqlite3")
    for (const program of ["tela", "telad"]) {
      assert.notInclude(bundle(program), "better-sqlite3")
      assert.notInclude(bundle(program), "@effect/sql")
    }
  })

  it.scopedLive.each([
    ["the package is missing", () => {}],
    ["the addon was not built", withoutAddon],
    ["the addon is broken", brokenAddon]
  ] as const)("is asked for in one line when %s", ([, prepare]) =>
    Effect.gen(function* () {
      const { folder, run } = yield* installed
      prepare(folder)
      assert.strictEqual(run("version").status, 0)
      assert.match(run("-h").stdout, /Usage: telahubd/)
      const { status, stderr, stdout } = run("-config", "data/telahubd.yaml", "-port", "0")
      assert.deepStrictEqual(
        { status, stdout, stderr },
        {
          status: 1,
          stdout: "",
          stderr:
            "telahubd: SQLite is missing, or not built for this Node.js; run: npm install, or npm rebuild better-sqlite3 (it needs python3, make and g++)\n"
        }
      )
      assert.isFalse(Fs.existsSync(Path.join(folder, "data")))
    })
  )
})
