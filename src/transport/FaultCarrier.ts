/**
 * A carrier on a bad network, for tests: made from the near end of any carrier, it delays, slows, holds back and cuts what
 * passes in either direction. It invents and reorders nothing: what arrives was sent, in this order, as on TCP; what a
 * carrier cannot do to its own bytes, two of them can, when an old one is held and released while a new one is up.
 *
 * Held, neither end notices anything: sends fill up as they do on a real half-open connection, and `closed` does not come.
 */
import { CloseCode } from "../protocol/Close.ts"
import { CARRIER_HIGH_WATER, CARRIER_LIMIT, CLOSE_TIMEOUT } from "../protocol/Limits.ts"
import { type Carrier, CarrierClosed, type CarrierReceiver } from "./Carrier.ts"
import { fair, FaultPath, type Weather } from "./FaultPath.ts"

/** Out is from the near end to the far one. */
export type Direction = "out" | "in" | "both"

/** Who hears of a cut: the near end is the one that holds the fault carrier. */
export type Hearing = "both" | "near" | "far"

export interface FaultOptions {
  /** In [0, 1), for jitter; a seeded one makes a run repeatable. */
  readonly random?: (() => number) | undefined
  readonly weather?: Weather | undefined
  /** Told of the first text that the near end sends: a connection to a hub is what this says. */
  readonly firstText?: ((text: string) => void) | undefined
  /** Both ends have heard that it is over, and nothing is left of it. */
  readonly over?: (() => void) | undefined
}

const abnormal = (): CarrierClosed => new CarrierClosed({ code: CloseCode.abnormal, reason: "" })

/** What is under way: messages, and what ends the connection, in the same order. */
type Item = Uint8Array | string | CarrierClosed

export class FaultCarrier implements Carrier {
  readonly peer: string
  readonly #inner: Carrier
  readonly #out: FaultPath<Item>
  readonly #in: FaultPath<Item>
  readonly #over: () => void
  #firstText: ((text: string) => void) | undefined
  #receiver: CarrierReceiver | undefined
  #received = false
  #waiting = false
  #innerPaused = false
  #leaving: ReturnType<typeof setTimeout> | undefined
  /** The near end has said goodbye. */
  #closing = false
  /** How it ended for the near end. */
  #how: CarrierClosed | undefined
  #farOver = false

