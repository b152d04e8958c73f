/**
 * The agent's side of one session: join it, say who answers, and let the client prove its key (docs/protocol.md, "Setting
 * up a session"; spec: wire 3). The tunnel that is begun so, or goes on, is served by {@link Links}; its carrier ends with
 * the scope.
 *
 * After signalling, text on this socket is ignored: through a deployed hub a client could forge any of it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { fingerprintOfHex, generate, type KeyPair, type PublicKeyHex } from "../crypto/KeyPair.ts"
import * as Control from "../protocol/Control.ts"
import { printable } from "../protocol/Printable.ts"
import { label } from "../protocol/Service.ts"
import { VERSION } from "../protocol/Version.ts"
import type { Dial } from "../transport/Carrier.ts"
import type * as Tcp from "../transport/Tcp.ts"
import * as Stream1 from "../tunnel/Stream1.ts"
import * as Admission from "./Admission.ts"
import type { Grant } from "./Grant.ts"
import type { Links } from "./Links.ts"
import type { LiveMachine } from "./LiveMachine.ts"
import * as Offer from "./Offer.ts"
import * as SessionSocket from "./SessionSocket.ts"

/** A session that did not come up, or is over. The message is for the agent's log. */
export class SessionEnded extends Schema.TaggedError<SessionEnded>()("SessionEnded", {
  /** Whether somebody should look into it. */
  level: Schema.Literal("info", "warning"),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

export interface SessionHostOptions {
  readonly hub: string
  readonly machine: LiveMachine
  readonly identity: KeyPair
  readonly request: Control.SessionRequest
  /** What the session may use, as long as it lasts. */
  readonly grant: Grant
  readonly dial: Dial
  /** Bounds what is on its way to the hub at a time, of the whole agent. */
  readonly joining: Effect.Semaphore
  /** How a service is reached; `Tcp.connect` but for tests. */
  readonly reach: typeof Tcp.connect
  /** Where the tunnel is served, in this session and those after it. */
  readonly links: Links
}

const over = (reason: string) => new SessionEnded({ level: "info", reason: printable(reason) })
const suspicious = (reason: string) => new SessionEnded({ level: "warning", reason: printable(reason) })

/** Dials the hub once more and takes the session there. */
const join = ({ dial, hub, joining, machine, request }: SessionHostOptions) =>
  SessionSocket.join({ dial, hub, joining, machine: machine.name, sessionId: request.sessionId }).pipe(
    Effect.mapError(({ kind, reason }) => {
      switch (kind) {
        case "lost":
          return over(`the way to the hub was lost before the session was joined: ${reason}`)
        case "refused":
          return over(`the hub refused the session: ${reason}`)
        case "strange":
          return suspicious(reason)
      }
    })
  )

/** Fails when the hub says that the session may not be any more, at whatever point it is. */
const revoked = (grant: Grant): Effect.Effect<never, SessionEnded> =>
  Effect.async((resume) => {
    const unlisten = grant.listen({
      changed: () => {},
      revoked: (reason) => resume(Effect.fail(over(`access revoked: ${reason}`)))
    })
    return Effect.sync(unlisten)
  })

/**
 * Serves a session until its carrier is over. What is served in it may go on in another session; a session that did not
 * come up, or that the hub has ended, fails with the reason.
 */
export const serve = (options: SessionHostOptions): Effect.Effect<void, SessionEnded, Scope.Scope> =>
  Effect.raceFirst(session(options), revoked(options.grant))

const session = (options: SessionHostOptions): Effect.Effect<void, SessionEnded, Scope.Scope> =>
  Effect.gen(function* () {
    const { grant, identity, links, machine, reach, request } = options
    const clientSessionKey = request.wgPubKey ?? ""
    if (!Schema.is(Control.HexKey)(clientSessionKey)) return yield* suspicious("the hub passed no usable session key")

    const inbox = yield* join(options)
    const { carrier } = inbox

    const sessionKey = generate()
    const tunnels = Offer.tunnels
    // What the hub is told now must stay true: it tells of what becomes of the client's right only as long as a link may wait.
    const keeps = links.keeps(machine.name, grant.client()?.principal)
    const ports = Admission.offeredByHub(machine.now(), grant.client()).map((service) => service.port)
    carrier.sendText(
      Control.encode({
        type: "wg-pubkey",
        wgPubKey: sessionKey.publicHex,
        ports,
        capabilities: Offer.capabilities(keeps),
        tunnels,
        identity: identity.publicHex
      })
    )

    let listed: string | undefined
    const scope = yield* links.scope
    const responded = yield* Stream1.respond({
      inbox,
      session: {
        machine: machine.name,
        clientSessionKey,
        agentSessionKey: sessionKey.publicHex,
        agentIdentity: identity.publicHex,
        tunnels,
        ports
      },
      identity,
      scope,
      keeper: links.keeper(machine.name, request.sessionId, grant, keeps),
      linger: links.linger,
      authorise: (key: PublicKeyHex) =>
        Effect.suspend(() => {
          const admitted = Admission.admit(machine.now(), grant.client(), key)
          if (Either.isLeft(admitted)) {
            return new Stream1.TunnelRefused({ kind: "refused", reason: admitted.left })
          }
          const { services } = admitted.right
          listed = admitted.right.listedAs
          return Effect.succeed({
            software: `telad ${VERSION}`,
            principal: admitted.right.principal,
            services: services.map((service) => ({ port: service.port, name: service.name }))
          })
        })
    }).pipe(
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) && exit.value._tag === "Begun" ? Effect.void : Scope.close(scope, Exit.void)
      ),
      Effect.mapError(({ kind, reason }) => (kind === "lost" ? over(reason) : suspicious(reason)))
    )

    const known = { key: fingerprintOfHex(responded.client), ...(listed && { listed }) }
    if (responded._tag === "Resumed") {
      yield* Effect.logInfo("session resumed", known)
    } else {
      const { client } = responded
      const served = yield* links.begin(
        { begun: responded, client, machine, reach, sessionId: request.sessionId, grant },
        scope
      )
      const about = { ...known, services: served.services().map(label).join(",") }
      yield* request.client === undefined
        ? Effect.logWarning("session up; the hub vouches for nobody", about)
        : Effect.logInfo("session up", { principal: printable(request.client.principal), ...about })
    }
    yield* responded.ended
  })
