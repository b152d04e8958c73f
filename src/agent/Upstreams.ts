/**
 * Local ports of the agent's machine that lead to what it depends on: a database elsewhere, or another machine's service
 * that `tela connect` has brought here. They stand as long as the agent runs, whether it is registered or not. Only
 * programs of this machine may use them, unless an upstream's `host` says otherwise.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import { TARGET_DIAL_TIMEOUT, UPSTREAM_BIND_RETRY, UPSTREAM_CONNECTIONS } from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { UpstreamConfig } from "../store/UpstreamConfig.ts"
import { type ByteStream, splice } from "../transport/ByteStream.ts"
import * as Loopback from "../transport/Loopback.ts"
import * as Tcp from "../transport/Tcp.ts"
import * as Outage from "./Outage.ts"

export interface Upstreams {
  /** Goes by another list from now on: what stays as it was keeps its connections, what is no longer listed ends. */
  readonly update: (upstreams: ReadonlyArray<UpstreamConfig>) => Effect.Effect<void>
  /** The port each listens on, in the order of the list; undefined while it cannot. */
  readonly ports: () => ReadonlyArray<number | undefined>
}

/** An upstream that is kept up, and how it is ended. */
interface Standing {
  readonly scope: Scope.CloseableScope
  readonly port: () => number | undefined
}

const isLoopback = ({ host }: UpstreamConfig) => host === undefined || /^(?:127\.|::1$|localhost$)/.test(host)

const describe = ({ host, name, port, target }: UpstreamConfig) => {
  const called = name === "" ? "upstream" : `upstream ${name}`
  return `${called} (${host ?? "localhost"}:${port} to ${target.host}:${target.port})`
}

/** Listens, again and again while it cannot, and forwards; in the scope. Returns after the first try. */
const stand = (upstream: UpstreamConfig) =>
  Effect.gen(function* () {
    const { host, port, target } = upstream
    const what = describe(upstream)
    const run = yield* FiberSet.makeRuntime<never>()
    const reaching = Outage.make(what)
    let bound: number | undefined
    let open = 0
    let isFullSaid = false

    const forward = (local: ByteStream) =>
      Tcp.connect({ ...target, timeout: TARGET_DIAL_TIMEOUT }).pipe(
        Effect.matchEffect({
          onFailure: (reset) =>
            Effect.zipRight(
              Effect.sync(() => local.reset(reset)),
              reaching.failed(reset.reason)
            ),
          onSuccess: (remote) =>
            Effect.flatMap(reaching.worked, () => splice(local, remote)).pipe(
              Effect.flatMap(({ received, reset, sent }) =>
                Effect.logDebug(`${what}: connection ended`, { sent, received, reset: reset?.reason })
              )
            )
        }),
        // A bug of ours must not leave a local program waiting for ever.
        Effect.catchAllDefect((defect) =>
          Effect.zipRight(
            Effect.sync(() => local.reset(new StreamReset({ code: ResetCode.protocol, reason: "the agent failed" }))),
            Effect.logError(`${what} failed`, defect)
          )
        ),
        Effect.onInterrupt(() =>
          Effect.sync(() =>
            local.reset(new StreamReset({ code: ResetCode.cancelled, reason: "the upstream has ended" }))
          )
        ),
        Effect.ensuring(Effect.sync(() => open--))
      )

    const onConnection = (local: ByteStream) => {
      if (open < UPSTREAM_CONNECTIONS) {
        open++
        run(forward(local))
        return
      }
      const reason = `no more than ${UPSTREAM_CONNECTIONS} connections at a time`
      local.reset(new StreamReset({ code: ResetCode.busy, reason }))
      if (!isFullSaid) run(Effect.logWarning(`${what}: connections are refused: ${reason}`))
      isFullSaid = true
    }

    const listen = Effect.map(
      host === undefined ? Loopback.listen({ port, onConnection }) : Tcp.listen({ host, port, onConnection }),
      (listening) => {
        bound = listening.port
      }
    )
    const up = isLoopback(upstream)
      ? Effect.logInfo(`${what} is up`)
      : Effect.logWarning(`${what} is up, for whoever reaches this machine on that address`)
    const first = yield* Effect.either(listen)
    if (Either.isRight(first)) return yield* Effect.as(up, () => bound)
    const seconds = UPSTREAM_BIND_RETRY / 1000
    yield* Effect.logError(`${what} is down: ${first.left.message}; it is tried again every ${seconds} s`)
    yield* Effect.forkScoped(Effect.zipRight(Effect.eventually(Effect.delay(listen, UPSTREAM_BIND_RETRY)), up))
    return () => bound
  })

/** Forwards until the scope ends; then every connection is reset. */
export const make = (upstreams: ReadonlyArray<UpstreamConfig>): Effect.Effect<Upstreams, never, Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    const standing = new Map<string, Standing>()
    let listed: ReadonlyArray<string> = []

    const begin = (upstream: UpstreamConfig) =>
      Effect.gen(function* () {
        const scope = yield* Scope.fork(parent, ExecutionStrategy.sequential)
        const port = yield* Scope.extend(stand(upstream), scope).pipe(
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
        return { scope, port }
      })

    const update: Upstreams["update"] = (list) =>
      Effect.gen(function* () {
        const wanted = new Map(list.map((upstream) => [JSON.stringify(upstream), upstream]))
        listed = [...wanted.keys()]
        // What goes makes room first: another one may want its port.
        for (const [key, { scope }] of standing) {
          if (wanted.has(key)) continue
          standing.delete(key)
          yield* Scope.close(scope, Exit.void)
        }
        for (const [key, upstream] of wanted) {
          if (!standing.has(key)) standing.set(key, yield* begin(upstream))
        }
      })

    yield* update(upstreams)
    return { update, ports: () => listed.map((key) => standing.get(key)?.port()) }
  })
