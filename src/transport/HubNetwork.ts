/**
 * How this program comes to hubs: through which proxy, and trusting whom. Whoever opens a connection to a hub asks
 * {@link HubNetwork}, so that it holds for WebSockets and requests, for agents and clients.
 */
import type { SecureContext } from "node:tls"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Proxy from "./Proxy.ts"
import * as SystemCas from "./SystemCas.ts"

export interface Network {
  /** The proxy for an address, undefined where there is none; the other side is a sentence. */
  readonly proxyOf: (url: URL) => Either.Either<Proxy.Proxy | undefined, string>
  /** What TLS is made with; undefined leaves it to Node. */
  readonly trust: Effect.Effect<SecureContext | undefined, { readonly message: string }>
}

/** The network as Node has it, without proxy, unless a program provides another. */
export class HubNetwork extends Context.Reference<HubNetwork>()("tela/transport/HubNetwork", {
  defaultValue: (): Network => ({ proxyOf: () => Either.right(undefined), trust: Effect.succeed(undefined) })
}) {}

/**
 * The network as the environment describes it, with the certificates of CAs that are trusted beside all others. Files are
 * read when the first TLS connection is made.
 */
export const make = (env: Readonly<Record<string, string | undefined>>, cas: ReadonlyArray<string> = []): Network => {
  let made: SecureContext | undefined
  return {
    proxyOf: (url) => Proxy.proxyOf(url, env),
    trust: Effect.suspend(() =>
      made === undefined
        ? Effect.tap(SystemCas.secureContext(env, cas), (context) => {
            made = context
          })
        : Effect.succeed(made)
    )
  }
}
