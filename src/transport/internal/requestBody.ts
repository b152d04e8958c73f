/** The body of a request, read before anything is done with it, and never beyond HTTP_BODY_BYTES. */
import type { IncomingMessage } from "node:http"
import * as Effect from "effect/Effect"
import { HTTP_BODY_BYTES, HTTP_RECEIVE_TIMEOUT } from "../../protocol/Limits.ts"
import { turn } from "../Slices.ts"

/** Whether a request has one. */
export const hasBody = (request: IncomingMessage) =>
  request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0

/** Why a body cannot be had: what is answered. */
export interface NoBody {
  readonly status: number
  readonly error: string
}

const tooLong: NoBody = { status: 413, error: `a request may hold at most ${HTTP_BODY_BYTES} bytes` }
const tooSlow: NoBody = { status: 408, error: "the request did not arrive in time" }

/** No body, or one that is not read here. */
export const none = Buffer.alloc(0)

/** A body that is being read. */
interface Reading {
  /** The whole body, or why there is none; undefined while it comes. */
  readonly now: () => Buffer | NoBody | undefined
  readonly whole: Effect.Effect<Buffer | NoBody>
}

/** Reads a body as it comes, no longer than it may be. */
const reading = (request: IncomingMessage): Reading => {
  const chunks: Array<Buffer> = []
  let length = 0
  let read: Buffer | NoBody | undefined
  let tell = () => {}
  const finish = (body: Buffer | NoBody) => {
    request.off("data", take).off("end", end).off("close", gone)
    read = body
    tell()
  }
  const take = (chunk: Buffer) => {
    length += chunk.length
    if (length <= HTTP_BODY_BYTES) return void chunks.push(chunk)
    finish(tooLong)
  }
  const end = () => finish(Buffer.concat(chunks))
  // Nobody reads what is answered then.
  const gone = () => finish(tooLong)
  request.on("data", take).on("end", end).on("close", gone)
  return {
    now: () => read,
    whole: Effect.async((resume) => {
      tell = () => {
        if (read !== undefined) resume(Effect.succeed(read))
      }
      tell()
    })
  }
}

/** Says beforehand of what length it is, and that is too much. */
const isTooLong = (request: IncomingMessage): boolean =>
  Number(request.headers["content-length"] ?? 0) > HTTP_BODY_BYTES

/**
 * The body of a request. Others get a turn before it is there, even where there is none; most come with the head, and need
 * nobody who watches the time.
 */
export const read = (request: IncomingMessage): Effect.Effect<Buffer | NoBody> =>
  Effect.suspend(() => {
    if (!hasBody(request)) return Effect.as(turn, none)
    if (isTooLong(request)) return Effect.succeed(tooLong)
    const { now, whole } = reading(request)
    const inTime = Effect.timeoutTo(whole, {
      duration: HTTP_RECEIVE_TIMEOUT,
      onSuccess: (body) => body,
      onTimeout: () => tooSlow
    })
    return Effect.zipRight(
      turn,
      Effect.suspend(() => {
        const body = now()
        return body === undefined ? inTime : Effect.succeed(body)
      })
    )
  })
