import { execFileSync } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Https from "node:https"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { WebSocket } from "ws"
import { Change } from "../../src/policy/Change.ts"
import { REVOKED_RESET } from "../../src/protocol/Limits.ts"
import { logLines } from "../support/logLines.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { turn } from "../support/turn.ts"
import { agentOf, connect, dial, register, startHub, tcp } from "./harness.ts"

const makeCertificate = (into: string, name: string) =>
  Effect.sync(() => {
    const paths = { cert: Path.join(into, `${name}.crt`), key: Path.join(into, `${name}.key`) }
    const subject = ["-subj", `/CN=${name}`, "-days", "2"]
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    const out = ["-keyout", paths.key, "-out", paths.cert]
    execFileSync("openssl", ["req", "-x509", ...key, ...subject, ...out], { stdio: "ignore" })
    return paths
  })

/** The name in the certificate that the hub shows to a new connection. */
const shownBy = (hub: { readonly port: number }) =>
  Effect.async<string | undefined>((resume) => {
    const socket = Tls.connect({ port: hub.port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      const { subject } = socket.getPeerCertificate()
      socket.destroy()
      resume(Effect.succeed(String(subject.CN)))
    })
    socket.on("error", () => resume(Effect.succeed(undefined)))
  })

/** What the hub tells its owner of itself. */
const detailsOf = (hub: { readonly port: number }) =>
  Effect.async<string>((resume) => {
    const headers = { authorization: "Bearer owner-token" }
    Https.get(
      { port: hub.port, host: "127.0.0.1", path: "/api/admin/hub", headers, rejectUnauthorized: false, agent: false },
      (answer) => {
        let text = ""
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()))
        answer.on("end", () => resume(Effect.succeed(text)))
      }
    )
  })

describe("TLS", () => {
  it.scoped("tells when the certificate ends", () =>
    Effect.gen(function* () {
      const files = yield* makeCertificate(yield* temporaryFolder, "hub")
      const hub = yield* startHub({ tls: files })
      const [, end = ""] = /"certificate":\{"expiresAt":"([^"]+)"\}/.exec(yield* detailsOf(hub)) ?? []
      assert.closeTo(Date.parse(end), Date.now() + 2 * 86_400_000, 60_000)
      // Whoever took the file away learns that there is nothing to tell, and nothing more.
      yield* Effect.promise(() => Fs.rm(files.cert))
      assert.notInclude(yield* detailsOf(hub), "certificate")
    })
  )

  it.scoped("ends access as it does without, whether the peer reads or not", () =>
    Effect.gen(function* () {
      const files = yield* makeCertificate(yield* temporaryFolder, "hub")
      const hub = yield* startHub({ tls: files })
      const options = { rejectUnauthorized: false }
      const agent = yield* dial(hub, "/", options)
      agent.say(register())
      yield* agent.text
      const clients = yield* Effect.forEach([true, false], (reads) =>
        Effect.gen(function* () {
          const client = yield* dial(hub, "/", options)
          client.say(connect())
          yield* agent.text
          if (!reads) client.ws.pause()
          return client
        })
      )
      yield* hub.change(Change.Revoke({ id: "alice" }))
      assert.match(String((yield* clients[0]?.text ?? Effect.die("no client"))["message"]), /^access revoked/)
      // Nobody answers the goodbye, so only the reset takes the socket from the hub.
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 2 * REVOKED_RESET)))
      clients[1]?.ws.resume()
      while (clients[1]?.ws.readyState !== WebSocket.CLOSED) yield* turn
      yield* agent.settled
    })
  )

  it.scoped("shows new files to new connections when they change; bad ones leave the old in use", () =>
    Effect.gen(function* () {
      const into = yield* temporaryFolder
      const first = yield* makeCertificate(into, "first")
      const second = yield* makeCertificate(into, "second")
      const tls = { cert: Path.join(into, "hub.crt"), key: Path.join(into, "hub.key") }
      const install = (from: typeof tls, part: "cert" | "key") =>
        Effect.promise(() => Fs.copyFile(from[part], tls[part]))
      yield* install(first, "cert")
      yield* install(first, "key")
      const log = yield* logLines
      const hub = yield* startHub({ tls }).pipe(Effect.provide(log.layer))
      assert.match(hub.url, /^https:/)
      assert.strictEqual(yield* shownBy(hub), "first")
      const agent = yield* dial(hub, "/", { rejectUnauthorized: false })
      agent.say(register())
      assert.strictEqual((yield* agent.text)["type"], "registered")
      assert.deepStrictEqual(yield* hub.counts, { machines: 1, sessions: 0, unauthenticated: 0, held: 0 })

      yield* install(second, "cert")
      yield* TestClock.adjust("6 seconds")
      yield* log.until(/no usable pair.*the old ones stay in use/)
      assert.strictEqual(yield* shownBy(hub), "first")

      yield* install(second, "key")
      yield* TestClock.adjust("6 seconds")
      yield* log.until(/reloaded/)
      assert.strictEqual(yield* shownBy(hub), "second")
      yield* agent.settled
    })
  )

  it.scoped("drops whoever never finishes the handshake, and closes in time", () =>
    Effect.gen(function* () {
      const tls = yield* makeCertificate(yield* temporaryFolder, "hub")
      const scope = yield* Scope.make()
      const hub = yield* Scope.extend(startHub({ tls }), scope)
      const silent = yield* tcp(hub)
      const plain = yield* tcp(hub)
      plain.socket.write("GET / HTTP/1.1\r\n\r\n")
      yield* plain.ended
      yield* TestClock.adjust("11 seconds")
      yield* silent.ended
      const agent = yield* dial(hub, "/", { rejectUnauthorized: false })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* agent.closed).code, 1001)
    })
  )

  it.scoped("refuses to start on files that are missing or no pair, and says which", () =>
    Effect.gen(function* () {
      const into = yield* temporaryFolder
      const first = yield* makeCertificate(into, "first")
      const second = yield* makeCertificate(into, "second")
      const missing = yield* Effect.flip(startHub({ tls: { ...first, key: Path.join(into, "none") } }))
      assert.match(missing.message, /tls: .*first\.crt.*ENOENT/)
      const mixed = yield* Effect.flip(startHub({ tls: { cert: first.cert, key: second.key } }))
      assert.match(mixed.message, /no usable pair/)
    })
  )

  it.scoped("a taken port is an error that says what to do", () =>
    Effect.gen(function* () {
      const hub = yield* startHub()
      yield* agentOf(hub)
      const taken = yield* Effect.flip(startHub({ port: hub.port }))
      assert.match(taken.message, /^port \d+ is taken; choose another address or port/)
    })
  )
})
