/** The hub's HTTP routes: what {@link HubApi} defines, the deployed hub's other names for it, and a page for people. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { healthPath, HubApi, readyPath, statusPaths, wellKnownPath } from "../protocol/HubApi.ts"
import type { AuthRequired, WellKnown } from "../protocol/HubApi.ts"
import { Authority } from "./Authority.ts"
import { tokenOf } from "./Credentials.ts"
import { Directory } from "./Directory.ts"
import { Sessions } from "./Sessions.ts"
import * as Status from "./Status.ts"

export interface ApiOptions {
  readonly about: Status.About
  /** Whether the hub takes connections. */
  readonly isReady: () => boolean
}

type Services = Authority | Directory | Sessions

/** What any page may read: these answers need a token that the page must already have (spec: hub-api 0.3). */
const openToAll = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
  "access-control-allow-headers": "Content-Type, Authorization"
}

/** Every answer: no guessing of types. */
const guarded = HttpServerResponse.setHeader("x-content-type-options", "nosniff")

/** Indented, and with a newline at the end, as readers of a deployed hub are used to. */
const pretty = (value: unknown, status = 200) =>
  HttpServerResponse.text(`${JSON.stringify(value, undefined, 2)}\n`, {
    status,
    contentType: "application/json",
    headers: openToAll
  })

const problem = (status: number, error: string, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(`${JSON.stringify({ error })}\n`, { status, contentType: "application/json", headers })

const authRequired: AuthRequired = { error: "auth_required", machines: [] }

const status = ({ about }: ApiOptions) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const authority = yield* Authority
    const identity = authority.identify(tokenOf(request))
    const answer =
      identity === undefined
        ? HttpServerResponse.text(`${JSON.stringify(authRequired)}\n`, {
            status: 401,
            contentType: "application/json",
            headers: openToAll
          })
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

const routes = (options: ApiOptions, services: Context.Context<Services>) => {
  const answerStatus = Effect.provide(status(options), services)
  const ready = Effect.sync(() =>
    options.isReady() ? HttpServerResponse.text("ok\n") : HttpServerResponse.text("not ready\n", { status: 503 })
  )
  const group = HttpApiBuilder.group(HubApi, "hub", (handlers) =>
    handlers
      .handle("status", () => answerStatus)
      .handle("wellKnown", () => Effect.succeed(pretty(wellKnown(options))))
      .handle("health", () => Effect.succeed(HttpServerResponse.text("ok\n")))
      .handle("ready", () => ready)
  )
  const notYet = () => Effect.succeed(problem(501, "not built yet"))
  const self = HttpApiBuilder.group(HubApi, "self", (handlers) =>
    handlers.handle("history", notYet).handle("whoami", notYet)
  )
  const tokens = HttpApiBuilder.group(HubApi, "tokens", (handlers) =>
    handlers.handle("list", notYet).handle("add", notYet).handle("revoke", notYet).handle("rotate", notYet)
  )
  const access = HttpApiBuilder.group(HubApi, "access", (handlers) =>
    handlers
      .handle("list", notYet)
      .handle("get", notYet)
      .handle("update", notYet)
      .handle("remove", notYet)
      .handle("grant", notYet)
      .handle("revoke", notYet)
      .handle("explain", notYet)
  )
  const pairing = HttpApiBuilder.group(HubApi, "pairing", (handlers) =>
    handlers.handle("create", notYet).handle("list", notYet).handle("cancel", notYet).handle("redeem", notYet)
  )
  const [, ...aliases] = statusPaths
  const preflight = HttpServerResponse.empty({ status: 204, headers: openToAll })
  return Layer.mergeAll(
    HttpLayerRouter.addHttpApi(HubApi).pipe(Layer.provide([group, self, tokens, access, pairing])),
    ...aliases.map((path) => HttpLayerRouter.add("GET", path, answerStatus)),
    ...[...statusPaths, wellKnownPath].map((path) => HttpLayerRouter.add("OPTIONS", path, Effect.succeed(preflight))),
    HttpLayerRouter.add("GET", "/", Effect.succeed(page(options)))
  ).pipe(Layer.provide(HttpServer.layerContext))
}

const httpOnly: ReadonlySet<string> = new Set([...statusPaths, wellKnownPath, healthPath, readyPath])

/** Whether a path belongs to HTTP; a WebSocket may be opened on every other one. */
export const isHttpOnly = (path: string): boolean => httpOnly.has(path)

const notFound = Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
  const [path = ""] = request.url.split("?", 1)
  return path === "/" || isHttpOnly(path)
    ? problem(405, "method not allowed", { allow: "GET, HEAD, OPTIONS" })
    : problem(404, "not found")
})

/** The routes as one app that always has an answer. */
export const make = (options: ApiOptions): Effect.Effect<HttpApp.Default, never, Services | Scope.Scope> =>
  Effect.gen(function* () {
    const services = yield* Effect.context<Services>()
    const app = yield* HttpLayerRouter.toHttpEffect(routes(options, services))
    return app.pipe(
      Effect.catchTag("RouteNotFound", () => notFound),
      Effect.map(guarded),
      Effect.scoped
    )
  })
