/**
 * What a machine may tell of itself, which the hub keeps while it remembers the machine and shows to whoever may see it. The
 * agent looks too, before it takes a configuration that the hub would refuse.
 */
import type { Register } from "./Control.ts"
import * as Limits from "./Limits.ts"
import { isWithin } from "./Nesting.ts"

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

const capabilitiesProblem = (capabilities: Register["capabilities"] = {}): string | undefined => {
  // First the depth, since writing nested JSON takes as much stack as it has levels.
  if (!isWithin(capabilities, Limits.CAPABILITIES_DEPTH)) {
    return `capabilities may nest ${Limits.CAPABILITIES_DEPTH} levels deep, no deeper`
  }
  return bytesOf(capabilities) > Limits.CAPABILITIES_BYTES
    ? `capabilities may take at most ${Limits.CAPABILITIES_BYTES} bytes`
    : undefined
}

/** Every text that is kept, by the member it stands in. */
const textsOf = (said: Register): ReadonlyArray<readonly [string, string | undefined]> => [
  ["agentId", said.agentId],
  ["machineRegistrationId", said.machineRegistrationId],
  ["displayName", said.displayName],
  ["hostname", said.hostname],
  ["os", said.os],
  ["agentVersion", said.agentVersion],
  ["location", said.location],
  ["owner", said.owner],
  ...(said.tags ?? []).map((tag) => ["tags", tag] as const),
  ...(said.machines ?? []).map((machine) => ["machines", machine] as const),
  ...(said.services ?? []).flatMap(({ description, name, proto }) =>
    [description, name, proto].map((text) => ["services", text] as const)
  )
]

/** Why the hub does not keep what a register message tells, as the end of a sentence; undefined when it does. */
export const registerProblem = (said: Register): string | undefined => {
  const { capabilities, ports = [], services = [], tags = [] } = said
  if (services.length > Limits.REGISTER_SERVICES || ports.length > Limits.REGISTER_SERVICES) {
    return `a machine may have at most ${Limits.REGISTER_SERVICES} services`
  }
  if (tags.length > Limits.REGISTER_TAGS) return `a machine may have at most ${Limits.REGISTER_TAGS} tags`
  const long = textsOf(said).find(([, text]) => text !== undefined && text.length > Limits.REGISTER_TEXT_CHARACTERS)
  if (long !== undefined) return `a text in ${long[0]} has more than ${Limits.REGISTER_TEXT_CHARACTERS} characters`
  return (
    capabilitiesProblem(capabilities) ??
    // Links that wait are not kept with the machine: their number is bounded by itself.
    (bytesOf({ ...said, detached: undefined }) > Limits.REGISTER_BYTES
      ? `a machine may tell at most ${Limits.REGISTER_BYTES} bytes`
      : undefined)
  )
}
