/** Files as the bodies of requests and answers: as fast as the slower end, and never held in memory. */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** The client left before the end. */
export class TransferBroken extends Data.TaggedError("TransferBroken")<{ readonly message: string }> {}

const broken = () => new TransferBroken({ message: "the upload broke off before its end" })

/** The body of a request. Who stops reading leaves the connection as it is, so that an answer can go out. */
export const receive = (request: IncomingMessage, moved: () => void): Stream.Stream<Uint8Array, TransferBroken> =>
  Stream.suspend(() =>
    Stream.fromAsyncIterable<Uint8Array, TransferBroken>(request.iterator({ destroyOnReturn: false }), broken)
  ).pipe(Stream.tap(() => Effect.sync(moved)))

/** Waits until the system has taken what was written; false when the client has left. */
const drained = (response: ServerResponse): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const finish = (there: boolean) => {
      response.off("drain", onDrain).off("close", onClose)
      resume(Effect.succeed(there))
    }
    const onDrain = () => finish(true)
    const onClose = () => finish(false)
    if (response.destroyed) return resume(Effect.succeed(false))
    response.on("drain", onDrain).on("close", onClose)
    return Effect.sync(() => response.off("drain", onDrain).off("close", onClose))
  })

/** Sends the body of an answer whose head is out. One that fails is cut, so that nobody takes a part of it for the whole. */
export const send = <E>(
  response: ServerResponse,
  body: Stream.Stream<Uint8Array, E>,
  moved: () => void
): Effect.Effect<void> =>
  body.pipe(
    Stream.runForEachWhile((bytes) =>
      Effect.suspend(() => {
        if (response.destroyed) return Effect.succeed(false)
        if (response.write(bytes)) return Effect.succeed(true)
        return Effect.tap(drained(response), () => Effect.sync(moved))
      })
    ),
    Effect.zipRight(Effect.sync(() => void response.end())),
    Effect.catchAllCause((cause) =>
      Effect.zipRight(
        Effect.logDebug("an answer was cut short", cause),
        Effect.sync(() => void response.destroy())
      )
    ),
    Effect.onInterrupt(() => Effect.sync(() => response.destroy()))
  )
