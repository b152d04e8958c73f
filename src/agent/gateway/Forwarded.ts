/**
 * The headers that a target gets: the client's, without those of the client's own hop, and with what the gateway knows of
 * where the request came from in place of whatever the client claims. Pure.
 *
 * The client's address does not reach the agent, so that X-Forwarded-For is `unknown` (as RFC 7239, 6.2 has it); whoever
 * trusts that header must not take the request for one of the machine itself.
 */
import type { HttpHead } from "../../transport/HttpHead.ts"
import * as HttpHeaders from "../../transport/HttpHeaders.ts"
import type { GatewayRoute } from "../../store/GatewayConfig.ts"
import { nameOf } from "./Routes.ts"

/** Whence a request came, and other addresses that it should count for: for the gateway to say. */
const CLAIMS = /^(?:forwarded|x-forwarded(?:-.*)?|x-real-ip|x-original-url|x-rewrite-url)$/

/** Many programs take `X_Real_IP` for `X-Real-IP`. `Expect` was answered by the gateway. */
const isPassedOn = (name: string): boolean => name !== "expect" && !CLAIMS.test(name.replaceAll("_", "-"))

/** Headers for the target of a route. */
export const headers = (head: HttpHead, route: GatewayRoute, target: string): HttpHeaders.RawHeaders => {
  const [host] = HttpHeaders.valuesOf(head.headers, "host")
  const passed = HttpHeaders.filter(HttpHeaders.endToEnd(head.headers), (name) => name !== "host" && isPassedOn(name))
  const prefix = nameOf(route)
  return [
    "Host",
    route.hostHeader ?? host ?? target,
    ...passed,
    "X-Forwarded-For",
    "unknown",
    "X-Forwarded-Proto",
    "http",
    ...(host === undefined ? [] : ["X-Forwarded-Host", host]),
    ...(route.strip && prefix !== "/" ? ["X-Forwarded-Prefix", prefix] : [])
  ]
}
