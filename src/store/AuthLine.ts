/**
 * One entry of the `auth:` block as one line: `    alice: {"role":"user",...}`. What our programs write is JSON, which is
 * YAML too, and is read here without the yaml package; a line that a person wrote otherwise is left to it.
 */
import * as Crypto from "node:crypto"
import { PREFIX_CHARS } from "../crypto/Token.ts"
import { machinePermissions, noGrants, roleOf } from "../policy/Identity.ts"
import type {
  Grant,
  GrantEntry,
  Identity,
  MachineGrants,
  MachinePermission,
  StoredIdentity
} from "../policy/Identity.ts"
import { COUNT_MAX } from "../protocol/Limits.ts"

/** The two lists of the block. */
export type SectionName = "identities" | "machines"

/** An identity as the file has it. */
export interface WrittenIdentity extends StoredIdentity {
  /** Of the identity and its grants as they were when a program of ours wrote the line ({@link digestOf}). */
  readonly digest?: string
}

/** A line in its parts: what it is called, the flow map, and a comment behind it with the space before it. */
export interface Line {
  readonly key: string
  readonly body: string
  readonly trail: string
}

const HASH_PREFIX = "sha256:"
const INDENT = "    "

/** A key that every reader of YAML takes for the text it is. */
const plainKey = /^[A-Za-z_][\w.@-]*$/
const reserved = /^(?:null|true|false|yes|no|on|off|y|n)$/i

const isPlain = (key: string): boolean => plainKey.test(key) && !reserved.test(key)

/** The whole line, with its newline. */
export const format = ({ body, key, trail }: Line): string =>
  `${INDENT}${isPlain(key) ? key : JSON.stringify(key)}: ${body}${trail}\n`

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const keyOf = (written: string): string | undefined => {
  if (!written.startsWith('"')) return isPlain(written) ? written : undefined
  const key = parseJson(written)
  return typeof key === "string" && key !== "" && key !== "__proto__" ? key : undefined
}

/** What stands before the flow map. A quoted key may hold anything, a colon and a brace too. */
const beforeBody = /^ {4}("(?:[^"\\]|\\.)*"|[\w.@-]+): (?=\{)/

