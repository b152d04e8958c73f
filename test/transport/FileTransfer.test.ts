/** Files as bodies of requests and answers: at the pace of the slower end, and of nobody for ever. */
import * as Http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import {
  CHANNEL_TRANSFER_SILENCE,
  DEADLINE_TICK,
  HTTP_ANSWER_TIMEOUT,
  HTTP_RECEIVE_TIMEOUT
} from "../../src/protocol/Limits.ts"
import * as Heartbeat from "../../src/transport/Heartbeat.ts"
import * as HttpClient from "../../src/transport/HttpClient.ts"
import { Upload } from "../../src/transport/HttpExchange.ts"
import * as Listener from "../../src/transport/Listener.ts"
import { turn } from "../support/turn.ts"

const CHUNK = 64 * 1024

/** A listener that answers with an app, and passes files below /files. */
const listen = (http: HttpApp.Default) =>
  Effect.provide(
    Listener.make({
      host: "127.0.0.1",
      port: 0,
      tls: undefined,
      trustedProxies: [],
      http,
      isHttpOnly: () => true,
      passesFiles: (_method, path) => path.startsWith("/files"),
      webSocket: () => Effect.void
    }),
    Heartbeat.layer
  )

interface Asked {
  readonly request: Http.ClientRequest
  readonly answer: Effect.Effect<Http.IncomingMessage>
  readonly closed: Effect.Effect<void>
}

/** A request whose body is the caller's to write, and whose answer the caller's to read. */
const ask = (url: string, options: Http.RequestOptions): Asked => {
  const request = Http.request(url, { agent: false, ...options })
  const answer = new Promise<Http.IncomingMessage>((resolve) => request.on("response", resolve))
  const closed = new Promise<void>((resolve) => request.on("close", resolve))
  request.on("error", () => {})
  return { request, answer: Effect.promise(() => answer), closed: Effect.promise(() => closed) }
}

/** An answer without end, of which is counted what was taken. */
const endless = () => {
  const chunk = new Uint8Array(CHUNK)
  let given = 0
  let ended = false
  const body = Stream.repeatEffect(
    Effect.sync(() => {
      given += chunk.length
      return chunk
    })
  ).pipe(Stream.ensuring(Effect.sync(() => (ended = true))))
  return { app: Effect.succeed(HttpServerResponse.stream(body)), body, given: () => given, ended: () => ended }
}

/** Waits until a number stands still for so long that the system has moved what it can, busy as it may be. */
const still = (read: () => number) =>
  Effect.gen(function* () {
    let before = -1
    let since = performance.now()
    while (performance.now() - since < 100) {
      yield* turn
      if (read() === before) continue
      before = read()
      since = performance.now()
    }
  })

describe("a file that is downloaded", () => {
  it.scoped("waits for who reads it, for a while", () =>
    Effect.gen(function* () {
      const { app, ended, given } = endless()
      const { url } = yield* listen(app)
      const { answer, closed, request } = ask(`${url}/files/x`, { method: "GET" })
      request.end()
      const response = yield* answer
      response.on("error", () => {})
      // Nobody reads: what the system holds is all that is given.
      yield* still(given)
      const held = given()
      assert.isBelow(held, 64 * 1024 * 1024)
      let read = 0
      response.on("data", (data: Buffer) => {
        read += data.length
        if (read > held + 10 * CHUNK) response.pause()
      })
      while (given() <= held) yield* turn
      yield* still(given)
      assert.isFalse(ended())
      yield* TestClock.adjust(Math.max(HTTP_ANSWER_TIMEOUT, CHANNEL_TRANSFER_SILENCE) + 2 * DEADLINE_TICK)
      while (!ended()) yield* turn
      response.removeAllListeners("data")
      response.resume()
      yield* closed
    })
  )

  it.scoped("goes on as long as it moves", () =>
    Effect.gen(function* () {
      const { app, given } = endless()
      const { url } = yield* listen(app)
      const { answer, closed, request } = ask(`${url}/files/x`, { method: "GET" })
      request.end()
      const response = yield* answer
      response.on("error", () => {})
      for (let round = 0; round < 8; round++) {
        const before = given()
        response.resume()
        while (given() < before + 8 * 1024 * 1024) {
          response.read()
          yield* turn
        }
        response.pause()
        yield* TestClock.adjust(CHANNEL_TRANSFER_SILENCE - 2 * DEADLINE_TICK)
      }
      assert.isFalse(response.destroyed)
      response.destroy()
      yield* closed
    })
  )

  it.scoped("that cannot be read to its end is cut, so that nobody takes a part for the whole", () =>
    Effect.gen(function* () {
      const body = Stream.concat(Stream.make(new Uint8Array(10)), Stream.fail("no more"))
      const { url } = yield* listen(Effect.succeed(HttpServerResponse.stream(body, { contentLength: 20 })))
      const { closed, request } = ask(`${url}/files/x`, { method: "GET" })
      let complete = false
      request.on("response", (response) => {
        response.on("error", () => {})
        response.on("end", () => (complete = response.complete))
        response.resume()
      })
      request.end()
      yield* closed
      assert.isFalse(complete)
    })
  )
})

