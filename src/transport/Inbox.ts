/**
 * What arrives on a carrier while two programs still talk control messages: one fiber takes them one by one. The carrier
 * is paused while INBOX_MESSAGES wait. When signalling is over, the inbox hands the carrier on without losing a message.
 */
import * as Effect from "effect/Effect"
import { INBOX_MESSAGES } from "../protocol/Limits.ts"
import type { Carrier, CarrierClosed, CarrierReceiver } from "./Carrier.ts"

/** One message as it arrived. */
export type Inbound =
  { readonly _tag: "Text"; readonly text: string } | { readonly _tag: "Binary"; readonly data: Uint8Array }

/** The signalling end of a carrier; one taker at a time. */
export interface Inbox {
  readonly carrier: Carrier
  /** The next message; fails once the carrier has closed and nothing is left. */
  readonly take: Effect.Effect<Inbound, CarrierClosed>
  /** Waits for the carrier to close, while messages may still be taken. */
  readonly closed: Effect.Effect<CarrierClosed>
  /** Gives the carrier to `receiver`, and to it first whatever was not taken. The inbox is over. */
  readonly handOver: (receiver: CarrierReceiver) => void
}

/** Takes the carrier over: from now on its messages wait here. */
export const make = (carrier: Carrier): Inbox => {
  const waiting: Array<Inbound> = []
  let how: CarrierClosed | undefined
  let taker: ((message: Effect.Effect<Inbound, CarrierClosed>) => void) | undefined
  let paused = false
  const closeWaiters = new Set<(how: Effect.Effect<CarrierClosed>) => void>()

  const offer = (message: Inbound) => {
    if (taker !== undefined) {
      const resume = taker
      taker = undefined
      return resume(Effect.succeed(message))
    }
    waiting.push(message)
    if (!paused && waiting.length >= INBOX_MESSAGES) {
      paused = true
      carrier.pause()
    }
  }

  const unpause = () => {
    if (!paused) return
    paused = false
    carrier.resume()
  }

  carrier.receive({
    binary: (data) => offer({ _tag: "Binary", data }),
    text: (text) => offer({ _tag: "Text", text }),
    drain: () => {},
    closed: (reason) => {
      how = reason
      const resume = taker
      taker = undefined
      resume?.(Effect.fail(reason))
      for (const waiter of closeWaiters) waiter(Effect.succeed(reason))
      closeWaiters.clear()
    }
  })

  return {
    carrier,
    take: Effect.async<Inbound, CarrierClosed>((resume) => {
      const next = waiting.shift()
      if (next !== undefined) {
        if (waiting.length < INBOX_MESSAGES / 2) unpause()
        return resume(Effect.succeed(next))
      }
      if (how !== undefined) return resume(Effect.fail(how))
      taker = resume
      return Effect.sync(() => {
        if (taker === resume) taker = undefined
      })
    }),
    closed: Effect.async<CarrierClosed>((resume) => {
      if (how !== undefined) return resume(Effect.succeed(how))
      closeWaiters.add(resume)
      return Effect.sync(() => closeWaiters.delete(resume))
    }),
    handOver: (receiver) => {
      for (const message of waiting.splice(0)) {
        if (message._tag === "Text") receiver.text(message.text)
        else receiver.binary(message.data)
      }
      carrier.receive(receiver)
      unpause()
    }
  }
}
