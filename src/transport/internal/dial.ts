/** Connecting to a service: within a time, and failing in words that the person who wanted it understands. */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import { SOCKET_SEND_QUEUE } from "../../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../../protocol/StreamReset.ts"

/** Where to connect to. */
export interface Destination {
  readonly host: string
  readonly port: number
  /** Milliseconds. */
  readonly timeout: number
}

const refusals: Readonly<Record<string, { readonly code: number; readonly reason: string }>> = {
  ECONNREFUSED: { code: ResetCode.refused, reason: "refused the connection" },
  ECONNRESET: { code: ResetCode.refused, reason: "reset the connection" },
  EHOSTUNREACH: { code: ResetCode.unreachable, reason: "is unreachable" },
  ENETUNREACH: { code: ResetCode.unreachable, reason: "is unreachable" },
  EADDRNOTAVAIL: { code: ResetCode.unreachable, reason: "is unreachable" },
  ENOTFOUND: { code: ResetCode.unreachable, reason: "has no address: no such host" },
  EAI_AGAIN: { code: ResetCode.unreachable, reason: "has no address: the name lookup failed" },
  ETIMEDOUT: { code: ResetCode.timeout, reason: "did not answer" }
}

/** Connects; `made` gets the socket in the turn in which it is connected, so that none of its events is missed. */
export const dial = <A>(to: Destination, made: (socket: Net.Socket) => A): Effect.Effect<A, StreamReset> =>
  Effect.async((resume) => {
    const where = `${to.host}:${to.port}`
    const settings: Net.NetConnectOpts & { readonly writableHighWaterMark: number } = {
      host: to.host,
      port: to.port,
      allowHalfOpen: true,
      writableHighWaterMark: SOCKET_SEND_QUEUE
    }
    const socket = Net.connect(settings)
    // Nothing is read, so no end can be missed, before somebody attaches.
    socket.pause()
    const fail = (code: number, reason: string) => {
      socket.destroy()
      resume(Effect.fail(new StreamReset({ code, reason: `${where} ${reason}` })))
    }
    const timer = setTimeout(() => fail(ResetCode.timeout, `did not answer within ${to.timeout / 1000} s`), to.timeout)
    const onError = (error: Error) => {
      clearTimeout(timer)
      const known = "code" in error ? refusals[String(error.code)] : undefined
      fail(known?.code ?? ResetCode.unreachable, known?.reason ?? error.message)
    }
    socket.once("error", onError)
    socket.once("connect", () => {
      clearTimeout(timer)
      socket.off("error", onError)
      resume(Effect.succeed(made(socket)))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      socket.destroy()
    })
  })
