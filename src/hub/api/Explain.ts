/**
 * Why somebody may or may not do something: the question put to the one policy, and its own answer; but for a permission
 * that the machine's agent, as it is now, does not enforce.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { identityOf, machinePermissions } from "../../policy/Identity.ts"
import { decide } from "../../policy/Policy.ts"
import type { Decision, Permission } from "../../policy/Policy.ts"
import type { ExplainQuery, Explanation } from "../../protocol/api/Access.ts"
import * as Duration from "../../protocol/Duration.ts"
import { quoted } from "../../protocol/Printable.ts"
import { isNamed } from "../../protocol/Service.ts"
import { Authority } from "../Authority.ts"
import { Directory } from "../Directory.ts"
import { unenforced } from "../internal/serviceGrants.ts"
import { json } from "./Answer.ts"
import { administrator } from "./Asker.ts"
import { bad, notFound } from "./Problem.ts"
import type { Problem } from "./Problem.ts"

const permissions: ReadonlyArray<Permission> = [...machinePermissions, "view", "admin"]

const permissionOf = (word: string): Effect.Effect<Permission, Problem> => {
  const permission = permissions.find((one) => one === word)
  return permission === undefined
    ? bad(`${quoted(word)} is no permission; there are ${permissions.join(", ")}`)
    : Effect.succeed(permission)
}

/** The service that a name or a port means: the machine's own of that name, if it is known to have one. */
const serviceOf = (machine: string, named: string) =>
  Effect.map(Directory, (directory) => {
    const offered = directory.find(machine)?.about.services.find((service) => isNamed(service, named))
    return offered ?? (/^\d{1,5}$/.test(named) ? { port: Number(named), name: "" } : { port: 0, name: named })
  })

/** Answers the question; 404 for an identity that there is not, 400 when it makes no sense. */
export const explain = (request: HttpServerRequest, query: typeof ExplainQuery.Type) =>
  Effect.gen(function* () {
    yield* administrator(request)
    const { id, machine = "", permission: word } = query
    if (id === undefined || word === undefined) return yield* bad("say whom and what to explain: id and permission")
    const clock = yield* Clock.currentTimeMillis
    const snapshot = (yield* Authority).snapshot()
    const identity = identityOf(snapshot, id)
    if (identity === undefined) return yield* notFound(`no identity is called ${id}`)
    const permission = yield* permissionOf(word)
    if (machine === "" && permission !== "admin") return yield* bad(`say on which machine: ${permission} is by machine`)
    const service = query.service === undefined ? undefined : yield* serviceOf(machine, query.service)
    const now = query.at === undefined ? clock : yield* Effect.mapError(Duration.parseWhen(query.at, clock), bad)
    const decision = decide(snapshot, { identity, permission, machine, now, ...(service !== undefined && { service }) })
    const at = (yield* Directory).find(machine)
    // One that is offline may come back as another.
    const without = permission === "connect" && at?.agent !== undefined ? unenforced(decision, at) : undefined
    const { permit, rule, services, until }: Decision =
      without === undefined ? decision : { permit: false, rule: `${decision.rule}; the client is told: ${without}` }
    return json<typeof Explanation.Encoded>({
      permit,
      rule,
      ...(services !== undefined && { services }),
      ...(until !== undefined && { until: Duration.formatInstant(until) }),
      at: Duration.formatInstant(now)
    })
  })
