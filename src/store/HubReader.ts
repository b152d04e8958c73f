/**
 * Reads telahubd.yaml: settings, and what its `auth:` block has that is not known yet. Entries in our form are read by
 * {@link AuthScan}; everything else by the yaml package, with the meaning that {@link HubAuth} gives it.
 */
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import { grantsOn, holderOf, machinePermissions } from "../policy/Identity.ts"
import type { MachineGrants, Snapshot } from "../policy/Identity.ts"
import { didYouMean } from "../protocol/Nearest.ts"
import { isRange } from "../transport/ClientAddress.ts"
import * as AuthForm from "./AuthForm.ts"
import type { WrittenIdentity } from "./AuthLine.ts"
import * as AuthScan from "./AuthScan.ts"
import type { Found, Scanned } from "./AuthScan.ts"
import * as AuthText from "./AuthText.ts"
import { interpret } from "./HubAuth.ts"
import type { Interpreted, Placed } from "./HubAuth.ts"
import { FileShape, notServed, settingsOf } from "./HubSettings.ts"
import type { FileSettings } from "./HubSettings.ts"
import * as YamlFile from "./YamlFile.ts"

/** What is known already: a text, and what its entries mean. */
export interface Known {
  readonly text: AuthText.AuthText
  readonly snapshot: Snapshot
}

/** What a file has. */
export interface Reading {
  readonly settings: FileSettings
  /** For the log, one line each. */
  readonly warnings: ReadonlyArray<string>
  /** The file in our form. An entry that stands in another form has an empty body, or none yet. */
  readonly text: AuthText.AuthText
  /** Everybody in the file. */
  readonly ids: ReadonlySet<string>
  /** What differs from what is known. */
  readonly identities: ReadonlyMap<string, Found<WrittenIdentity>>
  readonly machines: ReadonlyMap<string, Found<MachineGrants>>
  /** Entries whose lines do not say what they mean yet, because they stand in another form. */
  readonly oddIdentities: ReadonlyArray<string>
  readonly oddMachines: ReadonlyArray<string>
  /** What is known and not in the file. */
  readonly goneIdentities: ReadonlyArray<string>
  readonly goneMachines: ReadonlyArray<string>
  /** Whether some of it is in the deployed hub's form. */
  readonly deployed: boolean
  /** Whether the text is more than the file's own with entries exchanged, so that it must be tried before it is written. */
  readonly converted: boolean
  /** Whether the file has nothing but comments. */
  readonly empty: boolean
}

type Decoded = YamlFile.Loaded<typeof FileShape.Type>

const noAuth = { revision: 0, tokens: [], identities: {}, machines: {} }

/** What the entries in other forms mean, among those in ours. */
const meaning = (decoded: Decoded, scanned: Scanned, known: Known): Interpreted => {
  const inText = scanned.named.identities
  let holders: ReadonlyMap<string, string> | undefined
  /** Who has which token among what was read; asked only for entries in other forms, of which there are mostly none. */
  const changedHolders = () =>
    (holders ??= new Map([...scanned.changedIdentities].map(([id, { value }]) => [value.tokenHash, id] as const)))
  return interpret(decoded.value.auth ?? noAuth, {
    has: (id) => inText.has(id),
    holderOf: (hash) => {
      const changed = changedHolders().get(hash)
      if (changed !== undefined) return changed
      const holder = holderOf(known.snapshot, hash)?.id
      return holder !== undefined && inText.has(holder) && !scanned.changedIdentities.has(holder) ? holder : undefined
    },
    grantsOn: (machine) => scanned.changedMachines.get(machine)?.value ?? grantsOn(known.snapshot, machine)
  })
}

/** Names that are said to be nobody's, each with the nearest one; looking for that takes its time. */
const SHOWN_DOUBTS = 10

/** Grants of nobody, and tokens of two. */
const doubtsOf = (
  ids: ReadonlySet<string>,
  identities: Scanned["changedIdentities"],
  machines: Scanned["changedMachines"]
): ReadonlyArray<string> => {
  const doubts: Array<string> = []
  const nobodies = new Map<string, string>()
  for (const [machine, { value }] of machines) {
    for (const permission of machinePermissions) {
      value[permission].forEach((_, id) => {
        if (!ids.has(id) && !nobodies.has(id)) nobodies.set(id, machine)
      })
    }
  }
  for (const [id, machine] of [...nobodies].slice(0, SHOWN_DOUBTS)) {
    doubts.push(`auth.machines.${machine}: nobody is called ${id}${didYouMean(id, ids)}`)
  }
  if (nobodies.size > SHOWN_DOUBTS)
    doubts.push(`auth.machines: ${nobodies.size - SHOWN_DOUBTS} more names are nobody's`)
  const holders = new Map<string, string>()
  for (const [id, { value }] of identities) {
    const other = holders.get(value.tokenHash)
    if (other !== undefined) doubts.push(`auth: ${other} and ${id} have the same token; it counts as ${id}'s`)
    holders.set(value.tokenHash, id)
  }
  return doubts
}

