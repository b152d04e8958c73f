/**
 * The gateway of a machine: one HTTP service whose paths lead to several ports. It is a service of the tunnel like others,
 * under its name and port, with the grants that name it; nothing listens on the machine for it, so that nobody comes to
 * it but through the tunnel.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { quoted } from "../../protocol/Printable.ts"
import type { StreamReset } from "../../protocol/StreamReset.ts"
import type { GatewayConfig, GatewayRoute } from "../../store/GatewayConfig.ts"
import type { ByteStream } from "../../transport/ByteStream.ts"
import type { HttpHead, HttpProblem } from "../../transport/HttpHead.ts"
import * as ReverseProxy from "../../transport/ReverseProxy.ts"
import * as Outage from "../Outage.ts"
import * as ErrorPage from "./ErrorPage.ts"
import * as Forwarded from "./Forwarded.ts"
import * as Routes from "./Routes.ts"

export interface GatewayOptions {
  /** The machine's name, for people. */
  readonly machine: string
  /** The host whose ports the routes lead to. */
  readonly host: string
  readonly config: GatewayConfig
}

export interface Gateway {
  /** A new connection to it; fails when it has GATEWAY_CONNECTIONS. */
  readonly open: Effect.Effect<ByteStream, StreamReset>
  /** Goes by another configuration from now on. What is under way on routes that stay as they were goes on, all else ends. */
  readonly update: (options: GatewayOptions) => void
  /** Closes connections as soon as nothing is under way on them. */
  readonly leave: () => void
  /** Connections that are open. */
  readonly connections: () => number
}

/** A request on its way to a route's target. */
interface Routed extends ReverseProxy.Forward {
  readonly route: GatewayRoute
  readonly outage: Outage.Outage
}

/** What makes a route another one than before. */
const identity = (host: string, { hostHeader, path, strip, target }: GatewayRoute): string =>
  JSON.stringify([host, path, strip, target, hostHeader])

const authority = (host: string, port: number) => `${host.includes(":") ? `[${host}]` : host}:${port}`

/** A gateway in one configuration. */
interface Plan extends GatewayOptions {
  readonly routes: Routes.Routes
  readonly outages: ReadonlyMap<string, Outage.Outage>
}

const plan = (options: GatewayOptions, before: Plan | undefined): Plan => {
  const { config, host } = options
  const outages = config.routes.map((route) => {
    const id = identity(host, route)
    const what = `gateway route ${Routes.nameOf(route)} (${host}:${route.target})`
    return [id, before?.outages.get(id) ?? Outage.make(what)] as const
  })
  return { ...options, routes: Routes.make(config.routes), outages: new Map(outages) }
}

const noRoute = ({ machine, routes }: Plan, head: HttpHead) => {
  const path = ErrorPage.shown(head.target)
  return ErrorPage.make(head, {
    status: 404,
    title: `No route for ${path}`,
    what: `The gateway of machine ${quoted(machine)} has no route that leads there.`,
    fix: "To serve it, add a route with a target to the gateway in the machine's telad.yaml. These paths have one:",
    routes: routes.names
  })
}

const refused = ({ machine }: Plan, head: HttpHead | undefined, { problem, status }: HttpProblem) =>
  ErrorPage.make(head, {
    status,
    title: "The request was not passed on",
    what: `The gateway of machine ${quoted(machine)} refuses it: ${problem}.`,
    fix: "Correct the program that sent it."
  })

const failed = ({ machine }: Plan, head: HttpHead, route: GatewayRoute, { kind, reason }: ReverseProxy.NoAnswer) => {
  const name = Routes.nameOf(route)
  const gateway = `The gateway of machine ${quoted(machine)}`
  switch (kind) {
    case "unreachable":
      return ErrorPage.make(head, {
        status: 502,
        title: `Nothing answers behind ${name}`,
        what: `${gateway} could not reach the target of route ${name}: ${reason}.`,
        fix: "Start the program that is to listen there, or correct the route's target in the machine's telad.yaml."
      })
    case "broken":
      return ErrorPage.make(head, {
        status: 502,
        title: `The program behind ${name} gave no answer`,
        what: `${gateway} reached the target of route ${name}, but ${reason}.`,
        fix: "Look into that program's log; if it does not speak HTTP, expose its port as a service of its own."
      })
    case "silent":
      return ErrorPage.make(head, {
        status: 504,
        title: `The program behind ${name} takes too long`,
        what: `${gateway} has waited for the target of route ${name}: ${reason}.`,
        fix: 'Try again; if it needs longer, give the route more time in the machine\'s telad.yaml, such as "timeout: 5m".'
      })
    case "stalled":
      return ErrorPage.make(head, {
        status: 408,
        title: "The request did not arrive",
        what: `${gateway} has waited for it, to pass it on to route ${name}: ${reason}.`,
        fix: "Send it again."
      })
  }
}

/** Serves until the scope ends; then every connection is reset. */
export const make = (options: GatewayOptions): Effect.Effect<Gateway, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = yield* FiberSet.makeRuntime<never>()
    let current = plan(options, undefined)

    const decide = (head: HttpHead): Either.Either<Routed, ReverseProxy.Page> => {
      if (Routes.isAmbiguous(head.target)) {
        return Either.left(refused(current, head, { status: 400, problem: "its path has . or .. as a part" }))
      }
      const matched = current.routes.match(head.target)
      if (matched === undefined) return Either.left(noRoute(current, head))
      const { path, route } = matched
      const { host } = current
      return Either.right({
        host,
        port: route.target,
        path,
        headers: Forwarded.headers(head, route, authority(host, route.target)),
        timeout: route.timeout,
        route,
        outage: current.outages.get(identity(host, route)) ?? Outage.make(`gateway route ${Routes.nameOf(route)}`)
      })
    }

    const proxy = yield* ReverseProxy.make<Routed>({
      decide,
      refused: (head, problem) => refused(current, head, problem),
      answered: ({ outage }) => void run(outage.worked),
      failed: (head, forward, why) => {
        if (why.kind !== "stalled") run(forward.outage.failed(why.reason))
        return failed(current, head, forward.route, why)
      }
    })

    return {
      open: proxy.open,
      update: (next) => {
        current = plan(next, current)
        proxy.review(({ host, route }) => current.outages.has(identity(host, route)))
      },
      leave: proxy.leave,
      connections: proxy.connections
    }
  })
