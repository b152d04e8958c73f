/**
 * What makes an agent's service out of an agent that somebody runs: its configuration, its key, so that clients meet the
 * one they know, its ids, and the token that it has from a credential store.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as Redacted from "effect/Redacted"
import * as KeyPair from "../../crypto/KeyPair.ts"
import { AGENT_DRAIN } from "../../protocol/Limits.ts"
import * as AgentFile from "../../store/AgentFile.ts"
import * as AgentState from "../../store/AgentState.ts"
import * as Credentials from "../../store/Credentials.ts"
import type { CredentialStores } from "../../store/CredentialStores.ts"
import * as KeyFile from "../../store/KeyFile.ts"
import * as Paths from "../../store/Paths.ts"
import type { Place } from "./Place.ts"
import * as Placing from "./Placing.ts"
import { copyOf, isSame, type Plan, realpath, type Step } from "./Plan.ts"
import { ServiceError } from "./ServiceError.ts"

/** The agent that is to become a service. */
export interface AgentSource {
  /** Its configuration: a file, or what flags say, and the text of a file that says the same. */
  readonly config:
    | { readonly _tag: "File"; readonly file: string }
    | { readonly _tag: "Flags"; readonly text: string; readonly config: AgentFile.AgentConfig }
  /** The folder of its key and ids. */
  readonly folder: string
}

export interface AgentPlanOptions {
  /** Undefined: what is installed stays. */
  readonly source: AgentSource | undefined
  readonly place: Place
  /** Whether the service sees the stores of whoever installs it, as one of the same user does. */
  readonly seesStores: boolean
  readonly stores: CredentialStores
  /** TELA_TOKEN, which the service will not have. */
  readonly variable: Redacted.Redacted | undefined
}

const say = ({ message }: { readonly message: string }) => new ServiceError({ problem: message })

const configStep = (source: AgentSource | undefined, place: Place): Effect.Effect<Step, ServiceError> =>
  Effect.gen(function* () {
    const { configFile: file } = place
    const step = { what: "configuration", file }
    const there = yield* Placing.exists(file)
    if (source === undefined) return { ...step, how: "stays as it is" }
    const keepAs = there ? `${file}.previous` : undefined
    const before = keepAs === undefined ? "" : `; the one before is ${Path.basename(keepAs)}`
    if (source.config._tag === "Flags") {
      const { text } = source.config
      const now = yield* Placing.unlessMissing(file, () => Fs.readFile(file, "utf8"))
      if (now === text) return { ...step, how: "unchanged" }
      const make = (staged: string) => Placing.attempt(staged, () => Fs.writeFile(staged, text, { mode: 0o600 }))
      return { ...step, how: `made from flags${before}`, make, ...(keepAs && { keepAs }) }
    }
    const given = source.config.file
    if (there && ((yield* realpath(given)) === (yield* realpath(file)) || (yield* isSame(given, file)))) {
      return { ...step, how: "unchanged" }
    }
    return { ...step, how: `copied from ${given}${before}`, make: copyOf(given), ...(keepAs && { keepAs }) }
  })

/** The configuration as the service will read it: without anybody's variables. */
const readConfig = (
  source: AgentSource | undefined,
  place: Place
): Effect.Effect<AgentFile.AgentConfig, ServiceError> => {
  if (source?.config._tag === "Flags") return Effect.succeed(source.config.config)
  return Effect.mapBoth(AgentFile.load(source?.config.file ?? place.configFile, {}), {
    onSuccess: ({ config }) => config,
    onFailure: say
  })
}

const loadKey = (file: string): Effect.Effect<KeyPair.KeyPair | undefined, ServiceError> =>
  Effect.flatMap(Placing.exists(file), (there) =>
    there ? Effect.mapError(KeyFile.load(file), say) : Effect.succeed(undefined)
  )

/** A key that is there is never replaced: clients know the machine by it. */
const keyStep = (source: AgentSource | undefined, place: Place) =>
  Effect.gen(function* () {
    const file = Paths.agentKeyFile(place.folder)
    const given = source && Paths.agentKeyFile(source.folder)
    const step = { what: "key", file }
    const there = yield* loadKey(file)
    const carried = given === undefined ? undefined : yield* loadKey(given)
    if (there !== undefined) {
      const shown = KeyPair.fingerprint(there.publicKey)
      const isOther = carried !== undefined && carried.publicHex !== there.publicHex
      const note = `the service keeps its key ${shown}; ${given} holds another one, and to use that, move ${file} away and install again`
      return { step: { ...step, how: `stays, ${shown}` }, notes: isOther ? [note] : [] }
    }
    if (given !== undefined && carried !== undefined) {
      const how = `carried along, ${KeyPair.fingerprint(carried.publicKey)}`
      return { step: { ...step, how, make: copyOf(given) }, notes: [] }
    }
    const make = (staged: string) => Effect.asVoid(Effect.mapError(KeyFile.loadOrCreate(staged), say))
    return { step: { ...step, how: "new", make }, notes: [] }
  })

