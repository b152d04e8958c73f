/**
 * The `auth:` block of telahubd.yaml, in both its forms: the deployed hub's lists of plain tokens (spec: hub-api 3.1), and
 * ours, which names identities and keeps digests. Both may stand in one file. Either way only digests leave this module.
 */
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { hashOf, PREFIX_CHARS, prefixOf } from "../crypto/Token.ts"
import { ANY_MACHINE, machinePermissions, roleOf } from "../policy/Identity.ts"
import type { Grant, MachineGrants, MachinePermission } from "../policy/Identity.ts"
import { COUNT_MAX } from "../protocol/Limits.ts"
import * as Quote from "../protocol/Quote.ts"
import { namedInGrant } from "../protocol/Service.ts"
import type { WrittenIdentity } from "./AuthLine.ts"
import { optional, optionalOr } from "./YamlFile.ts"

const Instant = Schema.transform(
  Schema.String.pipe(
    Schema.filter((text) => !Number.isNaN(Date.parse(text))),
    Schema.annotations({ description: "a time such as 2027-01-31T12:00:00Z" })
  ),
  Schema.Number,
  { strict: true, decode: (text) => Date.parse(text), encode: (at) => new Date(at).toISOString() }
)

const lifetime = { issuedAt: optional(Instant), expiresAt: optional(Instant), revokedAt: optional(Instant) }

const HASH_PREFIX = "sha256:"

const Version = Schema.Int.pipe(
  Schema.between(1, COUNT_MAX),
  Schema.annotations({ description: `a number from 1 to ${COUNT_MAX}` })
)

const Revision = Schema.Int.pipe(
  Schema.between(0, COUNT_MAX),
  Schema.annotations({ description: `a number from 0 to ${COUNT_MAX}` })
)

/** A map by name. A key that every JavaScript object has already is none. */
const NameKey = Schema.NonEmptyString.pipe(
  Schema.filter((name) => name !== "__proto__"),
  Schema.annotations({ description: "another name" })
)

const TokenHash = Schema.String.pipe(
  Schema.pattern(/^sha256:[0-9a-f]{64}$/),
  Schema.annotations({ description: 'a digest, "sha256:" and 64 hex characters' })
)

const Services = Schema.Array(Schema.NonEmptyTrimmedString)

const DeployedToken = Schema.Struct({
  id: Schema.NonEmptyString,
  token: Schema.String,
  hubRole: optional(Schema.String),
  ...lifetime
})

const DeployedGrant = Schema.Union(
  Schema.String,
  Schema.Struct({ token: Schema.String, services: optional(Services) })
).annotations({ description: "a token, or a map of token and services" })

const IdentityEntry = Schema.Struct({
  role: Schema.Literal("owner", "admin", "user", "viewer", "").annotations({
    description: "one of owner, admin, user, viewer"
  }),
  token: TokenHash,
  prefix: optional(Schema.String.pipe(Schema.maxLength(PREFIX_CHARS))),
  ...lifetime,
  version: optional(Version),
  digest: optional(Schema.String)
})

const GrantItem = Schema.Struct({
  id: Schema.NonEmptyString,
  services: optional(
    Services.pipe(
      Schema.minItems(1),
      Schema.annotations({ description: "at least one service; leave the key out for all" })
    )
  ),
  expiresAt: optional(Instant)
})

const MachineEntry = Schema.Struct({
  registerToken: optional(Schema.String),
  connectTokens: optional(Schema.Array(DeployedGrant)),
  manageTokens: optional(Schema.Array(Schema.String)),
  register: optional(Schema.Array(GrantItem)),
  connect: optional(Schema.Array(GrantItem)),
  manage: optional(Schema.Array(GrantItem))
})
type MachineEntry = typeof MachineEntry.Type

/** The block as a Schema. */
export const Auth = Schema.Struct({
  revision: optionalOr(Revision, 0),
  tokens: optionalOr(Schema.Array(DeployedToken), []),
  identities: optionalOr(Schema.Record({ key: NameKey, value: IdentityEntry }), {}),
  machines: optionalOr(Schema.Record({ key: NameKey, value: Schema.NullOr(MachineEntry) }), {})
})
export type Auth = typeof Auth.Type

/** Where something stands in the file, as keys from its root. */
type Path = ReadonlyArray<string | number>

/** Something, and where it stands; undefined for what is nowhere. */
export interface Placed<A> {
  readonly value: A
  readonly at: Path | undefined
}

/** What the block means, and what a person should know about it. */
export interface Interpreted {
  readonly identities: ReadonlyMap<string, Placed<WrittenIdentity>>
  /** Everything that is granted on the machines that the block names. */
  readonly machines: ReadonlyMap<string, Placed<MachineGrants>>
  readonly warnings: ReadonlyArray<string>
  /** Whether some of it is in the deployed hub's form. */
  readonly deployed: boolean
}

/** What else the file has, which was read before. */
export interface Others {
  readonly has: (id: string) => boolean
  /** Who has the token of a SHA-256. */
  readonly holderOf: (tokenHash: string) => string | undefined
  readonly grantsOn: (machine: string) => MachineGrants | undefined
}

const lifetimeOf = (entry: { readonly [Key in keyof typeof lifetime]?: number | undefined }) => ({
  ...(entry.issuedAt !== undefined && { issuedAt: entry.issuedAt }),
  ...(entry.expiresAt !== undefined && { expiresAt: entry.expiresAt }),
  ...(entry.revokedAt !== undefined && { revokedAt: entry.revokedAt })
})

