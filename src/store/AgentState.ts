/**
 * telad.state: who this installation is to a hub, apart from its key (spec: wire 2.1, cli 5.3). YAML with one agentId
 * and, for each machine, a registration id that lets the hub follow a rename. What is missing is made and saved.
 */
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Yaml from "yaml"
import * as Files from "./internal/files.ts"
import * as YamlFile from "./YamlFile.ts"

/** The ids; `registrationIds` has one for each machine asked for. */
export interface AgentState {
  readonly agentId: string
  readonly registrationIds: ReadonlyMap<string, string>
}

const StateFile = Schema.Struct({
  agentId: YamlFile.optional(Schema.NonEmptyString),
  machines: YamlFile.optionalOr(
    Schema.Record({
      key: Schema.String,
      value: Schema.Struct({ machineRegistrationId: YamlFile.optional(Schema.NonEmptyString) })
    }),
    {}
  )
})

/** Ids for these machines that live no longer than the process; for tests and embedders. */
export const fresh = (machines: ReadonlyArray<string>): AgentState => ({
  agentId: Crypto.randomUUID(),
  registrationIds: new Map(machines.map((name) => [name, Crypto.randomUUID()]))
})

/** Reads the file, completes it for these machines, and saves it if it was incomplete. Other machines stay in it. */
export const load = (
  file: string,
  machines: ReadonlyArray<string>
): Effect.Effect<AgentState, YamlFile.YamlFileError> =>
  Effect.gen(function* () {
    const stored = yield* YamlFile.read(file, { schema: StateFile }).pipe(
      Effect.map((loaded) => loaded.value),
      Effect.catchTag("YamlFileMissing", () => Effect.succeed<typeof StateFile.Type>({ machines: {} }))
    )
    const known = new Map(
      Object.entries(stored.machines).flatMap(([name, { machineRegistrationId: id }]) => (id ? [[name, id]] : []))
    )
    const missing = machines.filter((name) => !known.has(name))
    const agentId = stored.agentId ?? Crypto.randomUUID()
    for (const name of missing) known.set(name, Crypto.randomUUID())
    if (missing.length > 0 || stored.agentId === undefined) {
      const entries = [...known].map(([name, machineRegistrationId]) => [name, { machineRegistrationId }])
      yield* Effect.mapError(
        Files.replace(file, Yaml.stringify({ agentId, machines: Object.fromEntries(entries) })),
        ({ problem }) => new YamlFile.YamlFileError({ file, problem: `cannot be written: ${problem}` })
      )
    }
    return { agentId, registrationIds: known }
  })
