/**
 * Opens the connection on which a hub is spoken to, for WebSockets and requests alike: to the hub itself or through a
 * proxy that opens the way by CONNECT, for ws too, since nothing else brings WebSockets through proxies unharmed. TLS runs
 * inside of it, with the pins of TlsPin.ts. Callbacks and no Effect, so that a socket never is without an owner.
 */
import * as Http from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { ADDRESS_TIMEOUT, HTTP_HEADER_BYTES } from "../protocol/Limits.ts"
import { DialError } from "./Carrier.ts"
import * as DialReason from "./DialReason.ts"
import { HubNetwork } from "./HubNetwork.ts"
import { hostOf, isSecure, portOf, type Proxy } from "./Proxy.ts"
import * as TlsPin from "./TlsPin.ts"

/** All that has to be known before a connection is opened. */
export interface Way {
  /** As it was given, which is how sentences name it. */
  readonly address: string
  readonly url: URL
  readonly proxy: Proxy | undefined
  readonly check: TlsPin.PinCheck
  readonly secureContext: Tls.SecureContext | undefined
}

/** A connection that is being opened. */
export interface Attempt {
  /** Destroys whatever is there, unless it was handed over. */
  readonly cancel: () => void
  /** What is waited for, as the beginning of a sentence. */
  readonly silent: () => string
}

const notAnAddress = "not a hub address; write ws://host[:port] or wss://host[:port]"

const parse = (text: string): URL | undefined => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && /^(ws|http)s?:$/.test(url.protocol) && url.hash === "" ? url : undefined
}

/** The way to an address, by the proxy, the CAs and the pins that hold for it. */
export const wayTo = (address: string): Effect.Effect<Way, DialError> =>
  Effect.gen(function* () {
    const url = parse(address)
    const failed = (reason: string, untrusted = false) => new DialError({ url: address, reason, untrusted })
    if (url === undefined) return yield* failed(notAnAddress)
    const network = yield* HubNetwork
    const check = yield* Effect.mapError(TlsPin.checkOf(address), ({ message }) => failed(message, true))
    const proxy = yield* Effect.mapError(network.proxyOf(url), failed)
    const tls = isSecure(url) || proxy?.secure === true
    const secureContext = tls ? yield* Effect.mapError(network.trust, ({ message }) => failed(message)) : undefined
    if (proxy !== undefined) yield* Effect.logDebug(`the way to ${url.host} is through the proxy ${proxy.shown}`)
    return { address, url, proxy, check, secureContext }
  })

/** A name of several addresses is tried address by address; Node's own patience is too short for slow networks. */
const endpoint = (host: string, port: number) => ({
  host,
  port,
  autoSelectFamily: true,
  autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT
})

/** Certificates name hosts; for an address there is nothing to ask for. */
const serverName = (host: string) => (Net.isIP(host) === 0 ? host : "")

const nameOf = ({ CN, O }: Tls.Certificate): string | undefined => [CN ?? O].flat()[0]

/** The sentence for a proxy that did not open the way to `target`. */
const refused = (proxy: Proxy, target: string, { headers, statusCode = 0 }: Http.IncomingMessage): string => {
  const offered = [headers["proxy-authenticate"] ?? ""].join()
  switch (statusCode) {
    case 407:
      if (offered !== "" && !/\bbasic\b/i.test(offered)) {
        return `the proxy ${proxy.shown} wants a way to log in that is not known here (HTTP 407); only Basic is`
      }
      return proxy.authorization === undefined
        ? `the proxy ${proxy.shown} wants credentials (HTTP 407); write ${proxy.variable} as http://user:password@host:port`
        : `the proxy ${proxy.shown} refuses the user and password in ${proxy.variable} (HTTP 407)`
    case 502:
    case 503:
    case 504:
      return `the proxy ${proxy.shown} cannot reach ${target} (HTTP ${statusCode}); check the hub's address`
    default:
      return `the proxy ${proxy.shown} opens no way to ${target} (HTTP ${statusCode}); ask its administrator to allow it`
  }
}

/** Opens a connection. Of `opened` and `failed` one is called, once; none after a cancel. */
export const open = (
  { address, check, proxy, secureContext, url }: Way,
  opened: (socket: Net.Socket) => void,
  failed: (error: DialError) => void
): Attempt => {
  const host = hostOf(url)
  const target = `${url.hostname}:${portOf(url)}`
  const roots = secureContext === undefined ? {} : { secureContext }
  let over = false
  let silent = "no answer"
  let current: { destroy(): unknown }

  const fail = (reason: string, untrusted = false) => {
    if (over) return
    over = true
    current.destroy()
    failed(new DialError({ url: address, reason, untrusted }))
  }
  const hand = (socket: Net.Socket) => {
    if (over) return
    over = true
    opened(socket)
  }

  /** TLS to the hub, on a connection that a proxy has opened or on one of its own. */
  const secure = (below: Net.Socket | undefined) => {
    const socket = Tls.connect({
      ...(below === undefined ? endpoint(host, portOf(url)) : { socket: below }),
      servername: serverName(host),
      ...roots,
      ...check.tls
    })
    current = socket
    let issuer: string | undefined
    // When it is refused, the certificate is gone before anybody hears of it.
    socket.prependListener("secure", () => {
      const certificate = socket.getPeerCertificate()
      issuer = "issuer" in certificate ? nameOf(certificate.issuer) : undefined
    })
    socket.on("secureConnect", () => hand(socket))
    socket.on("error", (error) => fail(DialReason.explain(error, issuer), error instanceof TlsPin.PinMismatch))
    socket.on("close", () => fail("the connection was closed; check wss:// against ws://"))
  }

  const plain = () => {
    const socket = Net.connect(endpoint(host, portOf(url)))
    current = socket
    socket.on("connect", () => hand(socket))
    socket.on("error", (error) => fail(DialReason.explain(error)))
  }

  const through = (proxy: Proxy) => {
    silent = `the proxy ${proxy.shown} did not answer`
    const to = endpoint(proxy.host, proxy.port)
    const socket = proxy.secure ? Tls.connect({ ...to, servername: serverName(proxy.host), ...roots }) : Net.connect(to)
    const request = Http.request({
      method: "CONNECT",
      path: target,
      headers: {
        host: target,
        ...(proxy.authorization !== undefined && { "proxy-authorization": Redacted.value(proxy.authorization) })
      },
      maxHeaderSize: HTTP_HEADER_BYTES,
      createConnection: () => socket
    })
    current = socket
    const broken = (error: Error) =>
      fail(`the proxy ${proxy.shown} cannot be used: ${DialReason.explainProxy(error)}; check ${proxy.variable}`)
    request.on("error", broken)
    socket.on("error", broken)
    request.on("connect", (answer, _socket, head: Buffer) => {
      const status = answer.statusCode ?? 0
      if (status < 200 || status > 299) return fail(refused(proxy, target, answer))
      silent = `no answer through the proxy ${proxy.shown}`
      if (head.length > 0) socket.unshift(head)
      if (isSecure(url)) secure(socket)
      else hand(socket)
    })
    request.end()
  }

  if (proxy !== undefined) through(proxy)
  else if (isSecure(url)) secure(undefined)
  else plain()
  return {
    silent: () => silent,
    cancel: () => {
      if (over) return
      over = true
      current.destroy()
    }
  }
}
