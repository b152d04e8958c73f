/**
 * What becomes of an edit of telahubd.yaml that others made: merged entry by entry, identities by id and grants by machine,
 * permission and id, against the state that the edit was based on. Where both sides changed an entry, the acknowledged
 * change wins, so that an old copy of the file never brings back what was taken away. Pure.
 */
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

/** What the edit was based on, as far as is known. */
interface Base {
  readonly identity: (id: string, file: WrittenIdentity | undefined) => Verdict
  readonly grants: (machine: string, permission: MachinePermission, id: string, file: Held) => Verdict
}

const knownBase = (base: Snapshot, current: Snapshot): Base => {
  const verdict = (same: { readonly file: boolean; readonly current: boolean }): Verdict =>
    same.file ? "stale" : same.current ? "meant" : "both"
  return {
    identity: (id, file) => {
      const was = identityOf(base, id)
      return verdict({ file: sameIdentity(file, was), current: sameIdentity(identityOf(current, id), was) })
    },
    grants: (machine, permission, id, file) => {
      const was = grantsOn(base, machine)?.[permission].get(id)
      const is = grantsOn(current, machine)?.[permission].get(id)
      return verdict({ file: sameGrants(file, was), current: sameGrants(is, was) })
    }
  }
}

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
 * The base of a revision that is no longer known: an entry counts as it was if the file has the version in force, and as
 * old if its digest says that nobody touched it. Nothing that is missing in the file goes.
 */
const guessedBase = (edit: Edit): Base => {
  const { current, reading } = edit
  const gone = new Set(reading.goneIdentities)
  const inFile = grantsInFile(edit)
  // An edit of a file that had no versions yet says of nothing that it is new.
  const isBare = [...reading.identities].some(
    ([id, { value }]) => value.version === undefined && identityOf(current, id) !== undefined
  )
  const verdicts = new Map<string, Verdict>()
  const judge = (id: string): Verdict => {
    const is = identityOf(current, id)
    const file = reading.identities.get(id)?.value ?? (gone.has(id) ? undefined : is)
    if (file === undefined) return is === undefined ? "meant" : "both"
    if (is !== undefined && file.version === is.version) return "meant"
    if (is === undefined && file.version === undefined) return isBare ? "both" : "meant"
    return isUntouched(file, inFile(id)) ? "stale" : "both"
  }
  const verdictOf = (id: string): Verdict => {
    const verdict = verdicts.get(id) ?? judge(id)
    verdicts.set(id, verdict)
    return verdict
  }
  return { identity: verdictOf, grants: (_machine, _permission, id) => verdictOf(id) }
}

const idsOf = (a: MachineGrants | undefined, b: MachineGrants | undefined, permission: MachinePermission) =>
  new Set([...(a?.[permission].keys() ?? []), ...(b?.[permission].keys() ?? [])])

/** Merges an edit. */
export const merge = (edit: Edit): Merged => {
  const { current, path, reading } = edit
  const base = edit.base === undefined ? guessedBase(edit) : knownBase(edit.base, current)
  const isNewer = reading.text.revision > current.revision
  const rewritten = { identities: new Set(reading.oddIdentities), machines: new Set(reading.oddMachines) }
  const lost = new Map<string, string>()
  const taken = new Map<string, number | undefined>()
  const lineOf = (id: string): number | undefined => reading.identities.get(id)?.line
  const lose = (id: string, line: number | undefined, what: string) => {
    const place = line === undefined || line === Number.MAX_SAFE_INTEGER ? path : `${path}:${line}`
    if (lost.has(id)) return
    lost.set(
      id,
      `${place}: this edit of ${what} was not taken: it was made to revision ${reading.text.revision}, and ${id} has ` +
        `changed since; what is in force is written back`
    )
  }

  const identities = new Map<string, StoredIdentity | undefined>()
  for (const id of [...reading.identities.keys(), ...reading.goneIdentities]) {
    const file = reading.identities.get(id)?.value
    if (sameIdentity(file, identityOf(current, id))) continue
    const verdict = base.identity(id, file)
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
        if (sameGrants(file, is?.[permission].get(id))) continue
        const verdict = base.grants(machine, permission, id, file)
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
  const note = (id: string, how: "hand" | "tool", line: number | undefined) => {
    const place = line === undefined || line === Number.MAX_SAFE_INTEGER ? path : `${path}:${line}`
    const by = how === "hand" ? "was edited by hand" : "was changed by `telahubd user`"
    changes.push({ id, how, text: `${place}: ${id} ${by}` })
  }
  const versions = new Map<string, Identity>()
  for (const id of new Set([...taken.keys(), ...reading.identities.keys()])) {
    const now = identityOf(snapshot, id)
    const file = reading.identities.get(id)?.value
    if (now === undefined) {
      if (taken.has(id)) note(id, isNewer ? "tool" : "hand", taken.get(id))
      continue
    }
    const fits = file !== undefined && isUntouched({ ...now, ...versionOf(file) }, grantsOf(snapshot, id))
    if (taken.has(id)) {
      const version = fits
        ? (file.version ?? 1)
        : Math.max(identityOf(current, id)?.version ?? 0, file?.version ?? 0) + 1
      if (version !== now.version) versions.set(id, { ...now, version })
      if (!fits) rewritten.identities.add(id)
      note(id, fits && isNewer ? "tool" : "hand", taken.get(id))
    } else if (!fits || file.version !== now.version) rewritten.identities.add(id)
  }
  if (versions.size > 0) snapshot = Snapshots.apply(snapshot, { revision, identities: versions, machines: new Map() })
  for (const [id, text] of lost) changes.push({ id, how: "lost", text })
  return { snapshot, changes, ...rewritten, bare: [] }
}

const withoutDigest = (written: WrittenIdentity): StoredIdentity => {
  const { digest: _, ...identity } = written
  return identity
}

const versionOf = ({ digest, version }: WrittenIdentity) => ({
  ...(digest !== undefined && { digest }),
  ...(version !== undefined && { version })
})