  constructor(inner: Carrier, options: FaultOptions = {}) {
    const { firstText, over = () => {}, random = Math.random, weather = fair } = options
    this.peer = inner.peer
    this.#inner = inner
    this.#firstText = firstText
    this.#over = over
    this.#out = new FaultPath<Item>({
      random,
      deliver: (item) => {
        if (typeof item === "string") return inner.sendText(item)
        if (item instanceof Uint8Array) return inner.send(item)
        if (item.code === CloseCode.abnormal) inner.terminate()
        else inner.close(item.code, item.reason)
        return true
      },
      left: () => queueMicrotask(() => this.#drainIfDue())
    })
    this.#in = new FaultPath<Item>({
      random,
      deliver: (item) => {
        if (item instanceof CarrierClosed) this.#end(item)
        else if (typeof item === "string") this.#receiver?.text(item)
        else this.#receiver?.binary(item)
        return !this.#in.isBlocked
      },
      left: () => this.#readOnIfDue()
    })
    this.set(weather)
  }

  // ---- the carrier

  get buffered() {
    return this.#out.bytes + this.#inner.buffered
  }

  get isClosed() {
    return this.#closing || this.#how !== undefined
  }

  send(message: Uint8Array) {
    return this.#send(Uint8Array.from(message))
  }

  sendText(message: string) {
    if (!this.isClosed) this.#firstText?.(message)
    this.#firstText = undefined
    return this.#send(message)
  }

  #send(message: Uint8Array | string) {
    if (this.isClosed) return true
    this.#out.push(message, message.length)
    if (this.buffered < CARRIER_HIGH_WATER) return true
    if (this.buffered > CARRIER_LIMIT) this.terminate()
    this.#waiting = true
    return false
  }

  receive(receiver: CarrierReceiver) {
    if (this.#how !== undefined) return receiver.closed(this.#how)
    this.#receiver = receiver
    if (this.#received) return
    this.#received = true
    this.#inner.receive({
      binary: (message) => this.#arrived(message, message.length),
      text: (message) => this.#arrived(message, message.length),
      drain: () => {
        this.#out.unblock()
        this.#drainIfDue()
      },
      closed: (how) => {
        this.#farOver = true
        this.#out.drop()
        if (this.#how === undefined) this.#in.push(how, 0)
        else this.#over()
      }
    })
  }

  pause() {
    this.#in.block()
  }

  resume() {
    this.#in.unblock()
  }

  close(code: number, reason: string) {
    if (this.isClosed) return
    this.#closing = true
    this.#in.unblock()
    this.#out.push(new CarrierClosed({ code: code === CloseCode.abnormal ? CloseCode.goingAway : code, reason }), 0)
    // Whoever says goodbye to a peer that cannot hear it is alone in the end; the peer hears it when it is released.
    if (this.#how === undefined) this.#leaving = setTimeout(() => this.#end(abnormal()), CLOSE_TIMEOUT)
  }

  revoke(code: number, reason: string) {
    this.close(code, reason)
  }

  terminate() {
    if (this.#how !== undefined) return
    this.#out.drop()
    this.#out.push(abnormal(), 0)
    this.#end(abnormal())
  }

  // ---- the faults

  set(weather: Weather): void {
    this.#out.set(weather)
    this.#in.set(weather)
  }

  /** From now on nothing passes in that direction, and nobody notices. */
  hold(direction: Direction = "both"): void {
    if (direction !== "in") this.#out.hold()
    if (direction !== "out") this.#in.hold()
  }

  /** What was held goes on, late. */
  release(): void {
    this.#out.release()
    this.#in.release()
  }

  /**
   * The connection is lost with what is under way, and each end that hears of it sees 1006. An end that does not hear of it
   * does so at {@link release}; what had been sent to the far end before a cut that only the near end hears comes first.
   */
  cut(hearing: Hearing = "both"): void {
    if (hearing !== "near") {
      if (hearing === "far") this.hold()
      this.#out.drop()
      this.#inner.terminate()
    }
    if (hearing === "far" || this.#how !== undefined) return
    if (hearing === "near") {
      this.hold()
      this.#out.push(abnormal(), 0)
    }
    this.#end(abnormal())
  }

  // ---- inside

  #arrived(message: Uint8Array | string, size: number) {
    if (this.#how !== undefined) return
    this.#in.push(message, size)
    if (this.#in.bytes < CARRIER_HIGH_WATER || this.#innerPaused) return
    this.#innerPaused = true
    this.#inner.pause()
  }

  #readOnIfDue() {
    if (!this.#innerPaused || this.#in.bytes > CARRIER_HIGH_WATER / 2) return
    this.#innerPaused = false
    this.#inner.resume()
  }

  #drainIfDue() {
    if (!this.#waiting || this.isClosed || this.#out.bytes > 0 || this.#out.isBlocked) return
    this.#waiting = false
    this.#receiver?.drain()
  }

  #end(how: CarrierClosed) {
    if (this.#how !== undefined) return
    this.#how = how
    clearTimeout(this.#leaving)
    this.#in.drop()
    const receiver = this.#receiver
    this.#receiver = undefined
    receiver?.closed(how)
    this.#readOnIfDue()
    if (this.#farOver) this.#over()
  }
}

/** Puts a bad network under a carrier; `over` is called when both of its ends have heard of its end. */
export const make = (inner: Carrier, options?: FaultOptions): FaultCarrier => new FaultCarrier(inner, options)
