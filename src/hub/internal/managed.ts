/**
 * What a request to an agent touches, and what it may say. A manage grant on one machine gives nothing on another one of
 * the same agent, whatever that agent makes of the request.
 */
import * as Either from "effect/Either"
import { DEPLOYED_LOG_LINES, LOG_LINES_DEFAULT } from "../../protocol/Limits.ts"
import { isReading } from "../../protocol/Management.ts"
import { quoted } from "../../protocol/Printable.ts"
import type { Agent, Directory, Machine } from "../Directory.ts"

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Whether what is asked concerns the machine alone; an action that nobody knows may concern all that the agent has. */
const isAboutOne = (action: string, { management }: Agent): boolean => {
  switch (action) {
    // Deployed agents answer these with what they know of all their machines.
    case "config-get":
    case "logs":
      return management === "machine"
    case "config-set":
      return true
    default:
      return isReading(action)
  }
}

/** The other machines that a request touches, by name. */
export const othersTouched = (
  directory: typeof Directory.Service,
  { about, name }: Machine,
  agent: Agent,
  action: string
): ReadonlyArray<string> => {
  if (isAboutOne(action, agent)) return []
  const { machines } = agent
  // An agent that names its machines has no others, but for those that are connected now.
  const known = directory
    .ofAgent(about.agentId)
    // Anybody could register under the install id that they have read somewhere.
    .filter((machine) => machine.about.key === about.key)
    .filter((machine) => machines === undefined || machine.agent !== undefined)
  return [...new Set([...known.map((machine) => machine.name), ...(machines ?? [])])].filter((other) => other !== name)
}

/** Whether it chooses where an agent's code comes from, which is for owners: decided about what is sent, as `payloadFor` has it. */
export const choosesCode = (action: string, payload: unknown): boolean =>
  action === "channel-sources-set" ||
  action === "channel-sources-remove" ||
  ((action === "update" || action === "update-channel") && isObject(payload) && Boolean(payload["manifestBase"]))

/** Keys that would give the machine another name, or another token; deployed agents take them in any case of letters. */
const withheld: ReadonlySet<string> = new Set(["name", "token", "management"])

const configSet = (payload: unknown, machine: string): Either.Either<unknown, string> => {
  if (!isObject(payload) || !isObject(payload["fields"])) {
    return Either.left('the body must be {"fields": {...}}, with the keys of the machine that are to change')
  }
  const { fields, machine: named = machine } = payload
  if (named !== machine) return Either.left(`the body is about another machine than ${quoted(machine)}`)
  const key = Object.keys(payload["fields"]).find((each) => withheld.has(each.toLowerCase()))
  return key === undefined
    ? Either.right({ machine, fields })
    : Either.left(`${quoted(key)} cannot be set from afar; change it in telad.yaml on the machine itself`)
}

/** What an action about updates takes; all of it is text. */
const updating: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["update", ["version", "channel", "manifestBase"]],
  ["update-channel", ["channel", "manifestBase"]],
  ["channel-sources-set", ["name", "base"]],
  ["channel-sources-remove", ["name"]]
])

/**
 * Made anew of the members that are known. Deployed agents take a member in any case of letters, and in some that look like
 * others, so that what was judged under one name could be obeyed under another one.
 */
const onlyKnown = (action: string, known: ReadonlyArray<string>, payload: unknown): Either.Either<unknown, string> => {
  if (payload === undefined || payload === null) return Either.right(undefined)
  const takes = `${quoted(action)} takes ${known.join(", ")}`
  if (!isObject(payload)) return Either.left(`the body must be an object; ${takes}`)
  const other = Object.keys(payload).find((key) => !known.includes(key))
  if (other !== undefined) return Either.left(`unknown member ${quoted(other)}; ${takes}`)
  // An empty text, and null, are what Go programs write for nothing.
  const said = known.flatMap((key) => (payload[key] ? [[key, payload[key]] as const] : []))
  const wrong = said.find(([, value]) => typeof value !== "string")
  return wrong === undefined
    ? Either.right(Object.fromEntries(said))
    : Either.left(`${quoted(wrong[0])} must be a text`)
}

const logs = (payload: unknown, { management }: Agent): unknown => {
  if (management === "machine") return payload
  const lines = isObject(payload) ? Number(payload["lines"]) : Number.NaN
  return { lines: lines >= 1 ? Math.min(lines, DEPLOYED_LOG_LINES) : LOG_LINES_DEFAULT }
}

/** What goes to the agent in place of what came; the other side of the result says what is wrong with that. */
export const payloadFor = (
  agent: Agent,
  machine: string,
  action: string,
  payload: unknown
): Either.Either<unknown, string> => {
  const known = updating.get(action)
  if (known !== undefined) return onlyKnown(action, known, payload)
  switch (action) {
    case "config-set":
      return configSet(payload, machine)
    case "logs":
      return Either.right(logs(payload, agent))
    default:
      return Either.right(payload)
  }
}

/** What the record says of a request: the action, and the keys that it is to change. */
export const detailOf = (action: string, payload: unknown): string => {
  if (action !== "config-set" || !isObject(payload) || !isObject(payload["fields"])) return action
  return `${action} ${Object.keys(payload["fields"]).join(",")}`
}

/** Whether the agent may wait with its answer. */
export const follows = (action: string, payload: unknown): boolean =>
  action === "logs" && isObject(payload) && Number(payload["wait"]) > 0

/** Whether it is asked again and again by whoever waits for something. */
export const isRepeated = (action: string, payload: unknown): boolean =>
  action === "update-status" || (action === "logs" && isObject(payload) && payload["after"] !== undefined)
