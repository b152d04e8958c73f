// Starts a program: answers `version` before anything else is loaded, hides secrets from the process listing, then
// loads the program's one bundled file.
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** Node's names of platforms and processors, where they differ from those that agents and releases use. */
const systems = { win32: "windows", sunos: "solaris" }
const processors = { x64: "amd64", ia32: "386", mipsel: "mipsle", ppc64: "ppc64le" }

/** The same as in src/protocol/Platform.ts, which is not to be loaded here; a test compares them. */
export const goos = (platform) => systems[platform] ?? platform
export const goarch = (arch) => processors[arch] ?? arch

/** Flags whose value is a secret. */
const secret = /^(--?(?:token|code))(=.*)?$/s

const version = (program, json) => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))
  const os = goos(process.platform)
  const arch = goarch(process.arch)
  return json
    ? JSON.stringify({ program, version: `v${version}`, os, arch }, undefined, 2)
    : `${program} v${version} ${os}/${arch}`
}

/** The command line with secrets blanked, or undefined when it holds none. */
export const withoutSecrets = (args) => {
  let found = false
  const shown = args.map((arg, index) => {
    const inline = secret.exec(arg)
    if (inline?.[2] !== undefined) {
      found = true
      return `${inline[1]}=***`
    }
    if (index > 0 && secret.test(args[index - 1]) && !args[index - 1].includes("=")) {
      found = true
      return "***"
    }
    return arg
  })
  return found ? shown : undefined
}

/** A program's file begins with `// ` and the first half of its digest, which names its compiled code. */
const digestOf = (source) => source.slice(3, 19)

/**
 * Where the code that V8 compiled from a program is kept; the build makes it, and nothing needs it. Named by what it was
 * compiled from, since V8 itself only compares lengths, and by the V8 that may read it.
 */
export const codeFile = (file, source) => file.replace(/\.cjs$/, `-${digestOf(source)}-v8-${process.versions.v8}.code`)

/**
 * What V8 is told once a program is loaded. Every record is 64 KiB outside a heap of 10 MiB, and V8 answers that by marking
 * the whole heap once in 8 MiB received: half of all processor time. Without the head start of incremental marking,
 * scavenges free them instead. And the young heap grows no more; a hub has it collected by V8's own function
 * (src/transport/YoungHeap.ts).
 */
export const v8Flags = "--no-incremental-marking --semi-space-growth-factor=1 --expose-gc"

/**
 * What V8 goes by before that. Code that was compiled before, Node's own included, it takes only under the flags that it
 * was compiled under: told anything earlier, a program starts 25 ms later.
 */
export const v8Defaults = "--incremental-marking --semi-space-growth-factor=2 --no-expose-gc"

/**
 * Runs a program's file. Code compiled beforehand saves a third of the start; V8 refuses what another version of it
 * made, and compiles as usual.
 */
export const load = async (file) => {
  const [{ createRequire }, { Script }, { setFlagsFromString }] = await Promise.all([
    import("node:module"),
    import("node:vm"),
    import("node:v8")
  ])
  const source = readFileSync(file, "latin1")
  const code = codeFile(file, source)
  const script = new Script(`(function (require, module, exports) {${source}\n})`, {
    filename: file,
    cachedData: existsSync(code) ? readFileSync(code) : undefined
  })
  const module = { exports: {} }
  script.runInThisContext()(createRequire(file), module, module.exports)
  setFlagsFromString(v8Flags)
  return script
}

export const launch = async (program) => {
  const args = process.argv.slice(2)
  const shown = withoutSecrets(args)
  if (shown !== undefined) process.title = [program, ...shown].join(" ")

  if (/^(version|--?version)$/.test(args[0] ?? "") && args.slice(1).every((arg) => /^--?json$/.test(arg))) {
    process.stdout.write(`${version(program, args.length > 1)}\n`)
    return
  }
  const file = fileURLToPath(new URL(`../dist/programs/${program}.cjs`, import.meta.url))
  if (!existsSync(file)) {
    const folder = fileURLToPath(new URL("..", import.meta.url))
    process.stderr.write(`${program}: not built yet: run "npm install" in ${folder}\n`)
    process.exitCode = 1
    return
  }
  await load(file)
}
