/**
 * The hub's HTTP interface put together: what {@link HubApi} defines, the deployed hub's other names for it, a page for
 * people, and what goes for every request: how often, from which sites' pages, and what is said to a wrong method.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { HubApi, openApiPath } from "../protocol/HubApi.ts"
import type { AuthRequired, WellKnown } from "../protocol/HubApi.ts"
import { HTTP_HEADER_BYTES, TOKEN_IN_ADDRESS_LOG_INTERVAL } from "../protocol/Limits.ts"
import { quoted } from "../protocol/Printable.ts"
import type { Audit } from "../store/Audit.ts"
import type { PairCodes } from "../store/PairCodes.ts"
import type { Hosting } from "../system/release/Hosting.ts"
import { turn } from "../transport/Slices.ts"
import * as Access from "./api/Access.ts"
import * as Agents from "./api/Agents.ts"
import { json, ofProblem } from "./api/Answer.ts"
import { addressOf, unknown } from "./api/Asker.ts"
import * as Channels from "./api/Channels.ts"
import { description } from "./api/Description.ts"
import * as Operations from "./api/Operations.ts"
import * as PairingGroup from "./api/Pairing.ts"
import { bad, notFound, Problem } from "./api/Problem.ts"
import * as Routes from "./api/Routes.ts"
import * as Self from "./api/Self.ts"
import * as Throttle from "./api/Throttle.ts"
import * as Tokens from "./api/Tokens.ts"
import { openToAll } from "./api/Web.ts"
import { Authority } from "./Authority.ts"
import { credentialOf, queryOf, tokenOf } from "./Credentials.ts"
import { Directory } from "./Directory.ts"
import type { Management } from "./Management.ts"
import * as Pairing from "./Pairing.ts"
import { Sessions } from "./Sessions.ts"
import * as Status from "./Status.ts"

export interface ApiOptions extends Operations.Operations {
  /** Whether the hub takes connections. */
  readonly isReady: () => boolean
  /** The release channels that it serves. */
  readonly hosting?: Hosting | undefined
}

type Services = Authority | Audit | Directory | Management | PairCodes | Sessions

/** Indented, and with a newline at the end, as readers of a deployed hub are used to. */
const pretty = (value: unknown, status = 200) =>
  HttpServerResponse.text(`${JSON.stringify(value, undefined, 2)}\n`, {
    status,
    contentType: "application/json",
    headers: openToAll
  })

const authRequired: AuthRequired = { error: "auth_required", machines: [] }

const status = ({ about }: ApiOptions) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const authority = yield* Authority
    const token = tokenOf(request)
    const identity = authority.identify(token)
    if (identity === undefined) yield* unknown(request, token)
    const answer =
      identity === undefined
        ? json(authRequired, { status: 401, headers: openToAll })
        : pretty(
            Status.make(about, identity, yield* Clock.currentTimeMillis, {
              authority,
              directory: yield* Directory,
              sessions: yield* Sessions
            })
          )
    return HttpServerResponse.setHeader(answer, "cache-control", "no-store")
  })

const wellKnown = ({ about }: ApiOptions): WellKnown => ({
  capabilities: ["per-service-access-control"],
  hubId: about.hubId,
  protocolVersion: "1.1",
  supportedVersions: ["1.1"]
})

const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.codePointAt(0)};`)

const page = ({ about: { name } }: ApiOptions) =>
  HttpServerResponse.text(
    `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tela hub</title>
