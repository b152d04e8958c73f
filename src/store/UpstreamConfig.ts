/** `upstreams` of a machine in telad.yaml: local ports that lead to what the machine depends on (spec: cli 6.6). */
import * as Schema from "effect/Schema"
import { UPSTREAMS } from "../protocol/Limits.ts"
import { Port } from "../protocol/Service.ts"
import * as YamlFile from "./YamlFile.ts"

export interface UpstreamConfig {
  /** For people and the log; empty when nobody gave one. */
  readonly name: string
  /** The address that is listened on; undefined is this machine's loopback addresses. */
  readonly host: string | undefined
  readonly port: number
  readonly target: { readonly host: string; readonly port: number }
}

/** `host:port`; an IPv6 address is in brackets. */
const TARGET = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([\w.-]+)):(\d{1,5})$/

const isTarget = (text: string) => {
  const port = Number(TARGET.exec(text)?.[3] ?? 0)
  return port >= 1 && port <= 65_535
}

const Upstream = Schema.Struct({
  port: Port,
  target: Schema.String.pipe(Schema.filter(isTarget)).annotations({
    description: "a host and a port, such as db.lan:5432"
  }),
  name: YamlFile.optionalOr(Schema.String, ""),
  host: YamlFile.optional(
    Schema.String.pipe(Schema.pattern(/^[\w.:-]+$/)).annotations({
      description: "an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    })
  )
})

export const schema = Schema.Array(Upstream)
  .pipe(Schema.maxItems(UPSTREAMS))
  .annotations({ description: `a list of at most ${UPSTREAMS} upstreams, each with port and target` })

const isLoopback = (host: string) => /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/i.test(host)

/** Whether connections to the target would come back to the listener. */
const isCircular = ({ host, port, target }: UpstreamConfig) =>
  target.port === port &&
  (target.host === host || (isLoopback(target.host) && (host === undefined || /^(?:0\.0\.0\.0|::)$/.test(host))))

/** What a Schema cannot see: the index and key, and what is wrong, in a sentence. `others` listen already. */
export const problemOf = (
  upstreams: ReadonlyArray<UpstreamConfig>,
  others: ReadonlyArray<UpstreamConfig>
): { readonly path: ReadonlyArray<PropertyKey>; readonly problem: string } | undefined => {
  for (const [i, upstream] of upstreams.entries()) {
    const { host, port } = upstream
    if (isCircular(upstream)) {
      return { path: [i, "target"], problem: `the upstream on port ${port} leads to itself; give it another port` }
    }
    if ([...others, ...upstreams.slice(0, i)].some((other) => other.port === port && other.host === host)) {
      return { path: [i, "port"], problem: `port ${port} has two upstreams; give one of them another port` }
    }
  }
  return undefined
}

export const make = (read: typeof schema.Type): ReadonlyArray<UpstreamConfig> =>
  read.map(({ host, name, port, target }) => {
    const [, bracketed, plain = "", targetPort] = TARGET.exec(target) ?? []
    return { name, host, port, target: { host: bracketed ?? plain, port: Number(targetPort) } }
  })
