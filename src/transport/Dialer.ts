/**
 * Opens WebSockets to a hub. Messages leave with a zero masking key: what we send is ciphertext or a control message of
 * our own, so masking (RFC 6455, section 5.3) would only cost time at both ends.
 */
import { isIP, type Socket } from "node:net"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Context from "effect/Context"
import { WebSocket } from "ws"
import { CloseCode } from "../protocol/Close.ts"
import { DIAL_TIMEOUT, MESSAGE_BYTES, MESSAGE_CHUNKS, MESSAGE_FRAGMENTS } from "../protocol/Limits.ts"
import { type Carrier, type Dial, DialError } from "./Carrier.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as TlsPin from "./TlsPin.ts"
import * as WebSocketCarrier from "./WebSocketCarrier.ts"

/** How agents and clients reach a hub. */
export class Dialer extends Context.Tag("tela/transport/Dialer")<Dialer, { readonly dial: Dial }>() {}

const zeroMask = (mask: Buffer) => {
  mask.fill(0)
}

const notAnAddress = "not a hub address; write ws://host[:port] or wss://host[:port]"

const explanations: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such host; check the hub's name",
  EAI_AGAIN: "the name could not be looked up; check the network",
  ECONNREFUSED: "nothing listens there; check the port, and that the hub runs",
  ECONNRESET: "the connection was reset; check that this is a hub and not something else",
  EHOSTUNREACH: "no route to the host; check the network",
  ENETUNREACH: "no route to the network; check the network",
  ETIMEDOUT: "no answer; check the address and the firewall",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed; name its CA in NODE_EXTRA_CA_CERTS",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate's CA is not known here; name it in NODE_EXTRA_CA_CERTS",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate's CA is not known here; name it in NODE_EXTRA_CA_CERTS",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  EPROTO: "it does not speak TLS there; check wss:// against ws://"
}

/** A sentence for a failed connection attempt, from Node's error code. */
export const explain = (error: Error): string => {
  const code = "code" in error ? String(error.code) : ""
  return explanations[code] ?? error.message
}

/** A TLS connection as ws itself makes it, but for the check. */
const secure = (url: string, tls: NonNullable<TlsPin.PinCheck["tls"]>): Tls.TLSSocket => {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, "")
  return Tls.connect({
    host,
    port: port === "" ? 443 : Number(port),
    servername: isIP(host) === 0 ? host : "",
    ...tls
  })
}

/** Opens a carrier by WebSocket; it is closed, politely first, when the scope ends. */
export const make: Effect.Effect<typeof Dialer.Service, never, Heartbeat.Heartbeat> = Effect.map(
  Heartbeat.Heartbeat,
  (heartbeat) => {
    const connect = (url: string, { tls }: TlsPin.PinCheck) =>
      Effect.async<Carrier, DialError>((resume) => {
        const fail = (reason: string, untrusted = false) =>
          resume(Effect.fail(new DialError({ url, reason, untrusted })))
        let ws: WebSocket
        try {
          ws = new WebSocket(url, {
            perMessageDeflate: false,
            generateMask: zeroMask,
            maxPayload: MESSAGE_BYTES,
            maxFragments: MESSAGE_FRAGMENTS,
            maxBufferedChunks: MESSAGE_CHUNKS,
            ...(tls !== undefined && { createConnection: () => secure(url, tls) })
          })
        } catch {
          return fail(notAnAddress)
        }
        let tcp: Socket | undefined
        ws.on("upgrade", (response) => {
          tcp = response.socket
        })
        ws.on("unexpected-response", (_request, response) => {
          response.destroy()
          ws.terminate()
          fail(`it answered HTTP ${response.statusCode} instead of a WebSocket; check that this is a Tela hub`)
        })
        ws.on("error", (error) => fail(explain(error), error instanceof TlsPin.PinMismatch))
        ws.on("open", () => {
          if (tcp === undefined) return fail("no socket")
          heartbeat.watch(ws)
          resume(Effect.succeed(WebSocketCarrier.make(ws, tcp, url)))
        })
        return Effect.sync(() => ws.terminate())
      })
    const open = (url: string) =>
      Effect.gen(function* () {
        if (!URL.canParse(url)) return yield* new DialError({ url, reason: notAnAddress })
        const check = yield* Effect.mapError(
          TlsPin.checkOf(url),
          ({ message }) => new DialError({ url, reason: message, untrusted: true })
        )
        const carrier = yield* connect(url, check)
        yield* check.suggest
        return carrier
      }).pipe(
        // ws has a timeout of its own, which every byte that arrives starts anew.
        Effect.timeoutFail({
          duration: DIAL_TIMEOUT,
          onTimeout: () =>
            new DialError({
              url,
              reason: `no answer within ${DIAL_TIMEOUT / 1000} s; check the address and the firewall`
            })
        })
      )
    return {
      dial: (url) =>
        Effect.uninterruptibleMask((restore) =>
          restore(open(url)).pipe(
            Effect.tap((carrier) =>
              Effect.addFinalizer(() => Effect.sync(() => carrier.close(CloseCode.goingAway, "")))
            )
          )
        )
    }
  }
)

export const layer: Layer.Layer<Dialer> = Layer.effect(Dialer, make).pipe(Layer.provide(Heartbeat.layer))
