/**
 * One direction of a bad network: what enters leaves later, slowly, or not before it is let, and always in order. Time is
 * that of `setTimeout`, at most one timer a path; it ends when the path is empty, held or dropped.
 */

/** What a network is like, in each direction. */
export interface Weather {
  /** Milliseconds that every message is under way. */
  readonly delay: number
  /** Milliseconds that chance adds to it, at most. Order is kept all the same. */
  readonly jitter: number
  /** What passes in a second; the rest waits, and whoever sends it is asked to. */
  readonly bytesPerSecond: number
}

/** A network that does nothing of its own. */
export const fair: Weather = { delay: 0, jitter: 0, bytesPerSecond: Number.POSITIVE_INFINITY }

interface Waiting<A> {
  readonly item: A
  readonly size: number
  /** When it has arrived, were there nothing before it; milliseconds of `performance.now`. */
  readonly due: number
}

export interface FaultPathOptions<A> {
  /** In [0, 1), for jitter. */
  readonly random: () => number
  /** Takes what leaves; false when nothing may follow before {@link FaultPath.unblock}. */
  readonly deliver: (item: A) => boolean
  /** After something has left. */
  readonly left: () => void
}

export class FaultPath<A> {
  readonly #options: FaultPathOptions<A>
  #weather: Weather = fair
  #queue: Array<Waiting<A>> = []
  #bytes = 0
  /** When the message that left last had passed. */
  #freeAt = 0
  #held = false
  #blocked = false
  #pumping = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: FaultPathOptions<A>) {
    this.#options = options
  }

  /** Bytes that wait in it. */
  get bytes(): number {
    return this.#bytes
  }

  get isBlocked(): boolean {
    return this.#blocked
  }

  push(item: A, size: number): void {
    const { delay, jitter } = this.#weather
    this.#queue.push({ item, size, due: performance.now() + delay + jitter * this.#options.random() })
    this.#bytes += size
    this.#pump()
  }

  /** From now on; what is under way keeps its delay, and takes the new speed. */
  set(weather: Weather): void {
    this.#weather = weather
    this.#freeAt = Math.min(this.#freeAt, performance.now())
    this.#pump()
  }

  /** Nothing leaves any more, and nobody is told. */
  hold(): void {
    this.#held = true
    this.#stopTimer()
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    this.#goOn()
  }

  block(): void {
    this.#blocked = true
  }

  unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    this.#goOn()
  }

  /** Loses what waits. */
  drop(): void {
    this.#queue = []
    this.#bytes = 0
    this.#stopTimer()
  }

  /** The speed counts from now: while nothing could leave, nothing passed. */
  #goOn() {
    this.#freeAt = Math.max(this.#freeAt, performance.now())
    this.#pump()
  }

  #stopTimer() {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #pump() {
    if (this.#pumping) return
    this.#pumping = true
    this.#stopTimer()
    let some = false
    while (!this.#held && !this.#blocked) {
      const next = this.#queue[0]
      if (next === undefined) break
      const { bytesPerSecond } = this.#weather
      const passed = Math.max(next.due, this.#freeAt) + (next.size * 1_000) / bytesPerSecond
      const wait = passed - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(wait))
        break
      }
      this.#queue.shift()
      this.#bytes -= next.size
      this.#freeAt = passed
      some = true
      if (!this.#options.deliver(next.item)) this.#blocked = true
    }
    this.#pumping = false
    if (some) this.#options.left()
  }
}