<style>body { font: 1rem/1.6 system-ui, sans-serif; margin: 15vh auto; max-width: 36rem; padding: 0 1rem }</style>
<h1>Tela hub${name === "" ? "" : ` ${escaped(name)}`}</h1>
<p>This is a Tela hub. Agents and clients reach it at this address; what passes between them is encrypted end to end.</p>
</html>
`,
    {
      contentType: "text/html; charset=utf-8",
      headers: { "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'" }
    }
  )

const described = HttpServerResponse.text(`${JSON.stringify(description)}\n`, { contentType: "application/json" })

const routes = (options: ApiOptions, services: Context.Context<Services | Pairing.Pairing>) => {
  const ready = Effect.sync(() =>
    options.isReady() ? HttpServerResponse.text("ok\n") : HttpServerResponse.text("not ready\n", { status: 503 })
  )
  const hub = HttpApiBuilder.group(HubApi, "hub", (handlers) =>
    handlers
      .handle("status", () => status(options))
      .handle("wellKnown", () => Effect.succeed(pretty(wellKnown(options))))
      .handle("health", () => Effect.succeed(HttpServerResponse.text("ok\n")))
      .handle("ready", () => ready)
  )
  const groups = [
    hub,
    Self.layer,
    Tokens.layer,
    Access.layer,
    PairingGroup.layer,
    Agents.layer,
    Operations.layer(options),
    ...Channels.layer(options.hosting, options.about.version)
  ] as const
  return Layer.mergeAll(
    HttpLayerRouter.addHttpApi(HubApi).pipe(Layer.provide(groups)),
    HttpLayerRouter.add("GET", openApiPath, Effect.succeed(described)),
    HttpLayerRouter.add("GET", "/", Effect.succeed(page(options)))
  ).pipe(Layer.provide([Layer.succeedContext(services), HttpServer.layerContext]))
}

/** Whether a path belongs to HTTP; a WebSocket may be opened on every other one, and on the page's. */
export const isHttpOnly = (path: string): boolean => {
  const known = Routes.canonical(path)
  return known !== "/" && Routes.methodsOf(known).length > 0
}

const allowed = (methods: ReadonlyArray<string>, path: string) => ({
  allow: [...methods, ...(Routes.hasPreflight(path) ? ["OPTIONS"] : [])].join(", ")
})

/** What is said where no route is. */
const unrouted = (method: string, path: string, methods: ReadonlyArray<string>): Problem => {
  if (methods.length === 0) return notFound("not found")
  if (methods.includes(method)) return bad("the path is not encoded as it should be: % and two hexadecimal digits")
  const headers = allowed(methods, path)
  return new Problem({ status: 405, error: `this method is not allowed here; use ${methods.join(", ")}`, headers })
}

/** What a browser is told that asks beforehand. */
const preflight = (path: string, methods: ReadonlyArray<string>): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 204,
    headers: { ...allowed(methods, path), ...(Routes.isOpenToAll(path) && openToAll) }
  })

/** A parameter of a query that is there twice: nobody can tell which one is meant. */
const repeatedOf = (query: string | undefined): string | undefined => {
  const seen = new Set<string>()
  return [...new URLSearchParams(query).keys()].find((name) => seen.size === seen.add(name).size)
}

/** Tokens in addresses get into the logs of proxies; said now and then, and never with the token. */
const tokensInAddresses = Effect.gen(function* () {
  let said = Number.NEGATIVE_INFINITY
  return (request: HttpServerRequest.HttpServerRequest, now: number) => {
    if (credentialOf(request)?.source !== "query" || now - said < TOKEN_IN_ADDRESS_LOG_INTERVAL) return Effect.void
    said = now
    return Effect.logWarning(
      `a request from ${addressOf(request)} has its token in the address, where logs keep it; send it as Authorization: Bearer`
    )
  }
})

/** The routes as one app that always has an answer. */
export const make = (options: ApiOptions): Effect.Effect<HttpApp.Default, never, Services | Scope.Scope> =>
  Effect.gen(function* () {
    const authority = yield* Authority
    const pairing = yield* Pairing.make
    const services = Context.add(yield* Effect.context<Services>(), Pairing.Pairing, pairing)
    const throttle = Throttle.make()
    const warn = yield* tokensInAddresses
    const app = yield* HttpLayerRouter.toHttpEffect(routes(options, services)).pipe(
      // Ids are of any length that a request may have; the router's own bound is 100.
      Effect.provideService(HttpLayerRouter.RouterConfig, { caseSensitive: true, maxParamLength: HTTP_HEADER_BYTES })
    )
    return Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const [asked = ""] = request.url.split("?", 1)
      const query = queryOf(request.url)
      const path = Routes.canonical(asked)
      const now = yield* Clock.currentTimeMillis
      if (!Routes.isUnlimited(path)) {
        const tooMany = throttle(request, path, authority.identify(tokenOf(request)), now)
        if (tooMany !== undefined) return ofProblem(tooMany)
      }
      yield* warn(request, now)
      const repeated = repeatedOf(query)
      if (repeated !== undefined) return ofProblem(bad(`the address has ${quoted(repeated)} twice; say it once`))
      const methods = Routes.methodsOf(path)
      if (request.method === "OPTIONS" && methods.length > 0 && Routes.hasPreflight(path))
        return preflight(path, methods)
      // Nothing is decided yet that could change meanwhile.
      yield* turn
      return yield* app.pipe(
        Effect.provideService(
          HttpServerRequest.HttpServerRequest,
          request.modify({ url: query === undefined ? path : `${path}?${query}` })
        ),
        Effect.catchTag("RouteNotFound", () => Effect.succeed(ofProblem(unrouted(request.method, path, methods))))
      )
    }).pipe(Effect.scoped)
  })
