/**
 * What a hub's directory has from the hub before it, and leaves to the next: an offline machine is still listed after a
 * restart, and one that was there when the hub stopped is expected back.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Capabilities } from "../protocol/Control.ts"
import { MACHINE_RETURN } from "../protocol/Limits.ts"
import { Machines } from "../store/Machines.ts"
import type { Seen, SeenMachine } from "../store/Machines.ts"
import { Directory } from "./Directory.ts"
import type { About, Machine, Registrant } from "./Directory.ts"

const text = Schema.optional(Schema.String)

/** What a machine's agent said, without what only an agent that is there can be held to. */
const Kept = Schema.parseJson(
  Schema.Struct({
    agentId: Schema.String,
    registrationId: Schema.String,
    key: text,
    protocolVersion: Schema.Number,
    displayName: text,
    hostname: text,
    os: text,
    agentVersion: text,
    location: text,
    owner: text,
    tags: Schema.Array(Schema.String),
    services: Schema.Array(
      Schema.Struct({ port: Schema.Number, proto: Schema.String, name: Schema.String, description: Schema.String })
    ),
    capabilities: Schema.optional(Capabilities)
  })
)
const decode = Schema.decodeOption(Kept)

const unsaid = {
  key: undefined,
  displayName: undefined,
  hostname: undefined,
  os: undefined,
  agentVersion: undefined,
  location: undefined,
  owner: undefined,
  capabilities: undefined
}

const aboutOf = (kept: string): Option.Option<About> =>
  Option.map(decode(kept), (said) => ({ ...unsaid, ...said, serviceGrants: false }))

const noted = ({ about, agent, lastSeen, name, registeredAt }: Machine, { id }: Registrant): SeenMachine => ({
  name,
  about: JSON.stringify(about),
  registeredBy: id,
  registeredAt,
  lastSeen: agent === undefined ? lastSeen : undefined
})

/** An agent is expected that was there in the last minute of the former hub's life. */
const restored = ({ machines, until }: Seen, now: number) =>
  machines.flatMap(({ lastSeen = until, name, registeredAt, registeredBy, ...kept }) =>
    Option.match(aboutOf(kept.about), {
      // What another version of the hub has written, and this one cannot read.
      onNone: () => [],
      onSome: (about) => [
        {
          name,
          about,
          principal: { id: registeredBy, tokenHash: "" },
          registeredAt,
          lastSeen: Math.max(lastSeen, registeredAt),
          expectedUntil: lastSeen >= until - MACHINE_RETURN ? now + MACHINE_RETURN : lastSeen
        }
      ]
    })
  )

/** Fills the directory, and keeps what it sees from now on. */
export const keep: Effect.Effect<void, never, Directory | Machines> = Effect.gen(function* () {
  const directory = yield* Directory
  const machines = yield* Machines
  directory.restore(restored(yield* machines.seen, yield* Clock.currentTimeMillis))
  directory.onSeen((machine, principal) => machines.note(noted(machine, principal)))
})
