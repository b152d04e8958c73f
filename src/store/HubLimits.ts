/**
 * The `limits:` of telahubd.yaml: how much a hub bears in all, and of each identity. What is written for an identity goes
 * before what is written for its role, and that before the default.
 */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Identity, Role } from "../policy/Identity.ts"
import {
  BANDWIDTH_LEAST,
  DIRECTORY_MACHINES,
  HUB_MEMORY,
  HUB_MEMORY_LEAST,
  HUB_SESSIONS,
  IDENTITY_SESSIONS,
  LIMIT_MOST,
  LIMITED_IDENTITIES,
  LINK_STREAMS
} from "../protocol/Limits.ts"
import * as Size from "../protocol/Size.ts"

/** What one identity may have at a time. */
export interface Caps {
  /** Sessions, those coming up included. */
  readonly sessions: number
  /** Streams of each session. */
  readonly streams: number
  /** Bytes a second in each direction, of all its sessions together; Infinity when nothing bounds them. */
  readonly bandwidth: number
}

/** The limits of a hub. */
export interface HubLimits {
  readonly sessions: number
  /** Machines whose agent is connected. */
  readonly machines: number
  /** Bytes that peers have been sent and have not read. */
  readonly memory: number
  readonly default: Partial<Caps>
  readonly roles: Readonly<Partial<Record<Role, Partial<Caps>>>>
  readonly identities: ReadonlyMap<string, Partial<Caps>>
}

/** What goes when the file says nothing. */
export const defaults: HubLimits = {
  sessions: HUB_SESSIONS,
  machines: DIRECTORY_MACHINES,
  memory: HUB_MEMORY,
  default: {},
  roles: {},
  identities: new Map()
}

const unlimited: Caps = { sessions: IDENTITY_SESSIONS, streams: LINK_STREAMS, bandwidth: Infinity }

type Limited = Pick<Identity, "id" | "role">

/** What an identity may have, each cap from the nearest place that names it. */
export const capsOf = (limits: HubLimits, { id, role }: Limited): Caps => ({
  ...unlimited,
  ...limits.default,
  ...limits.roles[role],
  ...limits.identities.get(id)
})

/** Where the file says how many sessions an identity may have, or could say it. */
export const sessionsPlace = (limits: HubLimits, { id, role }: Limited): string => {
  if (limits.identities.get(id)?.sessions !== undefined) return `limits.identities.${id}.sessions`
  return limits.roles[role]?.sessions === undefined ? "limits.default.sessions" : `limits.roles.${role}.sessions`
}

/** An optional key that is absent rather than undefined, so that a nearer place that is silent leaves the farther one's word. */
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true, nullable: true })

const count = (most: number) =>
  optional(
    Schema.Number.pipe(
      Schema.filter((n) => Number.isInteger(n) && n >= 1 && n <= most),
      Schema.annotations({ description: `a number from 1 to ${most}` })
    )
  )

const written = (description: string, least: number, parse: (text: string) => number | undefined) =>
  optional(
    Schema.transformOrFail(Schema.Unknown, Schema.Number, {
      strict: true,
      decode: (value, _options, ast) => {
        const bytes = typeof value === "string" ? parse(value) : undefined
        return bytes === undefined || bytes < least
          ? ParseResult.fail(new ParseResult.Type(ast, value))
          : ParseResult.succeed(bytes)
      },
      encode: ParseResult.succeed
    }).annotations({ description })
  )

const bandwidth = written(
  `a rate such as 10MB/s, at least ${BANDWIDTH_LEAST / 1024}KiB/s, or none`,
  BANDWIDTH_LEAST,
  (text) => (text === "none" ? Infinity : Size.parseRate(text))
)

const CapsShape = Schema.Struct({ sessions: count(LIMIT_MOST), streams: count(LINK_STREAMS), bandwidth })
const caps = optional(CapsShape)

/** The key as a Schema. */
export const LimitsShape = Schema.Struct({
  sessions: count(LIMIT_MOST),
  machines: count(DIRECTORY_MACHINES),
  memory: written(`a size such as 1GiB, at least ${HUB_MEMORY_LEAST / 2 ** 20}MiB`, HUB_MEMORY_LEAST, Size.parse),
  default: caps,
  roles: optional(Schema.Struct({ owner: caps, admin: caps, user: caps, viewer: caps })),
  identities: optional(
    Schema.Record({ key: Schema.String, value: CapsShape }).pipe(
      Schema.filter((identities) => Object.keys(identities).length <= LIMITED_IDENTITIES),
      Schema.annotations({ description: `at most ${LIMITED_IDENTITIES} identities` })
    )
  )
})

/** The limits that a file sets, with the defaults of those it does not. */
export const limitsOf = (said: typeof LimitsShape.Type | undefined): HubLimits => ({
  sessions: said?.sessions ?? defaults.sessions,
  machines: said?.machines ?? defaults.machines,
  memory: said?.memory ?? defaults.memory,
  default: said?.default ?? {},
  roles: said?.roles ?? {},
  identities: new Map(Object.entries(said?.identities ?? {}))
})
