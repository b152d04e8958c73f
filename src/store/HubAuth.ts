/**
 * The `auth:` block of telahubd.yaml, in both its forms: the deployed hub's lists of plain tokens (spec: hub-api 3.1), and
 * ours, which names identities and keeps digests. Both may stand in one file. Either way only digests leave this module.
 */
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { hashOf, PREFIX_CHARS, prefixOf } from "../crypto/Token.ts"
import { ANY_MACHINE, machinePermissions, makeSnapshot, roleOf } from "../policy/Identity.ts"
import type { GrantEntry, MachinePermission, Snapshot, StoredIdentity } from "../policy/Identity.ts"
import { didYouMean } from "../protocol/Nearest.ts"
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
  ...lifetime
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
  revision: optionalOr(Schema.NonNegativeInt, 0),
  tokens: optionalOr(Schema.Array(DeployedToken), []),
  identities: optionalOr(Schema.Record({ key: Schema.NonEmptyString, value: IdentityEntry }), {}),
  machines: optionalOr(Schema.Record({ key: Schema.NonEmptyString, value: Schema.NullOr(MachineEntry) }), {})
})
export type Auth = typeof Auth.Type

/** What the block means, and what a person should know about it. */
export interface Interpreted {
  readonly snapshot: Snapshot
  readonly warnings: ReadonlyArray<string>
}

const lifetimeOf = (entry: { readonly [Key in keyof typeof lifetime]?: number | undefined }) => ({
  ...(entry.issuedAt !== undefined && { issuedAt: entry.issuedAt }),
  ...(entry.expiresAt !== undefined && { expiresAt: entry.expiresAt }),
  ...(entry.revokedAt !== undefined && { revokedAt: entry.revokedAt })
})

/** `port-3000` is how the deployed documentation writes a service without a name; here a number names it. */
const serviceName = (name: string): string => /^port-(\d+)$/i.exec(name)?.[1] ?? name

/** Identities of both forms. The deployed hub allowed two tokens under one label; the later one gets a label of its own. */
const readIdentities = (auth: Auth, warn: (text: string) => void): ReadonlyArray<StoredIdentity> => {
  const identities = new Map<string, StoredIdentity>()
  for (const [id, entry] of Object.entries(auth.identities)) {
    const tokenHash = entry.token.slice(HASH_PREFIX.length)
    identities.set(id, { id, role: roleOf(entry.role), tokenHash, prefix: entry.prefix ?? "", ...lifetimeOf(entry) })
  }
  for (const entry of auth.tokens) {
    if (entry.token === "") {
      warn(`auth.tokens: ${entry.id} has no token and is left out`)
      continue
    }
    let id = entry.id
    for (let n = 2; identities.has(id); n++) id = `${entry.id}-${n}`
    if (id !== entry.id) warn(`auth.tokens: a second identity is called ${entry.id}; it is known as ${id} here`)
    const token = Redacted.make(entry.token)
    const prefix = prefixOf(token)
    identities.set(id, { id, role: roleOf(entry.hubRole), tokenHash: hashOf(token), prefix, ...lifetimeOf(entry) })
  }
  return [...identities.values()]
}

const deployedGrants = (entry: MachineEntry) => {
  const grants: Array<{ permission: MachinePermission; token: string; services?: ReadonlyArray<string> }> = []
  if (entry.registerToken) grants.push({ permission: "register", token: entry.registerToken })
  for (const grant of entry.connectTokens ?? []) {
    const { token, services } = typeof grant === "string" ? { token: grant, services: undefined } : grant
    const limited = services !== undefined && services.length > 0
    grants.push({ permission: "connect", token, ...(limited && { services: services.map(serviceName) }) })
  }
  for (const token of entry.manageTokens ?? []) grants.push({ permission: "manage", token })
  return grants
}

const isDeployed = (entry: MachineEntry): boolean =>
  entry.registerToken !== undefined || entry.connectTokens !== undefined || entry.manageTokens !== undefined

/** Reads identities and grants out of the block. */
export const interpret = (auth: Auth): Interpreted => {
  const warnings: Array<string> = []
  const warn = (text: string) => void warnings.push(text)
  const identities = readIdentities(auth, warn)
  const ids = new Set(identities.map((identity) => identity.id))
  const byHash = new Map<string, string>()
  for (const { id, tokenHash } of identities) {
    const other = byHash.get(tokenHash)
    if (other !== undefined) warn(`auth: ${other} and ${id} have the same token; it counts as ${id}'s`)
    byHash.set(tokenHash, id)
  }

  const grants: Array<GrantEntry> = []
  for (const [machine, entry] of Object.entries(auth.machines)) {
    if (entry === null) continue
    for (const permission of machinePermissions) {
      for (const { expiresAt, id, services } of entry[permission] ?? []) {
        if (!ids.has(id)) warn(`auth.machines.${machine}: nobody is called ${id}${didYouMean(id, ids)}`)
        grants.push({
          machine,
          permission,
          id,
          ...(services !== undefined && { services: services.map(serviceName) }),
          ...(expiresAt !== undefined && { expiresAt })
        })
      }
    }
    for (const { token, ...grant } of deployedGrants(entry)) {
      const id = byHash.get(hashOf(Redacted.make(token)))
      if (id === undefined) warn(`auth.machines.${machine}: a ${grant.permission} token belongs to no identity`)
      else grants.push({ machine, id, ...grant })
    }
    const mayRegister = grants.some((grant) => grant.machine === machine && grant.permission === "register")
    if (machine !== ANY_MACHINE && isDeployed(entry) && !mayRegister) {
      warn(
        `auth.machines.${machine}: nobody is named who may register it, so only owners and admins may (earlier hubs let ` +
          `every token); to name one, run: tela admin access grant <id> ${machine} register; in versions without \`tela admin\`, ` +
          "add `register: [{ id: <id> }]` under this machine"
      )
    }
  }
  // The deployed hub's viewers see every machine without a grant.
  for (const { id, role } of identities) {
    if (role === "viewer" && !Object.hasOwn(auth.identities, id))
      grants.push({ machine: ANY_MACHINE, permission: "connect", id })
  }
  return { snapshot: makeSnapshot(auth.revision, identities, grants), warnings }
}

/** One identity as a line of the block holds it. */
export const identityLine = (identity: StoredIdentity): string =>
  JSON.stringify({
    role: identity.role,
    token: `${HASH_PREFIX}${identity.tokenHash}`,
    prefix: identity.prefix,
    ...(identity.issuedAt !== undefined && { issuedAt: new Date(identity.issuedAt).toISOString() })
  })