/** Identities of both forms. The deployed hub allowed two tokens under one label; the later one gets a label of its own. */
const readIdentities = (auth: Auth, others: Others, warn: (text: string) => void) => {
  const identities = new Map<string, Placed<WrittenIdentity>>()
  for (const [id, entry] of Object.entries(auth.identities)) {
    const { digest, prefix = "", version } = entry
    const value: WrittenIdentity = {
      id,
      role: roleOf(entry.role),
      tokenHash: entry.token.slice(HASH_PREFIX.length),
      prefix,
      ...lifetimeOf(entry),
      ...(version !== undefined && { version }),
      ...(digest !== undefined && { digest })
    }
    identities.set(id, { value, at: ["auth", "identities", id] })
  }
  for (const [index, entry] of auth.tokens.entries()) {
    if (entry.token === "") {
      warn(`auth.tokens: ${entry.id} has no token and is left out`)
      continue
    }
    let id = entry.id
    for (let n = 2; identities.has(id) || others.has(id); n++) id = `${entry.id}-${n}`
    if (id !== entry.id) warn(`auth.tokens: a second identity is called ${entry.id}; it is known as ${id} here`)
    const token = Redacted.make(entry.token)
    const prefix = prefixOf(token)
    const value = { id, role: roleOf(entry.hubRole), tokenHash: hashOf(token), prefix, ...lifetimeOf(entry) }
    identities.set(id, { value, at: ["auth", "tokens", index] })
  }
  return identities
}

const deployedGrants = (entry: MachineEntry) => {
  const grants: Array<{ permission: MachinePermission; token: string; services?: ReadonlyArray<string> }> = []
  if (entry.registerToken) grants.push({ permission: "register", token: entry.registerToken })
  for (const grant of entry.connectTokens ?? []) {
    const { token, services } = typeof grant === "string" ? { token: grant, services: undefined } : grant
    const limited = services !== undefined && services.length > 0
    grants.push({ permission: "connect", token, ...(limited && { services: services.map(namedInGrant) }) })
  }
  for (const token of entry.manageTokens ?? []) grants.push({ permission: "manage", token })
  return grants
}

const isDeployed = (entry: MachineEntry): boolean =>
  entry.registerToken !== undefined || entry.connectTokens !== undefined || entry.manageTokens !== undefined

type Building = Record<MachinePermission, Map<string, Array<Grant>>>

const building = (from: MachineGrants | undefined): Building => {
  const copy = (permission: MachinePermission) => {
    const made = new Map<string, Array<Grant>>()
    for (const [id, grants] of from?.[permission] ?? []) made.set(id, [...grants])
    return made
  }
  return { register: copy("register"), connect: copy("connect"), manage: copy("manage") }
}

const give = (to: Building, permission: MachinePermission, grant: Grant) => {
  const held = to[permission].get(grant.id)
  if (held === undefined) to[permission].set(grant.id, [grant])
  else held.push(grant)
}

/** Reads identities and grants out of the block. */
export const interpret = (auth: Auth, others: Others): Interpreted => {
  const warnings: Array<string> = []
  const warn = (text: string) => void warnings.push(text)
  const identities = readIdentities(auth, others, warn)
  const byHash = new Map<string, string>()
  for (const [id, { value }] of identities) {
    const other = byHash.get(value.tokenHash) ?? others.holderOf(value.tokenHash)
    if (other !== undefined) warn(`auth: ${other} and ${id} have the same token; it counts as ${id}'s`)
    byHash.set(value.tokenHash, id)
  }

  let deployed = auth.tokens.length > 0
  const machines = new Map<string, Placed<Building>>()
  for (const [machine, entry] of Object.entries(auth.machines)) {
    const made = building(undefined)
    machines.set(machine, { value: made, at: ["auth", "machines", machine] })
    if (entry === null) continue
    for (const permission of machinePermissions) {
      for (const { expiresAt, id, services } of entry[permission] ?? []) {
        give(made, permission, {
          id,
          ...(services !== undefined && { services: services.map(namedInGrant) }),
          ...(expiresAt !== undefined && { expiresAt })
        })
      }
    }
    for (const { permission, services, token } of deployedGrants(entry)) {
      const hash = hashOf(Redacted.make(token))
      const id = byHash.get(hash) ?? others.holderOf(hash)
      if (id === undefined) warn(`auth.machines.${machine}: a ${permission} token belongs to no identity`)
      else give(made, permission, { id, ...(services !== undefined && { services }) })
    }
    if (!isDeployed(entry)) continue
    deployed = true
    if (machine !== ANY_MACHINE && made.register.size === 0) {
      warn(
        `auth.machines.${machine}: nobody is named who may register it, so only owners and admins may (earlier hubs let ` +
          `every token); to name one, run: tela admin access grant <id> ${Quote.word(machine)} register`
      )
    }
  }
  // The deployed hub's viewers see every machine without a grant.
  const viewers = [...identities].filter(
    ([id, { value }]) => value.role === "viewer" && !Object.hasOwn(auth.identities, id)
  )
  if (viewers.length > 0) {
    const every = machines.get(ANY_MACHINE) ?? { value: building(others.grantsOn(ANY_MACHINE)), at: undefined }
    machines.set(ANY_MACHINE, every)
    for (const [id] of viewers) give(every.value, "connect", { id })
  }
  return { identities, machines, warnings, deployed }
}
