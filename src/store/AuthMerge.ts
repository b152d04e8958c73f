/**
 * What becomes of an edit of telahubd.yaml that others made: merged entry by entry, identities by id and grants by machine,
 * permission and id, against the state that the edit was based on. Where both sides changed an entry, the acknowledged
 * change wins, so that an old copy of the file never brings back what was taken away. Pure.
 */
import { following } from "../policy/Change.ts"
import { grantsOf, grantsOn, identityOf, machinePermissions, machinesOf } from "../policy/Identity.ts"
import type {
  Grant,
  GrantEntry,
  Identity,
  MachineGrants,
  MachinePermission,
  Snapshot,
  StoredIdentity
} from "../policy/Identity.ts"
import { digestOf } from "./AuthLine.ts"
import type { WrittenIdentity } from "./AuthLine.ts"
import type { Reading } from "./HubReader.ts"
import type { OutsideChange } from "./IdentityStore.ts"
import * as Snapshots from "./internal/snapshots.ts"

/** An edit, and what it is merged with. */
export interface Edit {
  readonly path: string
  readonly reading: Reading
  /** What is in force. */
  readonly current: Snapshot
  /** What was in force at the revision that the edit is based on; undefined when that is not known any more. */
  readonly base: Snapshot | undefined
  /** The version of a former identity of an id; 0 when there was none. */
  readonly lastVersion: (id: string) => number
}

/** What came of it. */
export interface Merged {
  /** Of the higher revision of the two. */
  readonly snapshot: Snapshot
  readonly changes: ReadonlyArray<OutsideChange>
  /** Entries of the file that do not say what the snapshot does. */
  readonly identities: ReadonlySet<string>
  readonly machines: ReadonlySet<string>
  /** Identities whose line says what it must, but has no version and no digest, as a person or an older program wrote it. */
  readonly bare: ReadonlyArray<string>
}

type Held = ReadonlyArray<Grant> | undefined

const sameIdentity = (a: WrittenIdentity | undefined, b: WrittenIdentity | undefined): boolean =>
  a === undefined || b === undefined
    ? a === b
    : a.role === b.role &&
      a.tokenHash === b.tokenHash &&
      a.prefix === b.prefix &&
      a.issuedAt === b.issuedAt &&
      a.expiresAt === b.expiresAt &&
      a.revokedAt === b.revokedAt

const textOf = (held: Held): string => JSON.stringify(held?.map(({ expiresAt, services }) => [expiresAt, services]))

const sameGrants = (a: Held, b: Held): boolean => {
  if (a === b) return true
  if (a === undefined || b === undefined || a.length !== b.length) return false
  return textOf(a) === textOf(b)
}

/** What an entry of an edit is: as it was when the edit began, newly meant, or changed on both sides. */
type Verdict = "stale" | "meant" | "both"

/** By what an entry says now, what it said when the edit began, and what is in force. */
const compare = <A>(file: A, was: A, is: A, same: (a: A, b: A) => boolean): Verdict =>
  same(file, was) ? "stale" : same(is, was) ? "meant" : "both"

/** What the edited file grants an identity, in the order of {@link grantsOf}. */
const grantsInFile = ({ current, reading }: Edit): ((id: string) => ReadonlyArray<GrantEntry>) => {
  const gone = new Set(reading.goneMachines)
  const changedOf = new Map<string, Set<string>>()
  for (const [machine, { value }] of reading.machines) {
    for (const permission of machinePermissions) {
      for (const id of value[permission].keys()) {
        const machines = changedOf.get(id)
        if (machines === undefined) changedOf.set(id, new Set([machine]))
        else machines.add(machine)
      }
    }
  }
  return (id) => {
    const unchanged = machinesOf(current, id).filter((name) => !reading.machines.has(name) && !gone.has(name))
    return [...unchanged, ...(changedOf.get(id) ?? [])].toSorted().flatMap((machine) => {
      const on = reading.machines.get(machine)?.value ?? grantsOn(current, machine)
      return machinePermissions.flatMap((permission) =>
        (on?.[permission].get(id) ?? []).map((grant) => ({ machine, permission, ...grant }))
      )
    })
  }
}

