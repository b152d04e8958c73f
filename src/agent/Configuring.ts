/**
 * Changing a machine's configuration while it is served: tried, written, in force, taken by the hub, and only then
 * confirmed. What the hub does not take is put back, in the file and in force. One change at a time.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../crypto/KeyPair.ts"
import { CONFIG_APPLY_TIMEOUT } from "../protocol/Limits.ts"
import type { ConfigChanged, JsonObject } from "../protocol/Management.ts"
import { quoted } from "../protocol/Printable.ts"
import { registerProblem } from "../protocol/RegisterProblem.ts"
import type { AgentSettings, Edit, Entry } from "../store/AgentSettings.ts"
import { SettingsRefused } from "../store/AgentSettings.ts"
import type { AgentState } from "../store/AgentState.ts"
import type { MachineConfig } from "../store/AgentFile.ts"
import * as ManagementConfig from "../store/ManagementConfig.ts"
import type { LiveMachine } from "./LiveMachine.ts"
import * as Listed from "./Listed.ts"
import * as Offer from "./Offer.ts"

export interface Options {
  readonly settings: AgentSettings
  readonly identity: KeyPair
  readonly state: AgentState
  /** The names of all machines of the agent. */
  readonly machines: ReadonlyArray<string>
  /** Makes another configuration the machine's. */
  readonly apply: (machine: LiveMachine, next: MachineConfig) => Effect.Effect<void>
}

/** What became of a change, as it is answered. */
export interface Changed {
  readonly message: string
  readonly payload: ConfigChanged
}

export interface Configuring {
  readonly read: (machine: string) => Effect.Effect<Entry, SettingsRefused>
  readonly set: (machine: LiveMachine, patch: JsonObject) => Effect.Effect<Changed, SettingsRefused>
}

/** Keys that are in force as soon as the machine is set; others wait for the next start. */
const live: ReadonlySet<string> = new Set([
  "displayName",
  "hostname",
  "os",
  "tags",
  "location",
  "owner",
  "target",
  "ports",
  "services",
  "clients",
  "gateway",
  "upstreams"
])

/** Why the list in force cannot be widened from afar, and what to do. */
const why =
  "since that list is what holds when a hub cannot be trusted; " +
  "change it in telad.yaml on the machine, or allow it there with management: { clients: true }"

const refused = (message: string) => new SettingsRefused({ message })

export const make = ({
  apply,
  identity,
  machines,
  settings,
  state
}: Options): Effect.Effect<Configuring, never, Scope.Scope> =>
  Effect.gen(function* () {
    const turns = yield* Effect.makeSemaphore(1)

    /** What neither the file's rules nor the hub's would let pass; said before anything is written. */
    const check = (machine: LiveMachine, { changes, machine: next }: Edit) => {
      const now = machine.now()
      const mayWiden = (now.management ?? ManagementConfig.otherwise).clients
      if (now.clients !== undefined && !mayWiden && changes.some(({ key }) => key === "clients")) {
        return refused(`clients cannot be set from afar while a list is in force, ${why}`)
      }
      const widened = mayWiden ? undefined : Listed.widened(now, next)
      if (widened !== undefined) {
        const { client, name } = widened
        const keys = changes.flatMap(({ key }) => (Listed.leading.has(key) ? [key] : []))
        return refused(
          `${keys.join(", ")} cannot be set so from afar: the list of clients lets ${quoted(client.name || client.key)} use ` +
            `${quoted(name)}, which would lead elsewhere than now, ${why}`
        )
      }
      const most = { managed: machines, again: true, resumes: true }
      const problem = registerProblem(Offer.register(next, identity, state, [], most))
      return problem === undefined ? Effect.void : refused(problem)
    }

    /** Puts a change in force; what was before is back when it fails. */
    const put = (machine: LiveMachine, edit: Edit) =>
      Effect.gen(function* () {
        const before = machine.now()
        yield* edit.write
        // The token that the machine is registered with may come from elsewhere than the file.
        yield* apply(machine, { ...edit.machine, token: before.token })
        yield* machine.settled(CONFIG_APPLY_TIMEOUT).pipe(
          Effect.catchAll(({ message }) =>
            Effect.gen(function* () {
              yield* Effect.ensuring(edit.undo, apply(machine, before))
              return yield* refused(`${message}; the configuration of before was put back`)
            })
          )
        )
        yield* edit.confirm
      })

    return {
      read: settings.read,
      set: (machine, patch) =>
        turns.withPermits(1)(
          Effect.gen(function* () {
            const edit = yield* settings.edit(machine.name, patch)
            const { changes, warnings } = edit
            if (changes.length === 0) return { message: "nothing to change", payload: { changes, warnings } }
            yield* check(machine, edit)
            yield* put(machine, edit)
            yield* Effect.logInfo("configuration changed from afar", { keys: changes.map(({ key }) => key).join(",") })
            const restart = changes.flatMap(({ key }) => (live.has(key) ? [] : [key]))
            const message = restart.length === 0 ? "in force" : "in the file"
            return { message, payload: { changes, warnings, ...(restart.length > 0 && { restart }) } }
          })
        )
    }
  })
