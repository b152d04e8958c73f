import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createHash, randomBytes } from "node:crypto"
import * as Http from "node:http"
import * as World from "./harness/World.ts"

const MiB = 1024 * 1024
const LARGE = randomBytes(48 * MiB)
const CHUNKS = Array.from({ length: 500 }, (_, index) => Buffer.from(`chunk ${index} ${"x".repeat(index)}\n`))

const site = Effect.acquireRelease(
  Effect.async<Http.Server>((resume) => {
    const server = Http.createServer((request, response) => {
      if (request.url === "/large") {
        response.setHeader("content-length", LARGE.length)
        return response.end(LARGE)
      }
      // as the response is written without a length, it is chunked, and the client sees each flush when it happens
      const next = (index: number) => {
        const chunk = CHUNKS[index]
        if (chunk === undefined) return response.end()
        response.write(chunk, () => next(index + 1))
      }
      return next(0)
    })
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) =>
    Effect.async<void>((resume) => {
      server.close(() => resume(Effect.void))
      server.closeAllConnections()
    })
)

const get = (port: number, path: string) =>
  Effect.async<{ readonly headers: Http.IncomingHttpHeaders; readonly length: number; readonly sha256: string }, Error>(
    (resume) => {
      const request = Http.get({ host: "127.0.0.1", port, path, agent: false }, (response) => {
        const hash = createHash("sha256")
        let length = 0
        response.on("data", (chunk: Buffer) => {
          hash.update(chunk)
          length += chunk.length
        })
        response.on("error", (error) => resume(Effect.fail(error)))
        response.on("end", () =>
          resume(Effect.succeed({ headers: response.headers, length, sha256: hash.digest("hex") }))
        )
      })
      request.on("error", (error) => resume(Effect.fail(error)))
    }
  )

describe("a web server through the hub", () => {
  it.scopedLive("a large response and a chunked one arrive whole, one after the other and side by side", () =>
    Effect.gen(function* () {
      const server = yield* site
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const world = yield* World.make([{ name: "web-01", services: [{ port, name: "site" }] }])
      const client = yield* world.connect("web-01")
      const local = client.port("site")
      const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
      const chunked = Buffer.concat(CHUNKS)

      const large = yield* get(local, "/large")
      assert.strictEqual(large.length, LARGE.length)
      assert.strictEqual(large.sha256, sha256(LARGE))
      const pieces = yield* get(local, "/chunked")
      assert.strictEqual(pieces.headers["transfer-encoding"], "chunked")
      assert.strictEqual(pieces.length, chunked.length)
      assert.strictEqual(pieces.sha256, sha256(chunked))

      const together = yield* Effect.all(
        Array.from({ length: 8 }, (_, index) => get(local, index % 2 === 0 ? "/large" : "/chunked")),
        { concurrency: "unbounded" }
      )
      for (const [index, { sha256: got }] of together.entries()) {
        assert.strictEqual(got, index % 2 === 0 ? large.sha256 : pieces.sha256)
      }
    })
  )
})