const isUntouched = (identity: WrittenIdentity, grants: ReadonlyArray<GrantEntry>): boolean =>
  identity.digest !== undefined &&
  identity.version !== undefined &&
  identity.digest === digestOf({ ...identity, version: identity.version }, grants)

/**
 * What to think of all that an edit says about an identity; undefined when each entry is to be compared with what it was
 * when the edit began. The revision of a file proves nothing, for a program of ours may have built on an old copy: an
 * entry is as new as the version in its line says, and the digest tells whether a person has touched it.
 */
const judgeOf = (edit: Edit): ((id: string) => Verdict | undefined) => {
  const { base, current, lastVersion, reading } = edit
  const gone = new Set(reading.goneIdentities)
  const inFile = grantsInFile(edit)
  const { revision } = reading.text
  // An edit of a file that had no versions yet says of nothing that it is new.
  const isBare = [...reading.identities].some(
    ([id, { value }]) => value.version === undefined && identityOf(current, id) !== undefined
  )
  const judge = (id: string): Verdict | undefined => {
    const is = identityOf(current, id)
    const was = base && identityOf(base, id)
    const file = reading.identities.get(id)?.value ?? (gone.has(id) ? undefined : is)
    if (file?.version === undefined) {
      // Of a base that is not known any more, nothing that is missing in the file goes.
      if (base !== undefined) return undefined
      return is !== undefined || (file !== undefined && isBare) ? "both" : "meant"
    }
    const last = is?.version ?? lastVersion(id)
    if (isUntouched(file, inFile(id))) {
      if (file.version > last && (is !== undefined || revision > current.revision)) return "meant"
      return revision < current.revision && file.version !== is?.version ? "stale" : "both"
    }
    if (was?.version === file.version) return undefined
    if (is === undefined) return base !== undefined && file.version > last ? "meant" : "both"
    return file.version >= last ? "meant" : "both"
  }
  const verdicts = new Map<string, Verdict | undefined>()
  return (id) => {
    if (!verdicts.has(id)) verdicts.set(id, judge(id))
    return verdicts.get(id)
  }
}

const idsOf = (a: MachineGrants | undefined, b: MachineGrants | undefined, permission: MachinePermission) =>
  new Set([...(a?.[permission].keys() ?? []), ...(b?.[permission].keys() ?? [])])

