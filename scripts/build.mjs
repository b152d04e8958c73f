// Builds what users run and import:
//   dist/lib       the library, one .js and .d.ts for each file of src (tsc)
//   dist/programs  one bundled file for each program, so that they start fast (esbuild)
//   dist/bench     the benchmarks, compiled (esbuild)
// `--programs` leaves the library out, and what earlier builds left. Files are replaced by a rename, and only when they
// changed, so that a program may run or start during a build.
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as esbuild from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
export const programs = ["tela", "telad", "telahubd"]

/** Native addons cannot be bundled; ws does without its two. */
const nativeAddons = ["bufferutil", "utf-8-validate"]

/** Bundled CommonJS packages (ws) still ask for Node's own modules with require. */
const banner = `import { createRequire as createRequire$ } from "node:module"; const require = createRequire$(import.meta.url);`

const replace = (file, contents) => {
  if (existsSync(file) && readFileSync(file).equals(contents)) return
  mkdirSync(dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, contents)
  renameSync(temporary, file)
}

const bundle = async (entryPoints, outdir, options = {}) => {
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints,
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    write: false,
    platform: "node",
    target: "node20",
    format: "esm",
    mainFields: ["module", "main"],
    // Names stay, so that stack traces and profiles can be read.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    logLevel: "warning",
    external: nativeAddons,
    banner: { js: banner },
    ...options
  })
  for (const file of result.outputFiles) replace(file.path, Buffer.from(file.contents))
  return result.outputFiles.map((file) => file.path)
}

/** Each program on its own: what a command loads late (`import()`) stands in files beside the program's. */
export const buildPrograms = async () => {
  const files = await Promise.all(
    programs
      .filter((program) => existsSync(join(root, `src/cli/${program}/main.ts`)))
      .map((program) =>
        bundle({ [program]: `src/cli/${program}/main.ts` }, "dist/programs", {
          splitting: true,
          chunkNames: `${program}-[name]-[hash]`
        })
      )
  )
  return new Set(files.flat())
}

/** Removes files of earlier builds, whose names held another hash. */
const removeStale = (folder, current) => {
  for (const name of readdirSync(join(root, folder))) {
    const file = join(root, folder, name)
    if (!current.has(file)) rmSync(file)
  }
}

const buildBench = () => {
  const folder = join(root, "test/bench")
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".ts")) : []
  return files.length === 0
    ? undefined
    : bundle(
        files.map((name) => `test/bench/${name}`),
        "dist/bench"
      )
}

const buildLibrary = () =>
  new Promise((resolve, reject) => {
    const tsc = join(root, "node_modules/typescript/bin/tsc")
    spawn(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" })
      .on("error", reject)
      .on("exit", (code) => (code === 0 ? resolve() : reject(new Error("tsc found errors; see above"))))
  })

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const library = process.argv.includes("--programs") ? Promise.resolve() : buildLibrary()
  const bundles = buildPrograms()
  const results = await Promise.allSettled([bundles, buildBench(), library])
  for (const result of results) {
    if (result.status === "rejected") {
      process.stderr.write(`build: ${result.reason.message}\n`)
      process.exitCode = 1
    }
  }
  if (process.exitCode === undefined && !process.argv.includes("--programs")) {
    removeStale("dist/programs", await bundles)
  }
}
