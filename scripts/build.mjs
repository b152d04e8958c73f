// Builds what users run and import:
//   dist/lib       the library, one .js and .d.ts for each file of src (tsc)
//   dist/programs  one bundled file for each program, so that they start fast (esbuild), and the code that V8 compiled
//                  from it
//   dist/bench     the benchmarks, compiled (esbuild)
// `--programs` leaves the library out, and what earlier builds left. Files are replaced by a rename, and only when they
// changed, so that a program may run or start during a build.
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as esbuild from "esbuild"
import { codeFile } from "../bin/launch.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const programs = ["tela", "telad", "telahubd"]

/** What each does while its code is compiled: as much as it can without the others. */
const compiledBy = {
  tela: () => ["connect", "-hub", "ws://127.0.0.1:1", "-machine", "none"],
  telad: () => ["-hub", "ws://127.0.0.1:1", "-machine", "none", "-ports", "1"],
  telahubd: (home) => ["-config", join(home, "telahubd.yaml"), "-host", "127.0.0.1", "-port", "0"]
}

/** How long a program is run for it, in milliseconds: agent and hub would never end by themselves. */
const COMPILING = 4_000

/** Native addons cannot be bundled; ws does without its two, and only `telahubd` has the third. */
const nativeAddons = ["bufferutil", "utf-8-validate", "better-sqlite3"]

/** Bundled CommonJS packages (ws) still ask for Node's own modules with require. */
const banner = `import { createRequire as createRequire$ } from "node:module"; const require = createRequire$(import.meta.url);`

/** Runs Node to its end; succeeds with its exit code. */
const run = (args, options) =>
  new Promise((resolve, reject) => {
    spawn(process.execPath, args, { cwd: root, ...options })
      .on("error", reject)
      .on("exit", resolve)
  })

const replace = (file, contents) => {
  if (existsSync(file) && readFileSync(file).equals(contents)) return
  mkdirSync(dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, contents)
  renameSync(temporary, file)
}

const compile = async (entryPoints, options) => {
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints,
    bundle: true,
    write: false,
    platform: "node",
    target: "node20",
    mainFields: ["module", "main"],
    // Names stay, so that stack traces and profiles can be read.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    logLevel: "warning",
    external: nativeAddons,
    ...options
  })
  return result.outputFiles.map((file) => ({ path: file.path, contents: Buffer.from(file.contents) }))
}

/**
 * Compiles a program's code by running it as far as it gets alone, and keeps it. Made anew when the launcher has
 * changed too, because V8 takes code only under the flags that it was compiled under.
 */
const compileCode = async (program) => {
  const file = join(root, `dist/programs/${program}.cjs`)
  const kept = codeFile(file, readFileSync(file, "latin1"))
  if (existsSync(kept) && statSync(kept).mtimeMs > statSync(join(root, "bin/launch.mjs")).mtimeMs) return kept
  const home = mkdtempSync(join(tmpdir(), "tela-build-"))
  try {
    const script = join(root, "scripts/compile-code.mjs")
    const args = [script, file, kept, ...compiledBy[program](home)]
    await run(args, { env: { ...process.env, TELA_HOME: home }, stdio: "ignore", timeout: COMPILING })
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
  return kept
}

/**
 * Where a bundle is, in place of import.meta.url, which CommonJS has not: packages that stay outside of it are found from
 * there.
 */
const whereItIs = (program) => ({
  banner: { js: `const file$ = require.resolve("./${program}.cjs");` },
  define: { "import.meta.url": "file$" }
})

/** Bundles the programs, and says which files there should be. */
const buildPrograms = async () => {
  const current = new Set()
  for (const program of programs) {
    const entryPoints = { [program]: `src/cli/${program}/main.ts` }
    const options = { format: "cjs", outdir: "dist/programs", outExtension: { ".js": ".cjs" }, ...whereItIs(program) }
    for (const { contents, path } of await compile(entryPoints, options)) {
      const digest = createHash("sha256").update(contents).digest("hex").slice(0, 16)
      replace(path, Buffer.concat([Buffer.from(`// ${digest}\n`), contents]))
      current.add(path)
    }
  }
  for (const compiled of await Promise.all(programs.map(compileCode))) current.add(compiled)
  return current
}

/** Removes files of earlier builds, whose names held another hash. */
const removeStale = (folder, current) => {
  for (const name of readdirSync(join(root, folder))) {
    const file = join(root, folder, name)
    if (!current.has(file)) rmSync(file)
  }
}

const buildBench = async () => {
  const folder = join(root, "test/bench")
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".ts")) : []
  if (files.length === 0) return
  const entryPoints = files.map((name) => `test/bench/${name}`)
  const options = { format: "esm", outdir: "dist/bench", outExtension: { ".js": ".mjs" }, banner: { js: banner } }
  for (const { contents, path } of await compile(entryPoints, options)) replace(path, contents)
}

const buildLibrary = async () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc")
  const code = await run([tsc, "-p", "tsconfig.build.json"], { stdio: "inherit" })
  if (code !== 0) throw new Error("tsc found errors; see above")
}

const withLibrary = !process.argv.includes("--programs")
const bundles = buildPrograms()
const results = await Promise.allSettled([bundles, buildBench(), withLibrary ? buildLibrary() : undefined])
for (const result of results) {
  if (result.status === "rejected") {
    process.stderr.write(`build: ${result.reason.message}\n`)
    process.exitCode = 1
  }
}
if (process.exitCode === undefined && withLibrary) removeStale("dist/programs", await bundles)
