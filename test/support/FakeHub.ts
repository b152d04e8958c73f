/**
 * A hub's HTTP interface that answers as a test says, and remembers what it was asked.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A request as it arrived; the body is parsed when it is JSON. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly token: string | undefined
  readonly body: unknown
}

export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
}

export interface FakeHub {
  readonly url: string
  readonly port: number
  /** What it was asked so far, in order. */
  readonly asked: Array<Asked>
}

/** Starts it on a free port; `answers` are by `METHOD /path`, the first part of the path that fits. Others are 404. */
export const make = (
  answers: Readonly<Record<string, Answer>>,
  tls?: { readonly cert: Buffer; readonly key: Buffer }
): Effect.Effect<FakeHub, never, Scope.Scope> => {
  const asked: Array<Asked> = []
  const listener: Http.RequestListener = (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString()
      const { method = "", url = "" } = request
      const isJson = request.headers["content-type"]?.startsWith("application/json") !== false
      const body: unknown = text === "" ? undefined : isJson ? JSON.parse(text) : text
      const token = request.headers.authorization?.replace(/^Bearer /, "")
      asked.push({ method, path: url, token, body })
      const answer = answers[`${method} ${url}`] ?? answers[`${method} ${url.replace(/\?.*/, "")}`]
      response.writeHead(answer?.status ?? (answer === undefined ? 404 : 200), {
        "content-type": "application/json",
        ...answer?.headers
      })
      response.end(`${JSON.stringify(answer?.body ?? { error: "not found" })}\n`)
    })
  }
  return Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: Http.Server; readonly port: number }>((resume) => {
        const server = tls === undefined ? Http.createServer(listener) : Https.createServer(tls, listener)
        server.on("tlsClientError", () => {})
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          resume(Effect.succeed({ server, port }))
        })
      }),
      ({ server }) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    ({ port }) => ({ url: `${tls === undefined ? "ws" : "wss"}://127.0.0.1:${port}`, port, asked })
  )
}
