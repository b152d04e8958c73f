/**
 * Local ports that lead to a machine's services. They outlive sessions: while none stands, a new local connection waits,
 * within WAITING_CONNECTIONS and WAITING_TIMEOUT, and is reset after that. What is refused or lost is reset, never ended
 * as if it were complete.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { LISTEN_TRIES, WAITING_CONNECTIONS, WAITING_TIMEOUT } from "../protocol/Limits.ts"
import { printable } from "../protocol/Printable.ts"
import { label } from "../protocol/Service.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import { type ByteStream, splice } from "../transport/ByteStream.ts"
import type { ListenError } from "../transport/ListenError.ts"
import * as Loopback from "../transport/Loopback.ts"
import type * as Tcp from "../transport/Tcp.ts"
import { ConnectError } from "./ConnectError.ts"
import type { BoundService, OnConnectEvent } from "./ConnectEvent.ts"
import type { Connector } from "./Connector.ts"
import type { Mapping } from "./LocalPorts.ts"

/** How a local port is listened on; {@link Tcp.listen} but for tests. */
export type Listen = typeof Tcp.listen

/** The ports to try for a service that nobody asked a local port for; 0 is any free one. */
export const candidates = function* (port: number): Generator<number> {
  yield port
  for (let i = 0, next = port + 10_000; i < LISTEN_TRIES && next <= 65_535; i++, next++) yield next
  for (let i = 0; i < LISTEN_TRIES; i++) yield 0
}

const isTaken = (error: ListenError) => error.code === "EADDRINUSE" || error.code === "EACCES"

const bindAutomatic = (port: number, bind: (port: number) => Effect.Effect<number, ListenError, Scope.Scope>) =>
  Effect.gen(function* () {
    let last: ListenError | undefined
    for (const candidate of candidates(port)) {
      const bound = yield* Effect.either(bind(candidate))
      if (bound._tag === "Right") return bound.right
      last = bound.left
      if (!isTaken(last)) break
    }
    return yield* new ConnectError({ kind: "local", reason: `no free local port for ${port}: ${last?.message ?? ""}` })
  })

const bindAsked = (port: number, remote: number, bound: Effect.Effect<number, ListenError, Scope.Scope>) =>
  Effect.mapError(bound, (error) => {
    const other = port + 10_000 > 65_535 ? port - 10_000 : port + 10_000
    const reason = `local ${error.message}; choose another one, for example -ports ${other}:${remote}`
    return new ConnectError({ kind: "local", reason })
  })

/** Binds all, or none when a port that was asked for cannot be had. The listeners close with the scope. */
export const bind = (options: {
  readonly machine: string
  readonly mappings: ReadonlyArray<Mapping>
  readonly connector: Pick<Connector, "current" | "session">
  readonly onEvent?: OnConnectEvent | undefined
  readonly listen?: Listen | undefined
}): Effect.Effect<ReadonlyArray<BoundService>, ConnectError, Scope.Scope> =>
  Effect.gen(function* () {
    const { connector, listen, machine, mappings, onEvent = () => {} } = options
    const run = yield* FiberSet.makeRuntime<never>()
    let waiting = 0

    const session = Effect.suspend(() => {
      const standing = connector.current()
      if (standing !== undefined) return Effect.succeed(standing)
      if (waiting >= WAITING_CONNECTIONS) {
        return new StreamReset({ code: ResetCode.busy, reason: "no session, and too many connections wait for one" })
      }
      waiting++
      return connector.session.pipe(
        Effect.mapError((error) => new StreamReset({ code: ResetCode.lost, reason: error.reason })),
        Effect.timeoutFail({
          duration: WAITING_TIMEOUT,
          onTimeout: () =>
            new StreamReset({ code: ResetCode.lost, reason: `no session within ${WAITING_TIMEOUT / 1000} s` })
        }),
        Effect.ensuring(Effect.sync(() => waiting--))
      )
    })

    /** A stream to a service. One that was not accepted when its tunnel was lost has carried nothing: the next one opens it. */
    const open = (remote: number) =>
      Effect.gen(function* () {
        while (true) {
          const { tunnel } = yield* session
          const opened = yield* Effect.either(tunnel.open({ port: remote }))
          if (Either.isRight(opened)) return opened.right
          if (opened.left.code !== ResetCode.lost || tunnel.isAttached()) return yield* opened.left
        }
      })

    const serve = (local: ByteStream, port: number, remote: number, service: string) =>
      open(remote).pipe(
        Effect.flatMap((stream) => splice(local, stream)),
        Effect.match({
          onFailure: (reset) => {
            local.reset(reset)
            onEvent({ _tag: "StreamRefused", machine, service, local: port, reason: printable(reset.reason) })
          },
          onSuccess: ({ received, reset, sent }) => {
            const reason = reset && printable(reset.reason)
            onEvent({ _tag: "StreamEnded", machine, service, local: port, sent, received, reason })
          }
        }),
        // A bug of ours must not leave a local program waiting for ever.
        Effect.catchAllDefect((defect) => {
          const reason = `bug: ${printable(String(defect))}`
          local.reset(new StreamReset({ code: ResetCode.protocol, reason }))
          return Effect.sync(() => onEvent({ _tag: "StreamRefused", machine, service, local: port, reason }))
        }),
        Effect.onInterrupt(() =>
          Effect.sync(() => local.reset(new StreamReset({ code: ResetCode.cancelled, reason: "tela is closing" })))
        )
      )

    const services: Array<BoundService> = []
    for (const mapping of mappings) {
      const remote = mapping.service.port
      const name = printable(label(mapping.service))
      // Known for sure only when bound, while a connection may come before.
      let local = mapping.local ?? remote
      const onConnection = (stream: ByteStream) => run(Effect.suspend(() => serve(stream, local, remote, name)))
      const bindPort = (port: number) =>
        Effect.map(Loopback.listen({ port, onConnection, listen }), (bound) => bound.port)
      local = yield* mapping.local === undefined
        ? bindAutomatic(remote, bindPort)
        : bindAsked(mapping.local, remote, bindPort(mapping.local))
      services.push({ local, remote, label: name, machine })
    }
    return services
  })
