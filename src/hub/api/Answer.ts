/**
 * Answers as they go out: JSON with a newline behind it (spec: hub-api 0.4), kept by no cache, with the version of the
 * identity it speaks of as ETag (1.9).
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type { Problem } from "./Problem.ts"

/** How an answer differs from a plain 200. */
export interface AnswerOptions {
  readonly status?: number
  /** Of the identity that the answer is about. */
  readonly version?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** `A` is the encoded form of an answer that {@link file://./../../protocol/HubApi.ts} knows. */
export const json = <A extends object>(body: A, options: AnswerOptions = {}): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(`${JSON.stringify(body)}\n`, {
    status: options.status ?? 200,
    contentType: "application/json",
    headers: {
      "cache-control": "no-store",
      ...(options.version !== undefined && { etag: `"${options.version}"` }),
      ...options.headers
    }
  })

/** The answer to a request that was not done. */
export const ofProblem = ({ error, headers = {}, more, status }: Problem): HttpServerResponse.HttpServerResponse =>
  json({ error, ...more }, { status, headers })

/** What a handler does, with its problems answered. */
export const answering = <R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, Problem, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.catchAll(handler, (problem) => Effect.succeed(ofProblem(problem)))
