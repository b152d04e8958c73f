/**
 * Which route a path takes: the one with the longest prefix, in whole segments, so that `/api` leads to `/api/users` and
 * not to `/apix`. Pure.
 */
import type { GatewayRoute } from "../../store/GatewayConfig.ts"

/** A route as it is called: its prefix without the last slash, `/` alone for all. */
export const nameOf = ({ path }: Pick<GatewayRoute, "path">): string => path.replace(/(?<=.)\/$/, "")

/** Segments are compared decoded, so that `/%61pi` is `/api`; what is no UTF-8 stands for itself. */
const decoded = (segment: string): string => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

const segmentsOf = (path: string): ReadonlyArray<string> => path.slice(1).split("/").map(decoded)

/** A route, and what its target is asked for. */
export interface Matched {
  readonly route: GatewayRoute
  /** Path and query. */
  readonly path: string
}

export interface Routes {
  /** The route of a request's target; undefined where none leads. */
  readonly match: (target: string) => Matched | undefined
  /** What the routes are called, longest first. */
  readonly names: ReadonlyArray<string>
}

/**
 * Whether some program may read the path as another one: with a part that is `.` or `..`, be it encoded, be it with
 * parameters (`..;x`), be it between backslashes. Browsers resolve such parts themselves.
 */
export const isAmbiguous = (target: string): boolean => {
  const [path = ""] = target.split("?", 1)
  return path
    .replace(/%2e/gi, ".")
    .split(/\/|\\|%2f|%5c/i)
    .some((part) => /^\.{1,2}(?:;|%3b|$)/i.test(part))
}

/** What is left of a path when its first segments are taken; never the beginning of another host's address. */
const without = (path: string, segments: number): string => {
  const rest = path.split("/").slice(1 + segments)
  return `/${rest.join("/").replace(/^\/+/, "")}`
}

export const make = (routes: ReadonlyArray<GatewayRoute>): Routes => {
  const known = routes
    .map((route) => {
      const name = nameOf(route)
      return { route, name, segments: name === "/" ? [] : segmentsOf(name) }
    })
    .sort((a, b) => b.segments.length - a.segments.length)

  return {
    names: known.map(({ name }) => name),
    match: (target) => {
      const [path = "/"] = target.split("?", 1)
      const asked = segmentsOf(path)
      const found = known.find(({ segments }) => segments.every((segment, i) => segment === asked[i]))
      if (found === undefined) return undefined
      const { route, segments } = found
      return { route, path: route.strip ? without(path, segments.length) + target.slice(path.length) : target }
    }
  }
}