/** Merges an edit. */
export const merge = (edit: Edit): Merged => {
  const { current, lastVersion, path, reading } = edit
  const base = edit.base ?? Snapshots.empty
  const judge = judgeOf(edit)
  const rewritten = { identities: new Set(reading.oddIdentities), machines: new Set(reading.oddMachines) }
  const lost = new Map<string, string>()
  const taken = new Map<string, number | undefined>()
  const lineOf = (id: string): number | undefined => reading.identities.get(id)?.line
  const lose = (id: string, line: number | undefined, what: string) => {
    if (lost.has(id)) return
    const why =
      identityOf(current, id) === undefined && reading.identities.get(id)?.value.version !== undefined
        ? `${id} is gone since; for a new one of that name, leave version and digest out`
        : `it was made to revision ${reading.text.revision}, and ${id} has changed since`
    lost.set(id, `${placeOf(path, line)}: this edit of ${what} was not taken: ${why}; what is in force is written back`)
  }

  const identities = new Map<string, StoredIdentity | undefined>()
  for (const id of [...reading.identities.keys(), ...reading.goneIdentities]) {
    const file = reading.identities.get(id)?.value
    const is = identityOf(current, id)
    if (sameIdentity(file, is)) continue
    const verdict = judge(id) ?? compare(file, identityOf(base, id), is, sameIdentity)
    if (verdict === "meant") {
      identities.set(id, file && withoutDigest(file))
      taken.set(id, lineOf(id))
    } else {
      rewritten.identities.add(id)
      if (verdict === "both") lose(id, lineOf(id), id)
    }
  }

  const machines = new Map<string, MachineGrants>()
  for (const machine of [...reading.machines.keys(), ...reading.goneMachines]) {
    const found = reading.machines.get(machine)
    const is = grantsOn(current, machine)
    const made: Record<MachinePermission, ReadonlyMap<string, ReadonlyArray<Grant>>> = {
      register: is?.register ?? new Map(),
      connect: is?.connect ?? new Map(),
      manage: is?.manage ?? new Map()
    }
    for (const permission of machinePermissions) {
      let merged: Map<string, ReadonlyArray<Grant>> | undefined
      for (const id of idsOf(found?.value, is, permission)) {
        const file = found?.value[permission].get(id)
        const held = is?.[permission].get(id)
        if (sameGrants(file, held)) continue
        const verdict = judge(id) ?? compare(file, grantsOn(base, machine)?.[permission].get(id), held, sameGrants)
        if (verdict === "meant") {
          merged ??= new Map(is?.[permission])
          if (file === undefined) merged.delete(id)
          else merged.set(id, file)
          if (!taken.has(id)) taken.set(id, found?.line)
        } else {
          rewritten.machines.add(machine)
          if (verdict === "both") lose(id, found?.line, `what ${id} may do on ${machine}`)
        }
      }
      if (merged !== undefined) {
        made[permission] = merged
        machines.set(machine, made)
      }
    }
  }

  const revision = Math.max(current.revision, reading.text.revision)
  let snapshot = Snapshots.apply(current, { revision, identities, machines })

  const changes: Array<OutsideChange> = []
  // `telahubd user` changes one identity at a time and records that; what else such a file has is somebody's edit.
  const isTool = taken.size <= reading.text.revision - current.revision
  const note = (id: string, how: "hand" | "tool", line: number | undefined) => {
    const by = how === "hand" ? "was edited by hand" : "was changed by `telahubd user`"
    changes.push({ id, how, text: `${placeOf(path, line)}: ${id} ${by}` })
  }
  const versions = new Map<string, Identity>()
  for (const id of new Set([...taken.keys(), ...reading.identities.keys()])) {
    const now = identityOf(snapshot, id)
    const file = reading.identities.get(id)?.value
    if (now === undefined) {
      if (taken.has(id)) note(id, isTool ? "tool" : "hand", taken.get(id))
      continue
    }
    const fits = file !== undefined && isUntouched({ ...now, ...versionOf(file) }, grantsOf(snapshot, id))
    if (taken.has(id)) {
      const version = fits
        ? (file.version ?? 1)
        : following(Math.max(identityOf(current, id)?.version ?? lastVersion(id), file?.version ?? 0))
      if (version !== now.version) versions.set(id, { ...now, version })
      if (!fits) rewritten.identities.add(id)
      note(id, fits && isTool ? "tool" : "hand", taken.get(id))
    } else if (!fits || file.version !== now.version) rewritten.identities.add(id)
  }
  if (versions.size > 0) snapshot = Snapshots.apply(snapshot, { revision, identities: versions, machines: new Map() })
  for (const [id, text] of lost) changes.push({ id, how: "lost", text })
  return { snapshot, changes, ...rewritten, bare: [] }
}

const placeOf = (path: string, line: number | undefined): string =>
  line === undefined || line === Number.MAX_SAFE_INTEGER ? path : `${path}:${line}`

const withoutDigest = (written: WrittenIdentity): StoredIdentity => {
  const { digest: _, ...identity } = written
  return identity
}

const versionOf = ({ digest, version }: WrittenIdentity) => ({
  ...(digest !== undefined && { digest }),
  ...(version !== undefined && { version })
})