const stateStep = (source: AgentSource | undefined, place: Place, names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const file = Paths.agentStateFile(place.folder)
    const given = source && Paths.agentStateFile(source.folder)
    const step = { what: "ids", file }
    if (yield* Placing.exists(file)) return { ...step, how: "stay as they are" }
    const carried = given !== undefined && (yield* Placing.exists(given)) ? given : undefined
    const make = (staged: string) =>
      Effect.gen(function* () {
        if (carried !== undefined) yield* copyOf(carried)(staged)
        yield* Effect.mapError(AgentState.load(staged, names), say)
      })
    return { ...step, how: carried === undefined ? "new" : "carried along", make }
  })

/** What the service needs of the stores, in a store of its own. */
const credentialsStep = (
  { hub, machines }: AgentFile.AgentConfig,
  { place, stores, variable }: Pick<AgentPlanOptions, "place" | "stores" | "variable">
): Effect.Effect<Step | undefined, ServiceError> =>
  Effect.gen(function* () {
    const given =
      variable === undefined ? stores.agentToken(hub) : Effect.succeed({ token: variable, file: "TELA_TOKEN" })
    const stored = machines.every(({ token }) => token !== undefined) ? undefined : yield* given
    const pin = yield* stores.pinOf(hub)
    if (stored === undefined && pin === undefined) return undefined
    const file = Paths.credentialsFile(place.folder)
    const what = stored === undefined ? "pin" : "token"
    const there = (yield* Placing.exists(file)) ? yield* Credentials.make(file).find(hub) : undefined
    const isThere = stored === undefined || (there !== undefined && Equal.equals(there.token, stored.token))
    if (there !== undefined && isThere && there.pin === pin) return { what, file, how: "unchanged" }
    const entry = { ...(stored && { token: stored.token }), ...(pin && { pin }) }
    const make = (staged: string) => Effect.mapError(Credentials.make(staged).put(hub, entry), say)
    return { what, file, how: `from ${stored?.file ?? "the pins"}`, make }
  }).pipe(Effect.mapError(say))

const tokenNotes = (config: AgentFile.AgentConfig, options: AgentPlanOptions) =>
  Effect.gen(function* () {
    const { seesStores, stores, variable } = options
    const without = config.machines.filter(({ token }) => token === undefined).map(({ name }) => name)
    if (without.length === 0) return []
    const stored = yield* Effect.mapError(stores.agentToken(config.hub), say)
    if (stored !== undefined || (variable !== undefined && !seesStores)) return []
    const why = variable === undefined ? "" : ", since TELA_TOKEN is not the service's"
    return [`no token for ${without.join(", ")}${why}; run: telad login -hub ${config.hub}`]
  })

/**
 * The token and pin that an installed service is to have now; undefined when it needs none of the stores, or when its folder
 * is nobody's to write who asks.
 */
export const refresh = (place: Place, stores: CredentialStores): Effect.Effect<Step | undefined, ServiceError> =>
  Effect.gen(function* () {
    const isOurs = yield* Effect.promise(() =>
      Fs.access(place.folder, Fs.constants.W_OK).then(
        () => true,
        () => false
      )
    )
    if (!isOurs) return undefined
    return yield* credentialsStep(yield* readConfig(undefined, place), { place, stores, variable: undefined })
  })

/** Looks at what there is and says what is to be done. */
export const make = (options: AgentPlanOptions): Effect.Effect<Plan, ServiceError> =>
  Effect.gen(function* () {
    const { place, seesStores, source } = options
    const first = yield* configStep(source, place)
    const config = yield* readConfig(source, place)
    const names = config.machines.map(({ name }) => name)
    const key = yield* keyStep(source, place)
    const state = yield* stateStep(source, place, names)
    const credentials = seesStores ? undefined : yield* credentialsStep(config, options)
    return {
      steps: [first, key.step, state, ...(credentials === undefined ? [] : [credentials])],
      notes: [...key.notes, ...(yield* tokenNotes(config, options))],
      leavesWithin: AGENT_DRAIN
    }
  })
