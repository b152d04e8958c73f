/** Which paths there are, and what may be done at each: read off the one definition, {@link HubApi}. */
import {
  channelsPath,
  healthPath,
  historyPaths,
  HubApi,
  openApiPath,
  readyPath,
  statusPaths,
  uploadPath,
  wellKnownPath
} from "../../protocol/HubApi.ts"

/**
 * A path as the router is to see it: one slash at the end is nothing, other names for a path are that path, and `;`, where
 * the router would cut, is a character like any other.
 */
export const canonical = (path: string): string => {
  const bare = (path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path).replaceAll(";", "%3B")
  for (const names of [statusPaths, historyPaths]) if (names.some((name) => name === bare)) return names[0]
  return bare
}

const endpoints = Object.values(HubApi.groups).flatMap((group) =>
  Object.values(group.endpoints).map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^${path.replaceAll(".", "\\.").replace(/:[^/]+/g, "[^/]+")}$`)
  }))
)

/** Methods that a canonical path knows; none for a path that is not there. */
export const methodsOf = (path: string): ReadonlyArray<string> => {
  const methods = endpoints.flatMap(({ method, pattern }) => (pattern.test(path) ? [method] : []))
  const known: ReadonlyArray<string> = path === "/" || path === openApiPath ? ["GET"] : methods
  return known.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]))
}

/** Whether a page of any site may read it: each of these needs a token, or tells nothing that needs one. */
export const isOpenToAll = (path: string): boolean =>
  path === statusPaths[0] || path === historyPaths[0] || path === wellKnownPath || isOfChannels(path)

/** What a release channel serves to everybody. */
const isOfChannels = (path: string): boolean => path === channelsPath || path.startsWith(`${channelsPath}/`)

/** Where files of any size pass, one way or the other. */
export const passesFiles = (method: string, path: string): boolean =>
  method === "PUT" ? path.startsWith(`${uploadPath}/`) : path.startsWith(`${channelsPath}/files/`)

/** Asked by whatever watches over a hub, as often as it likes; and pairing has limits of its own. */
export const isUnlimited = (path: string): boolean =>
  path === healthPath || path === readyPath || path === wellKnownPath || path === "/" || path === "/api/pair"

/** Whether a browser may ask beforehand what it may do; the deployed hub says 405 to that where codes are. */
export const hasPreflight = (path: string): boolean => !path.startsWith("/api/pair") && !path.includes("/pair-code")
