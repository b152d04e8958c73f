/** Files as the bodies of requests and answers: as fast as the slower end, and never held in memory. */
import type { ClientRequest, IncomingMessage, OutgoingMessage, ServerResponse } from "node:http"
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

/** Waits until the system has taken what was written; false when the other side has left. */
const drained = (message: OutgoingMessage): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const finish = (there: boolean) => {
      message.off("drain", onDrain).off("close", onClose)
      resume(Effect.succeed(there))
    }
    const onDrain = () => finish(true)
    const onClose = () => finish(false)
    if (message.destroyed) return resume(Effect.succeed(false))
    message.on("drain", onDrain).on("close", onClose)
    return Effect.sync(() => message.off("drain", onDrain).off("close", onClose))
  })

/** Writes a body to its end, unless the other side leaves before. */
const write = <E>(
  message: OutgoingMessage,
  body: Stream.Stream<Uint8Array, E>,
  moved: () => void
): Effect.Effect<void, E> =>
  Stream.runForEachWhile(body, (bytes) =>
    Effect.suspend(() => {
      if (message.destroyed) return Effect.succeed(false)
      if (message.write(bytes)) return Effect.succeed(true)
      return Effect.tap(drained(message), () => Effect.sync(moved))
    })
  )

/**
 * Sends the body of a request, and waits for whoever has the answer to interrupt it: a server may answer before it has
 * read all. A request whose body did not go out whole is cut then.
 */
export const ask = <E>(request: ClientRequest, body: Stream.Stream<Uint8Array, E>): Effect.Effect<never, E> =>
  write(request, body, () => {}).pipe(
    Effect.zipRight(Effect.sync(() => void request.end())),
    Effect.zipRight(Effect.never),
    Effect.ensuring(
      Effect.sync(() => {
        if (!request.writableFinished) request.destroy()
      })
    )
  )

/** Sends the body of an answer whose head is out. One that fails is cut, so that nobody takes a part of it for the whole. */
export const send = <E>(
  response: ServerResponse,
  body: Stream.Stream<Uint8Array, E>,
  moved: () => void
): Effect.Effect<void> =>
  write(response, body, moved).pipe(
    Effect.zipRight(Effect.sync(() => void response.end())),
    Effect.catchAllCause((cause) =>
      Effect.zipRight(
        Effect.logDebug("an answer was cut short", cause),
        Effect.sync(() => void response.destroy())
      )
    ),
    Effect.onInterrupt(() => Effect.sync(() => response.destroy()))
  )
