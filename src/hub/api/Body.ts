/** What a request says in its body: JSON, whatever its content type. Members that nobody knows are ignored. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { HTTP_BODY_DEPTH } from "../../protocol/Limits.ts"
import { isWithin } from "../../protocol/Nesting.ts"
import { turn } from "../../transport/Slices.ts"
import { bad } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

const parseJson = Schema.decodeUnknown(Schema.parseJson())

/** Names the member that is wrong, and never what it held. */
const sentence = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  if (issue === undefined || issue.path.length === 0) return "the body must be a JSON object"
  const member = issue.path.map(String).join(".")
  return issue._tag === "Missing" ? `the member "${member}" is missing` : `the member "${member}" is of the wrong kind`
}

/** The body as JSON of whatever kind, no deeper than HTTP_BODY_DEPTH. */
const jsonOf = (text: string): Effect.Effect<unknown, Problem> =>
  parseJson(text).pipe(
    Effect.mapError(() => bad("the body must be JSON")),
    Effect.filterOrFail(
      (value) => isWithin(value, HTTP_BODY_DEPTH),
      () => bad(`the body may nest ${HTTP_BODY_DEPTH} levels deep, no deeper`)
    )
  )

const textOf = (request: HttpServerRequest): Effect.Effect<string, Problem> =>
  Effect.mapError(request.text, () => bad("the body must be JSON"))

/** The body, decoded; 400 when it is something else. What is relayed gets its turn before anything is done with it. */
export const bodyOf = <A, I>(request: HttpServerRequest, schema: Schema.Schema<A, I>): Effect.Effect<A, Problem> =>
  textOf(request).pipe(
    Effect.zipLeft(turn),
    Effect.flatMap(jsonOf),
    Effect.flatMap(Schema.decodeUnknown(schema)),
    Effect.catchTag("ParseError", (error) => bad(sentence(error)))
  )

/** The body as it is, undefined for none; 400 when it is no JSON. */
export const anyBodyOf = (request: HttpServerRequest): Effect.Effect<unknown, Problem> =>
  Effect.flatMap(textOf(request), (text) => (text.trim() === "" ? Effect.succeed(undefined) : jsonOf(text)))
