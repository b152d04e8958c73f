/**
 * What a person sees in place of a target's answer: what happened, on which route, and what to do about it. HTML for
 * browsers, plain text for everything else. Pure; whatever it repeats is cut and escaped.
 */
import { printable } from "../../protocol/Printable.ts"
import type { HttpHead } from "../../transport/HttpHead.ts"
import * as HttpHeaders from "../../transport/HttpHeaders.ts"
import type { Page } from "../../transport/ReverseProxy.ts"

/** An error in words. */
export interface Told {
  readonly status: number
  readonly title: string
  readonly what: string
  readonly fix: string
  /** Routes to choose from. */
  readonly routes?: ReadonlyArray<string>
}

/** Routes that are named: a person looks through no more. */
const NAMED_ROUTES = 20

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? "")

const STYLE =
  "body{max-width:42rem;margin:4rem auto;padding:0 1.5rem;font:1rem/1.6 system-ui,sans-serif;overflow-wrap:anywhere}" +
  "h1{font-size:1.5rem;line-height:1.3}small{color:GrayText}:root{color-scheme:light dark}"

const html = ({ fix, routes = [], status, title, what }: Told, more: string): string => {
  const items = routes.map((route) => `<li><a href="${escape(route)}">${escape(route)}</a></li>`).join("")
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)}</title>
<style>${STYLE}</style></head>
<body>
<small>${status} from the gateway</small>
<h1>${escape(title)}</h1>
<p>${escape(what)}</p>
<p>${escape(fix)}</p>
${items === "" ? "" : `<ul>${items}</ul>\n`}${more === "" ? "" : `<p>${escape(more)}</p>\n`}</body>
</html>
`
}

const text = ({ fix, routes = [], title, what }: Told, more: string): string =>
  [title, what, fix, ...routes.map((route) => `  ${route}`), ...(more === "" ? [] : [more])].join("\n") + "\n"

const wantsHtml = (head: HttpHead | undefined): boolean =>
  head !== undefined && HttpHeaders.listOf(head.headers, "accept").some((type) => type.split(";", 1)[0] === "text/html")

/** An address as a sentence repeats it. */
export const shown = (target: string): string => printable(target.split("?", 1)[0] ?? "")

/** Nothing in it runs, is kept, or is framed by another page. */
export const make = (head: HttpHead | undefined, told: Told): Page => {
  const all = told.routes ?? []
  const cut = { ...told, routes: all.slice(0, NAMED_ROUTES).map(printable) }
  const more = all.length > NAMED_ROUTES ? `and ${all.length - NAMED_ROUTES} more` : ""
  const isHtml = wantsHtml(head)
  return {
    status: told.status,
    headers: {
      "content-type": isHtml ? "text/html; charset=utf-8" : "text/plain; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      ...(told.status === 405 && { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" })
    },
    body: isHtml ? html(cut, more) : text(cut, more)
  }
}