/** Takes a line apart; undefined when it is none of ours. */
export const parse = (line: string): Line | undefined => {
  const [before = "", written] = beforeBody.exec(line) ?? []
  if (written === undefined) return undefined
  const key = keyOf(written)
  if (key === undefined) return undefined
  const end = line.endsWith("}") ? line.length - 1 : line.lastIndexOf("}")
  const trail = line.slice(end + 1)
  if (trail !== "" && !/^\s+#/.test(trail)) return undefined
  return { key, body: line.slice(before.length, end + 1), trail }
}

const withoutSpace = (text: string): string => text.replace(/\s+/g, "")

/** Reads a flow map; undefined for one that says something twice, which the JSON parser would not tell. */
const readBody = (body: string): unknown => {
  const value = parseJson(body)
  if (value === undefined) return undefined
  const written = JSON.stringify(value)
  return written === body || withoutSpace(written) === withoutSpace(body) ? value : undefined
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isText = (value: unknown): value is string => typeof value === "string"

/** Milliseconds of a time; null when it is none. */
const instantOf = (value: unknown): number | undefined | null => {
  if (value === undefined) return undefined
  const at = isText(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(at) ? null : at
}

const knows = (value: Record<string, unknown>, keys: ReadonlySet<string>): boolean => {
  for (const key in value) if (!keys.has(key)) return false
  return true
}

const identityKeys = new Set(["role", "token", "prefix", "issuedAt", "expiresAt", "revokedAt", "version", "digest"])
const roles = new Set<unknown>(["owner", "admin", "user", "viewer", ""])
const tokenHash = /^sha256:[0-9a-f]{64}$/

/** Reads the flow map of an identity; undefined when it is not exactly what our programs write. */
export const readIdentity = (id: string, body: string): WrittenIdentity | undefined => {
  const value = readBody(body)
  if (!isRecord(value) || !knows(value, identityKeys)) return undefined
  const { digest, prefix = "", role, token, version } = value
  const issuedAt = instantOf(value["issuedAt"])
  const expiresAt = instantOf(value["expiresAt"])
  const revokedAt = instantOf(value["revokedAt"])
  if (!isText(role) || !roles.has(role) || !isText(token) || !tokenHash.test(token)) return undefined
  if (!isText(prefix) || prefix.length > PREFIX_CHARS) return undefined
  if (issuedAt === null || expiresAt === null || revokedAt === null) return undefined
  if (
    version !== undefined &&
    !(typeof version === "number" && Number.isInteger(version) && version > 0 && version <= COUNT_MAX)
  ) {
    return undefined
  }
  if (digest !== undefined && !isText(digest)) return undefined
  return {
    id,
    role: roleOf(role),
    tokenHash: token.slice(HASH_PREFIX.length),
    prefix,
    ...(issuedAt !== undefined && { issuedAt }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(revokedAt !== undefined && { revokedAt }),
    ...(version !== undefined && { version }),
    ...(digest !== undefined && { digest })
  }
}

const machineKeys = new Set<string>(machinePermissions)
const grantKeys = new Set(["id", "services", "expiresAt"])

const readGrant = (value: unknown): Grant | undefined => {
  if (!isRecord(value) || !knows(value, grantKeys)) return undefined
  const { id, services } = value
  const expiresAt = instantOf(value["expiresAt"])
  if (!isText(id) || id === "" || expiresAt === null) return undefined
  if (services === undefined) return expiresAt === undefined ? { id } : { id, expiresAt }
  if (!Array.isArray(services) || services.length === 0) return undefined
  const names = services.filter(isText)
  // `port-3000`, and names with space around them, are for the reader of what people write.
  if (
    names.length !== services.length ||
    names.some((name) => name.trim() !== name || !/^(?!port-\d+$)./i.test(name))
  ) {
    return undefined
  }
  return { id, services: names, ...(expiresAt !== undefined && { expiresAt }) }
}

/** Reads the flow map of a machine; undefined when it is not exactly what our programs write. */
export const readMachine = (body: string): MachineGrants | undefined => {
  const value = readBody(body)
  if (!isRecord(value) || !knows(value, machineKeys)) return undefined
  const made: Record<MachinePermission, ReadonlyMap<string, ReadonlyArray<Grant>>> = { ...noGrants }
  for (const permission of machinePermissions) {
    const items = value[permission]
    if (items === undefined) continue
    if (!Array.isArray(items)) return undefined
    const holders = new Map<string, Array<Grant>>()
    for (const item of items) {
      const grant = readGrant(item)
      if (grant === undefined) return undefined
      const held = holders.get(grant.id)
      if (held === undefined) holders.set(grant.id, [grant])
      else held.push(grant)
    }
    made[permission] = holders
  }
  return made
}

const written = (at: number): string => new Date(at).toISOString()

/** The flow map of an identity. */
export const writeIdentity = (identity: WrittenIdentity): string => {
  const { digest, expiresAt, issuedAt, prefix, revokedAt, role, tokenHash, version } = identity
  return JSON.stringify({
    role,
    token: `${HASH_PREFIX}${tokenHash}`,
    prefix,
    ...(issuedAt !== undefined && { issuedAt: written(issuedAt) }),
    ...(expiresAt !== undefined && { expiresAt: written(expiresAt) }),
    ...(revokedAt !== undefined && { revokedAt: written(revokedAt) }),
    ...(version !== undefined && { version }),
    ...(digest !== undefined && { digest })
  })
}

/** The flow map of a machine. */
export const writeMachine = (grants: MachineGrants): string =>
  JSON.stringify(
    Object.fromEntries(
      machinePermissions.flatMap((permission) => {
        const items = [...grants[permission].values()].flat()
        return items.length === 0
          ? []
          : [
              [
                permission,
                items.map(({ expiresAt, id, services }) => ({
                  id,
                  ...(services !== undefined && { services }),
                  ...(expiresAt !== undefined && { expiresAt: written(expiresAt) })
                }))
              ]
            ]
      })
    )
  )

/**
 * Twelve characters that tell whether an identity and its grants are as our programs left them. They keep nobody from
 * anything: whoever can write the file can write this too.
 */
export const digestOf = (identity: Identity, grants: ReadonlyArray<GrantEntry>): string => {
  const { expiresAt, id, issuedAt, prefix, revokedAt, role, tokenHash, version } = identity
  const members = [id, role, tokenHash, prefix, issuedAt, expiresAt, revokedAt, version]
  const held = grants.map((grant) => [grant.machine, grant.permission, grant.services, grant.expiresAt])
  return Crypto.createHash("sha256")
    .update(JSON.stringify([members, held]))
    .digest("base64url")
    .slice(0, 12)
}