describe("a file that is uploaded", () => {
  it.scoped("is read as it comes", () =>
    Effect.gen(function* () {
      let taken = 0
      const first = yield* Deferred.make<void>()
      const { url } = yield* listen(
        Effect.gen(function* () {
          const { bytes } = yield* Upload
          yield* Stream.runForEach(bytes, (chunk) =>
            Effect.suspend(() => {
              taken += chunk.length
              return Deferred.succeed(first, undefined)
            })
          )
          return HttpServerResponse.text(String(taken))
        }).pipe(Effect.orDie)
      )
      const { answer, request } = ask(`${url}/files/x`, { method: "PUT" })
      request.write(Buffer.alloc(1_000))
      yield* Deferred.await(first)
      assert.isAbove(taken, 0)
      request.end(Buffer.alloc(3_000_000))
      const response = yield* answer
      let text = ""
      response.on("data", (data: Buffer) => (text += data.toString()))
      yield* Effect.async<void>((resume) => void response.on("end", () => resume(Effect.void)))
      assert.strictEqual(text, "3001000")
    })
  )

  it.scoped("by somebody who may not is answered before it is there", () =>
    Effect.gen(function* () {
      const { url } = yield* listen(Effect.succeed(HttpServerResponse.text("no", { status: 401 })))
      const { answer, request } = ask(`${url}/files/x`, { method: "PUT", headers: { "content-length": "50000000" } })
      request.write(Buffer.alloc(100_000))
      assert.strictEqual((yield* answer).statusCode, 401)
      request.destroy()
    })
  )
})

describe("a body that is no file", () => {
  it.scoped("must come in its time, where files are passed too", () =>
    Effect.gen(function* () {
      const { url } = yield* listen(Effect.succeed(HttpServerResponse.text("ok")))
      const { answer, request } = ask(`${url}/other`, { method: "POST", headers: { "content-length": "100" } })
      const asking = yield* Effect.fork(answer)
      request.write(Buffer.alloc(10))
      // The clock moves only when somebody waits for it: until then, the head is on its way.
      while (asking.unsafePoll() === null) {
        yield* turn
        yield* TestClock.adjust(HTTP_RECEIVE_TIMEOUT / 100)
      }
      assert.strictEqual((yield* answer).statusCode, 408)
      request.destroy()
    })
  )
})

describe("a file that this client sends", () => {
  const TERABYTE = 1024 ** 4
  const sending = (url: string, body: Stream.Stream<Uint8Array, unknown>, contentLength: number) =>
    HttpClient.make.execute(
      HttpClientRequest.bodyStream(HttpClientRequest.put(`${url}/files/x`), body, { contentLength })
    )

  it.scoped("arrives whole", () =>
    Effect.gen(function* () {
      let length = 0
      const app = Effect.gen(function* () {
        const { bytes } = yield* Upload
        yield* Stream.runForEach(bytes, (chunk) => Effect.sync(() => (length += chunk.length)))
        return HttpServerResponse.text("taken")
      })
      const { url } = yield* listen(Effect.orDie(app))
      const body = Stream.range(1, 100).pipe(Stream.map(() => new Uint8Array(CHUNK)))
      const answer = yield* sending(url, body, 100 * CHUNK)
      assert.deepStrictEqual([answer.status, yield* answer.text, length], [200, "taken", 100 * CHUNK])
    })
  )

  it.scoped("waits for who takes it, and ends with who gives up", () =>
    Effect.gen(function* () {
      const { body, ended, given } = endless()
      const { url } = yield* listen(Effect.never)
      const fiber = yield* Effect.fork(sending(url, body, TERABYTE))
      while (given() === 0) yield* turn
      yield* still(given)
      assert.isBelow(given(), 64 * 1024 * 1024)
      assert.isFalse(ended())
      yield* Fiber.interrupt(fiber)
      assert.isTrue(ended())
    })
  )

  it.scoped("is sent no further when the answer is there before its end", () =>
    Effect.gen(function* () {
      const { body, ended } = endless()
      const { url } = yield* listen(Effect.succeed(HttpServerResponse.text("no", { status: 403 })))
      const answer = yield* sending(url, body, TERABYTE)
      assert.deepStrictEqual([answer.status, yield* answer.text, ended()], [403, "no", true])
    })
  )

  it.scoped("that cannot be read to its end is taken by nobody, and is nobody else's fault", () =>
    Effect.gen(function* () {
      const broken = yield* Deferred.make<void>()
      const app = Effect.gen(function* () {
        const { bytes } = yield* Upload
        yield* Effect.ensuring(Stream.runDrain(bytes), Deferred.succeed(broken, undefined))
        return HttpServerResponse.text("taken")
      })
      const { url } = yield* listen(Effect.catchAll(app, () => Effect.succeed(HttpServerResponse.text("broken"))))
      const body = Stream.concat(Stream.make(new Uint8Array(CHUNK)), Stream.fail(new Error("the disk is gone")))
      const error = yield* Effect.flip(sending(url, body, 2 * CHUNK))
      assert(error._tag === "RequestError")
      assert.deepStrictEqual([error.reason, error.description], ["Encode", "the disk is gone"])
      yield* Deferred.await(broken)
      const unknown = yield* Effect.flip(
        HttpClient.make.execute(HttpClientRequest.bodyStream(HttpClientRequest.put(`${url}/files/x`), body))
      )
      assert.strictEqual(unknown._tag === "RequestError" && unknown.reason, "Encode")
    })
  )
})
