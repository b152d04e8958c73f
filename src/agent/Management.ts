/**
 * What a hub may ask of an agent (spec: wire 7): each request in a fiber of its own, so that a slow one holds up no session,
 * and bounded for each machine. The owner's word in telad.yaml counts, whatever the hub has permitted; nothing tells or
 * changes anything of another machine, but for what concerns the whole agent, which every machine must allow.
 */
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { MgmtRequest, MgmtResponse } from "../protocol/Control.ts"
import * as Control from "../protocol/Control.ts"
import { DRAIN_ANSWERS, HTTP_BODY_DEPTH, MANAGE_PENDING_PER_AGENT, MESSAGE_BYTES } from "../protocol/Limits.ts"
import * as Protocol from "../protocol/Management.ts"
import { isWithin } from "../protocol/Nesting.ts"
import { printable, quoted } from "../protocol/Printable.ts"
import type { AgentSettings } from "../store/AgentSettings.ts"
import * as ManagementConfig from "../store/ManagementConfig.ts"
import type { Updater } from "../system/release/Updater.ts"
import type { Restart } from "../system/Restart.ts"
import type { LogRing } from "../telemetry/LogRing.ts"
import * as Configuring from "./Configuring.ts"
import type { LiveMachine } from "./LiveMachine.ts"

/** What the program around an agent offers; what is absent is answered with a refusal that says so. */
export interface ManagementOptions {
  /** Where the machines' configuration is kept; absent for an agent that was started from flags. */
  readonly settings?: AgentSettings | undefined
  readonly log?: LogRing | undefined
  readonly restart?: Restart | undefined
  readonly updater?: Context.Tag.Service<Updater> | undefined
}

export interface Management {
  /** The names of all machines of the agent. */
  readonly machines: ReadonlyArray<string>
  /** Does what is asked about a machine, and answers; returns before that. */
  readonly take: (
    machine: LiveMachine,
    request: MgmtRequest,
    answer: (response: MgmtResponse) => void
  ) => Effect.Effect<void>
  /** Waits until what was asked is answered, but for those who follow a log; DRAIN_ANSWERS at most. */
  readonly answered: Effect.Effect<void>
}

/** It will not be done. The message is for whoever asked. */
export class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

/** What is answered when it was done. */
interface Done {
  readonly message?: string
  readonly payload?: unknown
}

const refused = (message: string) => new Refused({ message })

/** Room for the envelope around a payload. */
const ANSWER_BYTES = MESSAGE_BYTES - 1_024

const isFollowing = ({ action, payload }: MgmtRequest): boolean =>
  action === "logs" && typeof payload === "object" && payload !== null && "after" in payload

/** Whoever waits for something asks so again and again, which must not fill the log. */
const isQuiet = (request: MgmtRequest): boolean => isFollowing(request) || request.action === "update-status"

