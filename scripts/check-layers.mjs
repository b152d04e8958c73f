// Holds the floors of the house (docs/architecture.md): imports go to the same floor or down, some folders are pure,
// only transport touches sockets, nothing imports an index, and no files import each other in a circle.
import { readdirSync, readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { dirname, join, normalize, relative, sep } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import ts from "typescript"

const floors = {
  protocol: 0,
  policy: 0,
  crypto: 0,
  transport: 1,
  tunnel: 2,
  store: 2,
  telemetry: 2,
  hub: 3,
  agent: 3,
  client: 3,
  system: 3,
  cli: 4,
  testkit: 4
}

/** The three programs' libraries stand side by side: none knows another. */
const strangers = ["hub", "agent", "client"]

/** What the pure folders may take from Node. */
const pure = { protocol: [], policy: [], crypto: ["crypto"] }

const sockets = /^(ws|net|tls|dgram|http|https|http2)$/

const builtins = new Set(builtinModules)

const sources = (folder) =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))

const imports = (file) => ts.preProcessFile(readFileSync(file, "utf8"), true, true).importedFiles.map((i) => i.fileName)

const checkPackage = (from, folder, specifier) => {
  const node = specifier.startsWith("node:") || builtins.has(specifier)
  const name = specifier.replace(/^node:/, "")
  const problems = []
  if (sockets.test(name) && folder !== "transport") problems.push(`${from} uses ${specifier}: only transport may`)
  if (node && pure[folder] !== undefined && !pure[folder].includes(name)) {
    problems.push(`${from} uses ${specifier}: ${folder} is pure`)
  }
  if (/^(effect|@effect\/[a-z-]+)$/.test(specifier)) {
    problems.push(`${from} imports all of ${specifier}: import the module it needs`)
  }
  return problems
}

const checkFile = (from, folder, to, target) => {
  if (floors[target] === undefined) return [`${to} is in no known folder (imported by ${from})`]
  const problems = []
  if (floors[target] > floors[folder]) problems.push(`${from} imports ${to}: up from ${folder} to ${target}`)
  if (strangers.includes(folder) && strangers.includes(target) && folder !== target) {
    problems.push(`${from} imports ${to}: ${folder} and ${target} do not know each other`)
  }
  if (/(^|\/)index\.ts$/.test(to)) problems.push(`${from} imports ${to}: import the file itself`)
  if (to.includes("/internal/") && folder !== target) problems.push(`${from} imports ${to}: private to ${target}`)
  return problems
}

/** Every circle of files, once, as the names along it. */
const circles = (graph) => {
  const found = []
  const state = new Map()
  const visit = (file, path) => {
    state.set(file, "open")
    for (const next of graph.get(file) ?? []) {
      if (state.get(next) === "open") found.push([...path.slice(path.indexOf(next)), next])
      else if (state.get(next) === undefined) visit(next, [...path, next])
    }
    state.set(file, "done")
  }
  for (const file of graph.keys()) if (state.get(file) === undefined) visit(file, [file])
  return found
}

/** Problems of the source tree below `root`/src, one sentence each; empty when the house stands. */
export const check = (root) => {
  const src = join(root, "src")
  const graph = new Map()
  const problems = []
  const nameOf = (file) => relative(src, file).split(sep).join("/")
  for (const file of sources(src)) {
    const from = nameOf(file)
    const folder = from.split("/")[0]
    graph.set(from, [])
    if (floors[folder] === undefined) {
      problems.push(`${from} is in no known folder`)
      continue
    }
    for (const specifier of imports(file)) {
      if (!specifier.startsWith(".")) {
        problems.push(...checkPackage(from, folder, specifier))
        continue
      }
      const to = nameOf(normalize(join(dirname(file), specifier)))
      graph.get(from).push(to)
      problems.push(...checkFile(from, folder, to, to.split("/")[0]))
    }
  }
  for (const circle of circles(graph)) problems.push(`circle: ${circle.join(" -> ")}`)
  return problems
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const problems = check(fileURLToPath(new URL("..", import.meta.url)))
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
