/**
 * A hub of a hundred lines over in-memory carriers: it pairs agents and clients as spec wire 2 and 3 say and relays
 * verbatim. Every step can be replaced, so that a test can make it refuse, lie or meddle.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Queue from "effect/Queue"
import { CloseCode } from "../../src/protocol/Close.ts"
import * as Control from "../../src/protocol/Control.ts"
import * as RelayFrame from "../../src/protocol/RelayFrame.ts"
import { type Carrier, type Dial, DialError } from "../../src/transport/Carrier.ts"
import * as MemoryCarrier from "../../src/transport/MemoryCarrier.ts"

interface Pending {
  readonly connect: Control.Connect
  readonly client: Carrier
  readonly index: number
}

export class MemoryHub {
  /** Vouch for clients as our hub does; a deployed hub does not. */
  vouches = true
  principal = "alice"
  /** What the grant of every client is limited to. */
  services: ReadonlyArray<string> | undefined = undefined
  reachable = true
  /** An error text for a registration. */
  refuseRegister: (message: Control.Register) => string | undefined = () => undefined
  /** When whoever is refused is told to ask again. */
  retryIn: number | undefined = undefined
  /** An error text for a client. */
  refuseConnect: (message: Control.Connect) => string | undefined = () => undefined
  /** Changes, or swallows, what the agent says to the client in text. */
  agentText: (text: string) => ReadonlyArray<string> = (text) => [text]
  /** The same for binary messages in both directions. */
  toAgent: (frame: Uint8Array) => ReadonlyArray<Uint8Array> = (frame) => [frame]
  toClient: (frame: Uint8Array) => ReadonlyArray<Uint8Array> = (frame) => [frame]
  /** Whose agent is asked for a machine. */
  route: (machine: string) => string = (machine) => machine
  ready: (message: Control.Ready) => Control.Ready | undefined = (message) => message
  sessionRequest: (message: Control.SessionRequest) => Control.SessionRequest = (message) => message

  /** Every dial and every registration, as they come. */
  readonly dials: Queue.Queue<string>
  readonly registers: Queue.Queue<Control.Register>
  /** What agents answered to what a test had asked on their control sockets. */
  readonly responses: Queue.Queue<Control.MgmtResponse>
  readonly #controls = new Map<string, Carrier>()
  readonly #pending = new Map<string, Pending>()
  readonly #sessions = new Set<Carrier>()
  readonly #clients = new Set<Carrier>()
  #count = 0

  constructor(
    dials: Queue.Queue<string>,
    registers: Queue.Queue<Control.Register>,
    responses: Queue.Queue<Control.MgmtResponse>
  ) {
    this.dials = dials
    this.registers = registers
    this.responses = responses
  }

  readonly dial: Dial = (url) =>
    Effect.suspend(() => {
      this.dials.unsafeOffer(url)
      if (!this.reachable) return Effect.fail(new DialError({ url, reason: "nothing listens there" }))
      const [near, far] = MemoryCarrier.pair("hub", "peer")
      this.#accept(far)
      return Effect.acquireRelease(Effect.succeed(near), (carrier) =>
        Effect.sync(() => carrier.close(CloseCode.goingAway, ""))
      )
    })

  /** The control socket of a machine, for messages that no test hook makes. */
  control(machine: string): Carrier | undefined {
    return this.#controls.get(machine)
  }

  /** The hub's word to every client that is paired: a text, and then, when given, a close frame. */
  tellClients(text: string | undefined, close?: { readonly code: number; readonly reason: string }) {
    for (const carrier of this.#clients) {
      if (text !== undefined) carrier.sendText(text)
      if (close !== undefined) carrier.close(close.code, close.reason)
    }
  }

  /** Cuts every session's sockets, as a network does. */
  cutSessions() {
    for (const carrier of this.#sessions) carrier.terminate()
    this.#sessions.clear()
  }

  /** Cuts the control socket of a machine. */
  cutControl(machine: string) {
    this.#controls.get(machine)?.terminate()
  }

  #refuse(carrier: Carrier, message: string) {
    const again = this.retryIn !== undefined && { retryIn: this.retryIn }
    carrier.sendText(Control.encode({ type: "error", message, ...again }))
    carrier.close(CloseCode.policy, message)
  }

  #accept(carrier: Carrier) {
    carrier.receive({
      text: (text) => this.#first(carrier, Either.getOrThrow(Control.decode(text))),
      binary: () => carrier.close(CloseCode.protocolError, "Expected JSON for first message"),
      drain: () => {},
      closed: () => {}
    })
  }

  #first(carrier: Carrier, message: Control.ControlMessage) {
    if (message.type === "register") this.#register(carrier, message)
    else if (message.type === "connect") this.#connect(carrier, message)
    else if (message.type === "session-join") this.#join(carrier, message)
  }

  #register(carrier: Carrier, message: Control.Register) {
    this.registers.unsafeOffer(message)
    const refusal = this.refuseRegister(message)
    if (refusal !== undefined) return this.#refuse(carrier, refusal)
    const name = message.machineName ?? ""
    this.#controls.set(name, carrier)
    carrier.receive({
      text: (text) => this.#onControl(carrier, Either.getOrThrow(Control.decode(text))),
      binary: () => {},
      drain: () => {},
      closed: () => {
        if (this.#controls.get(name) === carrier) this.#controls.delete(name)
      }
    })
    carrier.sendText(`${Control.encode({ type: "registered", machineId: name })}\n`)
  }

  #onControl(carrier: Carrier, message: Control.ControlMessage) {
    if (message.type === "register") return this.#register(carrier, message)
    if (message.type === "mgmt-response") this.responses.unsafeOffer(message)
  }

  #connect(carrier: Carrier, message: Control.Connect) {
    const refusal = this.refuseConnect(message)
    if (refusal !== undefined) return this.#refuse(carrier, refusal)
    const control = this.#controls.get(this.route(message.machineId ?? ""))
    if (control === undefined) return this.#refuse(carrier, "Machine not found")
    const index = ++this.#count
    const sessionId = `session-${index}`
    this.#pending.set(sessionId, { connect: message, client: carrier, index })
    const { identity, wgPubKey } = message
    const client = {
      principal: this.principal,
      revision: 1,
      ...(identity === undefined ? {} : { key: identity }),
      ...(this.services === undefined ? {} : { services: this.services })
    }
    const request: Control.SessionRequest = {
      type: "session-request",
      sessionId,
      sessionIdx: index,
      ...(wgPubKey === undefined ? {} : { wgPubKey }),
      ...(this.vouches ? { client } : {})
    }
    control.sendText(Control.encode(this.sessionRequest(request)))
  }

  #join(agent: Carrier, message: Control.SessionJoin) {
    const pending = this.#pending.get(message.sessionId ?? "")
    if (pending === undefined) return this.#refuse(agent, "Session not found")
    this.#pending.delete(message.sessionId ?? "")
    const { client, index } = pending
    this.#sessions.add(agent).add(client)
    this.#clients.add(client)
    const relay = (
      from: Carrier,
      to: Carrier,
      farewell: string,
      texts: (text: string) => ReadonlyArray<string>,
      frames: (frame: Uint8Array) => ReadonlyArray<Uint8Array>
    ) =>
      from.receive({
        text: (text) => {
          for (const each of texts(text)) to.sendText(each)
        },
        binary: (message) => {
          for (const frame of frames(message)) {
            if (RelayFrame.countHop(frame) && !to.send(frame)) from.pause()
          }
        },
        drain: () => to.resume(),
        closed: () => to.close(CloseCode.goingAway, farewell)
      })
    relay(
      agent,
      client,
      "agent session ended",
      (text) => this.agentText(text),
      (frame) => this.toClient(frame)
    )
    relay(
      client,
      agent,
      "",
      (text) => [text],
      (frame) => this.toAgent(frame)
    )
    agent.sendText(Control.encode({ type: "session-start" }))
    const ready: Control.Ready = {
      type: "ready",
      sessionIdx: index,
      ...(this.vouches ? { principal: this.principal } : {})
    }
    const said = this.ready(ready)
    if (said !== undefined) client.sendText(Control.encode(said))
  }
}

export const make = Effect.map(
  Effect.all([Queue.unbounded<string>(), Queue.unbounded<Control.Register>(), Queue.unbounded<Control.MgmtResponse>()]),
  ([dials, registers, responses]) => new MemoryHub(dials, registers, responses)
)