/** Requests are answered until the scope ends. */
export const make = (
  options: ManagementOptions &
    Pick<Configuring.Options, "apply" | "identity" | "state"> & { readonly machines: ReadonlyArray<LiveMachine> }
): Effect.Effect<Management, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { log, machines, restart, settings, updater } = options
    const fibers = yield* FiberSet.make<void>()
    const followers = yield* FiberSet.make<void>()
    const waiting = new Map<string, number>()
    const configure =
      settings && (yield* Configuring.make({ ...options, settings, machines: machines.map(({ name }) => name) }))
    const isOnly = machines.length === 1

    const allows = (machine: LiveMachine, permission: ManagementConfig.Permission): boolean =>
      (machine.now().management ?? ManagementConfig.otherwise)[permission]

    /** The owner allows it on a machine, or on every machine when it concerns the agent. */
    const allowed = (permission: ManagementConfig.Permission, of: ReadonlyArray<LiveMachine>) =>
      of.every((machine) => allows(machine, permission))
        ? Effect.void
        : refused(`the owner of this agent forbids it: management in its telad.yaml does not allow "${permission}"`)

    /** What an agent tells of its releases stands in its configuration, and whoever may update it has to follow that. */
    const mayLookAtUpdates = (machine: LiveMachine) =>
      allows(machine, "update") ? Effect.void : allowed("config", [machine])

    const decode = <A, I>(schema: Schema.Schema<A, I>, payload: unknown) =>
      Effect.mapError(Schema.decodeUnknown(schema)(payload ?? {}), (error) => {
        const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
        return refused(`the payload is not what this action takes: ${issue?.path.map(String).join(".") ?? ""}`)
      })

    const configured = Effect.suspend(() =>
      configure === undefined
        ? refused("this agent was started from flags and has no configuration file")
        : Effect.succeed(configure)
    )
    const updates = Effect.suspend(() =>
      updater === undefined
        ? refused("this agent is a part of another program, and is updated with that")
        : Effect.succeed(updater)
    )

    const act = (machine: LiveMachine, action: Protocol.Action, payload: unknown): Effect.Effect<Done, Refused> =>
      Effect.gen(function* () {
        switch (action) {
          case "config-get": {
            yield* allowed("config", [machine])
            const { entry, file, hub } = yield* (yield* configured).read(machine.name)
            return { payload: { hub, configPath: file, machines: [entry] } satisfies Protocol.ConfigAnswer }
          }
          case "config-set": {
            yield* allowed("set", [machine])
            const { fields, machine: named = machine.name } = yield* decode(Protocol.ConfigPatch, payload)
            if (named !== machine.name) return yield* refused("the request is about another machine")
            return yield* (yield* configured).set(machine, fields)
          }
          case "logs": {
            yield* allowed("logs", [machine])
            if (log === undefined)
              return yield* refused("this agent is a part of another program; look at the log of that")
            const query = yield* decode(Protocol.LogsQuery, payload)
            return { payload: yield* log.follow(isOnly ? query : { ...query, machine: machine.name }) }
          }
          case "restart": {
            yield* allowed("restart", machines)
            if (restart === undefined) return yield* refused("this agent is a part of another program; restart that")
            yield* restart
            return { message: "restarting" }
          }
          case "update": {
            yield* allowed("update", machines)
            const { channel, manifestBase: base, version } = yield* decode(Protocol.UpdateQuery, payload)
            const begun = yield* (yield* updates).update({ channel, base, version })
            return { message: begun.message, payload: begun.begun ? { version: begun.version } : {} }
          }
          case "update-status":
            yield* mayLookAtUpdates(machine)
            return { payload: yield* (yield* updates).status }
          case "update-channel": {
            yield* allowed("update", machines)
            const { channel, manifestBase: base } = yield* decode(Protocol.ChannelQuery, payload)
            return { payload: yield* (yield* updates).setChannel({ channel, base }) }
          }
          case "channel-sources-list":
            yield* mayLookAtUpdates(machine)
            return { payload: { sources: yield* (yield* updates).sources } }
          case "channel-sources-set": {
            yield* allowed("update", machines)
            const { base = "", name } = yield* decode(Protocol.SourceQuery, payload)
            return { payload: { ok: true, name, base: yield* (yield* updates).setSource(name, base) } }
          }
          case "channel-sources-remove": {
            yield* allowed("update", machines)
            const { name } = yield* decode(Protocol.SourceQuery, payload)
            const wasThere = yield* (yield* updates).removeSource(name)
            return wasThere ? { payload: { ok: true, name } } : yield* refused(`no source is kept for ${quoted(name)}`)
          }
        }
      }).pipe(Effect.mapError(({ message }) => refused(message)))

    const perform = (machine: LiveMachine, { action, payload }: MgmtRequest): Effect.Effect<Done, Refused> => {
      if (!Protocol.isAction(action)) return refused(`unknown action: ${printable(action)}`)
      if (!isWithin(payload, HTTP_BODY_DEPTH)) return refused("the payload nests too deep")
      return act(machine, action, payload)
    }

    const respond = (requestId: string, result: Either.Either<Done, Refused>): MgmtResponse => {
      const { message, payload } = Either.isRight(result)
        ? result.right
        : { message: result.left.message, payload: undefined }
      return {
        type: "mgmt-response",
        requestId,
        ok: Either.isRight(result),
        ...(message !== undefined && { message }),
        ...(payload !== undefined && { payload })
      }
    }

    const serve = (machine: LiveMachine, request: MgmtRequest, answer: (response: MgmtResponse) => void) =>
      Effect.gen(function* () {
        const { action, principal = "somebody", requestId } = request
        const result = yield* Effect.either(
          Effect.catchAllDefect(perform(machine, request), (defect) =>
            Effect.zipRight(
              Effect.logError(`${printable(action)} failed`, defect),
              refused("the agent failed; look at its log")
            )
          )
        )
        const response = respond(requestId, result)
        const isLarge = Buffer.byteLength(Control.encode(response)) > ANSWER_BYTES
        const too = refused(`the answer would have more than ${ANSWER_BYTES} bytes`)
        answer(isLarge ? respond(requestId, Either.left(too)) : response)
        if (isQuiet(request)) return
        const by = { action: printable(action), by: printable(principal) }
        yield* Either.isRight(result)
          ? Effect.logInfo("done for the hub", by)
          : Effect.logWarning("refused to the hub", { ...by, why: result.left.message })
      }).pipe(Effect.annotateLogs({ machine: machine.name }))

    return {
      machines: machines.map(({ name }) => name),
      take: (machine, request, answer) =>
        Effect.suspend(() => {
          const count = waiting.get(machine.name) ?? 0
          if (count >= MANAGE_PENDING_PER_AGENT) {
            const busy = refused(`${MANAGE_PENDING_PER_AGENT} requests wait already; try again in a moment`)
            return Effect.sync(() => answer(respond(request.requestId, Either.left(busy))))
          }
          waiting.set(machine.name, count + 1)
          const done = Effect.sync(() => waiting.set(machine.name, (waiting.get(machine.name) ?? 1) - 1))
          const among = isFollowing(request) ? followers : fibers
          return Effect.asVoid(FiberSet.run(among, Effect.ensuring(serve(machine, request, answer), done)))
        }),
      answered: Effect.asVoid(Effect.timeoutOption(FiberSet.awaitEmpty(fibers), DRAIN_ANSWERS))
    }
  })
