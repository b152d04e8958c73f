/**
 * Pins of hubs' TLS keys (spec: cli 4.2): beyond what every connection needs, a certificate that a known CA vouches for,
 * the key in it must be the one that was pinned. Whoever opens a connection to a hub asks {@link HubPins}, so that one
 * place says what is pinned, for WebSockets and requests, for agents and clients.
 */
import * as Crypto from "node:crypto"
import * as Tls from "node:tls"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

const format = /^sha256:[0-9a-f]{64}$/i

/** A pin in its one spelling; undefined when the text is none. */
export const parse = (text: string): string | undefined => (format.test(text) ? text.toLowerCase() : undefined)

/** `sha256:` and the SHA-256 of the certificate's SubjectPublicKeyInfo, which outlives renewals that keep the key. */
export const fingerprintOf = (certificate: Buffer): string => {
  const key = new Crypto.X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" })
  return `sha256:${Crypto.createHash("sha256").update(key).digest("hex")}`
}

/** What is pinned of hubs, by address. Where that cannot be told, nothing may be connected to. Nothing unless provided. */
export class HubPins extends Context.Reference<HubPins>()("tela/transport/HubPins", {
  defaultValue: (): {
    readonly pinOf: (url: string) => Effect.Effect<string | undefined, { readonly message: string }>
  } => ({ pinOf: () => Effect.succeed(undefined) })
}) {}

/** The hub showed another key than the pinned one. */
export class PinMismatch extends Error {
  constructor(hub: string, pinned: string, shown: string) {
    // Short enough for a line of a log, with the command whole.
    super(`its TLS key is not the pinned ${pinned}; if its owner confirms the new one, run: tela pin ${hub} ${shown}`)
  }
}

/** The check of one connection. */
export interface PinCheck {
  /** As Node's TLS takes it; absent where there is no TLS. */
  readonly tls?: {
    readonly checkServerIdentity: typeof Tls.checkServerIdentity
    /** A pin holds even where NODE_TLS_REJECT_UNAUTHORIZED says that nothing does. */
    readonly rejectUnauthorized?: true
  }
  /** For the log, when the connection stands: the key of a hub that nothing is pinned of. */
  readonly suggest: Effect.Effect<void>
}

const unchecked: PinCheck = { suggest: Effect.void }

/** The check for a connection to `url`. It runs when the CA was found good, before anything of ours is sent. */
export const checkOf = (url: string): Effect.Effect<PinCheck, { readonly message: string }> =>
  Effect.gen(function* () {
    const { host, protocol } = new URL(url)
    if (protocol !== "wss:" && protocol !== "https:") return unchecked
    const pinned = yield* (yield* HubPins).pinOf(url)
    const hub = `wss://${host}`
    let shown: string | undefined
    return {
      tls: {
        checkServerIdentity: (name, certificate) => {
          const problem = Tls.checkServerIdentity(name, certificate)
          if (problem !== undefined) return problem
          shown = fingerprintOf(certificate.raw)
          return pinned === undefined || pinned === shown ? undefined : new PinMismatch(hub, pinned, shown)
        },
        ...(pinned !== undefined && { rejectUnauthorized: true })
      },
      suggest: Effect.suspend(() =>
        pinned !== undefined || shown === undefined
          ? Effect.void
          : Effect.logDebug(`the hub's TLS key is not pinned; to pin it, run: tela pin ${hub} ${shown}`)
      )
    }
  })
