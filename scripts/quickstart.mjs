// `npm run quickstart`: Tela on this machine alone. Starts a hub, an agent and a client, each as its own process, on
// loopback ports that the system chooses, and stays until Ctrl-C. Everything they keep is in one temporary folder, which
// goes when they go.
import { spawn } from "node:child_process"
import { randomBytes, randomUUID } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { page } from "./quickstart-page.mjs"

const MACHINE = "quickstart"

/** Time for a program to say that it is ready, for one to end when asked, and for an SSH server to greet. */
const READY = 20_000
const FAREWELL = 5_000
const GREETING = 1_000

const root = fileURLToPath(new URL("..", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "tela-quickstart-"))
const children = []
let ending = false

const say = (text) => process.stdout.write(`${text}\n`)

/** Starts one of the programs; what it needs to keep goes below the temporary folder. */
const start = (program, args, env = {}) => {
  const child = spawn(process.execPath, [join(root, "bin", program), ...args], {
    cwd: folder,
    env: { ...process.env, TELA_HOME: join(folder, program), ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const started = { program, child, output: "", ended: undefined }
  started.ended = new Promise((resolve) => child.once("close", resolve))
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8")
    stream.on("data", (text) => {
      started.output += text
      child.emit("printed")
    })
  }
  child.once("close", () => {
    if (!ending) void end(1, `${program} ended:\n${started.output.trim()}`)
  })
  children.push(started)
  return started
}

/** Waits until a program has printed something; it may end instead. */
const printed = (started, pattern) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${started.program} did not get ready:\n${started.output.trim()}`)),
      READY
    )
    const look = () => {
      const match = pattern.exec(started.output)
      if (match === null) return
      clearTimeout(timer)
      started.child.off("printed", look)
      resolve(match)
    }
    started.child.on("printed", look)
    started.child.once("close", () => clearTimeout(timer))
    look()
  })

/** Ends the programs that were started here, removes what they kept, and leaves. */
const end = async (code, problem) => {
  if (ending) return
  ending = true
  if (problem !== undefined) process.stderr.write(`quickstart: ${problem}\n`)
  for (const { child } of children.toReversed()) child.kill("SIGTERM")
  const timer = setTimeout(() => {
    for (const { child } of children) child.kill("SIGKILL")
  }, FAREWELL)
  await Promise.all(children.map(({ ended }) => ended))
  clearTimeout(timer)
  rmSync(folder, { recursive: true, force: true })
  if (problem === undefined) say("\nStopped. Nothing is left behind.")
  process.exit(code)
}

/** Whether an SSH server of this machine answers on port 22. */
const hasSshd = () =>
  new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: 22 })
    const done = (found) => {
      socket.destroy()
      resolve(found)
    }
    socket.setTimeout(GREETING, () => done(false))
    socket.once("data", (greeting) => done(greeting.toString("latin1").startsWith("SSH-")))
    socket.once("error", () => done(false))
    socket.once("close", () => done(false))
  })

const listen = (server) =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => resolve(server.address().port))
  })

const write = (name, lines) => {
  const file = join(folder, name)
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 })
  return file
}

const token = () => randomBytes(32).toString("hex")

const run = async () => {
  const visit = { count: 0, hub: "" }
  const server = createServer((request, response) => {
    visit.count += 1
    response.writeHead(200, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" })
    response.end(page({ machine: MACHINE, visits: visit.count, hub: visit.hub, path: request.url ?? "/" }))
  })
  const [pagePort, sshd] = await Promise.all([listen(server), hasSshd()])

  const tokens = { owner: token(), agent: token(), operator: token() }
  const hubFile = write("telahubd.yaml", [
    `hubId: ${randomUUID()}`,
    "name: quickstart",
    "auth:",
    "  tokens:",
    `    - { id: owner, token: ${tokens.owner}, hubRole: owner }`,
    `    - { id: agent, token: ${tokens.agent} }`,
    `    - { id: operator, token: ${tokens.operator} }`,
    "  machines:",
    `    ${MACHINE}:`,
    `      registerToken: ${tokens.agent}`,
    `      connectTokens: [${tokens.operator}]`
  ])
  const hub = start("telahubd", ["-config", hubFile, "-host", "127.0.0.1", "-port", "0"])
  const [, port] = await printed(hub, /listening on http:\/\/127\.0\.0\.1:(\d+)/)
  const url = `ws://127.0.0.1:${port}`
  visit.hub = url

  const services = [{ port: pagePort, name: "page" }, ...(sshd ? [{ port: 22, name: "SSH" }] : [])]
  const agentFile = write("telad.yaml", [
    `hub: ${url}`,
    `token: ${tokens.agent}`,
    "machines:",
    `  - name: ${MACHINE}`,
    "    services:",
    ...services.map((service) => `      - { port: ${service.port}, name: ${service.name} }`)
  ])
  const agent = start("telad", ["-config", agentFile])
  await printed(agent, /registered/)

  const client = start("tela", ["connect", "-hub", url, "-machine", MACHINE], { TELA_TOKEN: tokens.operator })
  const [table] = await printed(client, new RegExp(`^Services available:\\n(?: .*\\n){${services.length}}`, "m"))
  const local = (name) => new RegExp(`localhost:(\\d+) +→ ${name} `).exec(table)?.[1]

  const as = `-hub ${url} -token ${tokens.operator}`
  const asOwner = `-hub ${url} -token ${tokens.owner}`
  say(
    [
      "",
      "Tela runs on this machine, in three processes:",
      `  telahubd  the hub, at ${url}; it relays ciphertext`,
      `  telad     the agent of machine "${MACHINE}"; it dials out to the hub and listens nowhere`,
      "  tela      the client; it holds the local ports below",
      "",
      table.trimEnd(),
      "",
      `Open  http://localhost:${local("page")}/`,
      ...(sshd ? [`Type  ssh -p ${local("SSH")} localhost`] : []),
      "",
      "And in another terminal, in this folder:",
      `  bin/tela machines ${as}`,
      `  bin/tela services -machine ${MACHINE} ${as}`,
      `  bin/tela status ${as}`,
      "",
      "As the hub's owner, who may do what, and who did:",
      `  bin/tela admin access ${asOwner}`,
      `  bin/tela admin history ${asOwner}`,
      ...(sshd ? [] : ["", "No SSH server listens on port 22 here; with one, its port would be exposed too."]),
      "",
      "Ctrl-C stops everything and leaves nothing behind."
    ].join("\n")
  )
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void end(0))
await run().catch((error) => end(1, error.message))