/** Entries of one list in other forms, with the lines where they stand; what stands nowhere comes last. */
const oddOf = <A>(placed: ReadonlyMap<string, Placed<A>>, problemAt: Decoded["problemAt"]) =>
  [...placed].map(([key, { at, value }]) => ({
    key,
    value,
    line: at === undefined ? Number.MAX_SAFE_INTEGER : (problemAt(at, "").line ?? 0)
  }))

type Odd<A> = ReadonlyArray<Found<A> & { readonly key: string }>

/** What is in our form and what is not; most files have thousands of the one and nothing of the other. */
const withOdd = <A>(changed: ReadonlyMap<string, Found<A>>, odd: Odd<A>): ReadonlyMap<string, Found<A>> =>
  odd.length === 0 ? changed : new Map([...changed, ...odd.map((each) => [each.key, each] as const)])

const withKeys = (named: ReadonlySet<string>, odd: Odd<unknown>): ReadonlySet<string> =>
  odd.length === 0 ? named : new Set([...named, ...odd.map(({ key }) => key)])

/** Reads the text of a file; `path` names it in messages. */
export const read = (path: string, content: string, known: Known): Effect.Effect<Reading, YamlFile.YamlFileError> =>
  Effect.gen(function* () {
    const scanned = yield* AuthScan.scan(content, known.text)
    const decoded = yield* YamlFile.decode(path, scanned.rest, {
      schema: FileShape,
      notServed,
      lines: scanned.restLines
    })
    const { problemAt, value } = decoded
    for (const [index, range] of value.trustedProxies.entries()) {
      if (isRange(range)) continue
      const expected = "expected an address or a range such as 10.0.0.0/8"
      return yield* problemAt(["trustedProxies", index], `trustedProxies[${index}]: ${expected}`)
    }
    const meant = meaning(decoded, scanned, known)
    const identities = oddOf(meant.identities, problemAt)
    const machines = oddOf(meant.machines, problemAt)
    const { named } = scanned
    // A viewer's grant on every machine stands nowhere; the line that will have it may be there already.
    const ownLines = machines.filter(({ key, line }) => line < Number.MAX_SAFE_INTEGER || !named.machines.has(key))
    const twice =
      scanned.duplicate ??
      identities.find(({ key }) => named.identities.has(key)) ??
      ownLines.find(({ key }) => named.machines.has(key))
    if (twice !== undefined) {
      const { key, line } = twice
      return yield* new YamlFile.YamlFileError({ file: path, line, column: 5, problem: `${key} stands here twice` })
    }
    const text = AuthForm.make(content, scanned, {
      revision: value.auth?.revision ?? 0,
      hasAuth: value.auth !== undefined,
      identities,
      machines: ownLines
    })
    const found = {
      identities: withOdd(scanned.changedIdentities, identities),
      machines: withOdd(scanned.changedMachines, machines)
    }
    const ids = withKeys(named.identities, identities)
    const onMachines = withKeys(named.machines, ownLines)
    const settings = settingsOf(path, value)
    const noId = `no hubId, so each start makes one up; to keep one, add the line: hubId: ${Crypto.randomUUID()}`
    const strangers = [...settings.limits.identities.keys()].filter((id) => !ids.has(id)).slice(0, SHOWN_DOUBTS)
    const own = [
      ...(settings.hubId === undefined && known.text.parts.length === 0 ? [noId] : []),
      ...meant.warnings,
      ...doubtsOf(ids, scanned.changedIdentities, found.machines),
      ...strangers.map((id) => `limits.identities: nobody is called ${id}${didYouMean(id, ids)}`)
    ]
    return {
      settings,
      warnings: [...decoded.warnings, ...own.map((sentence) => `${path}: ${sentence}`)],
      text,
      ids,
      ...found,
      oddIdentities: identities.map(({ key }) => key),
      oddMachines: machines.map(({ key }) => key),
      goneIdentities: AuthText.keysNotIn(known.text, "identities", ids),
      goneMachines: AuthText.keysNotIn(known.text, "machines", onMachines),
      deployed: meant.deployed,
      converted: scanned.odd || (scanned.blockEnd === undefined && value.auth !== undefined),
      empty: ids.size === 0 && Object.values(value).every((each) => each === undefined || isEmptyList(each))
    }
  })

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0
