/** Listening for the programs of this machine alone, on every loopback address that it has. */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ByteStream } from "./ByteStream.ts"
import type { ListenError } from "./ListenError.ts"
import * as Tcp from "./Tcp.ts"

/** Listens until the scope ends, on one port of all of them or on none; port 0 takes any that is free on the first. */
export const listen = (options: {
  readonly port: number
  readonly onConnection: (stream: ByteStream, peer: string) => void
  /** How one address is listened on; {@link Tcp.listen} but for tests. */
  readonly listen?: typeof Tcp.listen | undefined
}): Effect.Effect<{ readonly port: number }, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const { listen: listenOn = Tcp.listen, onConnection } = options
    const outer = yield* Effect.scope
    const scope = yield* Scope.fork(outer, ExecutionStrategy.sequential)
    const both = Effect.gen(function* () {
      const first = yield* listenOn({ host: "127.0.0.1", port: options.port, onConnection })
      yield* Effect.catchIf(
        listenOn({ host: "::1", port: first.port, onConnection }),
        // No IPv6 here: then nobody is led there by "localhost" either.
        (error) => error.code === "EADDRNOTAVAIL" || error.code === "EAFNOSUPPORT",
        () => Effect.void
      )
      return { port: first.port }
    })
    return yield* Scope.extend(both, scope).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
  })
