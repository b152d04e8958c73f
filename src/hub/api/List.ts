/** Long lists as answers: made LIST_CHUNK entries in a turn of the event loop, so that relayed bytes pass in between. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { LIST_CHUNK } from "../../protocol/Limits.ts"
import { turn } from "../../transport/Slices.ts"

/** An object with one member, a list with an entry for each item. Says what {@link file://./Answer.ts} would. */
export const list = <Item, Entry extends object>(
  member: string,
  items: ReadonlyArray<Item>,
  entryOf: (item: Item) => Entry
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.gen(function* () {
    const parts = [Buffer.from(`{${JSON.stringify(member)}:[`)]
    for (let from = 0; from < items.length; from += LIST_CHUNK) {
      const entries = JSON.stringify(items.slice(from, from + LIST_CHUNK).map(entryOf))
      parts.push(Buffer.from(`${from === 0 ? "" : ","}${entries.slice(1, -1)}`))
      yield* turn
    }
    parts.push(Buffer.from("]}\n"))
    return HttpServerResponse.uint8Array(Buffer.concat(parts), {
      contentType: "application/json",
      headers: { "cache-control": "no-store" }
    })
  })
