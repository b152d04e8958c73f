/**
 * Memory for what links keep so that they can go on in another carrier: of a whole program, and of each identity in it.
 * A link has a reserve from its birth to its end, so that nobody's links can starve another's, and takes more while it has
 * more under way; when there is no more, its window is smaller. What it leaves to be delivered after its end counts until it
 * is. What is kept so never exceeds the budget, and the busy leave some of it for the moment when all lose their carrier at
 * once.
 */
import { KEPT_BYTES, KEPT_BYTES_PER_IDENTITY, KEPT_RESERVE } from "../protocol/Limits.ts"

/** One link's part. */
export interface KeepAccount {
  /** Takes exactly `bytes` more for what is under way, or nothing. */
  readonly take: (bytes: number) => boolean
  /** The same for what waits while there is no carrier. */
  readonly takeWaiting: (bytes: number) => boolean
  readonly give: (bytes: number) => void
  /** Gives back all there is, the reserve included. */
  readonly close: () => void
}

/**
 * Takes memory, in bytes, for what is still to be delivered after its link's end. The result gives all of it back, once; it
 * is undefined when there is none.
 */
export type Linger = (bytes: number) => (() => void) | undefined

export interface KeepBudgetOptions {
  /** Bytes in all. */
  readonly total?: number | undefined
  /** Bytes of one identity. */
  readonly perIdentity?: number | undefined
}

/** Up to which part of it, and of an identity's, the budget is there for what. */
const FOR_BUSY = 1 / 2
const FOR_RESERVES = 3 / 4
const FOR_LINGERING = 5 / 8
const FOR_WAITING = 1

export class KeepBudget {
  readonly #total: number
  readonly #perIdentity: number
  readonly #used = new Map<string, number>()
  /** Bytes that nobody has. */
  left: number

  constructor({ perIdentity = KEPT_BYTES_PER_IDENTITY, total = KEPT_BYTES }: KeepBudgetOptions = {}) {
    this.left = total
    this.#total = total
    this.#perIdentity = perIdentity
  }

  /** Bytes that the links of an identity have. */
  usedBy(identity: string): number {
    return this.#used.get(identity) ?? 0
  }

  /** An account for a new link; undefined when there is no reserve left for it. */
  open(identity: string): KeepAccount | undefined {
    if (!this.#take(identity, KEPT_RESERVE, FOR_RESERVES)) return undefined
    let held = KEPT_RESERVE
    const take = (bytes: number, part: number) => {
      if (held === 0 || !this.#take(identity, bytes, part)) return false
      held += bytes
      return true
    }
    return {
      take: (bytes) => take(bytes, FOR_BUSY),
      takeWaiting: (bytes) => take(bytes, FOR_WAITING),
      give: (bytes) => {
        const given = Math.min(bytes, held)
        held -= given
        this.#give(identity, given)
      },
      close: () => {
        this.#give(identity, held)
        held = 0
      }
    }
  }

  /** {@link Linger} for a link of an identity. It needs no account, which a link may not have, and which ends with it. */
  linger(identity: string, bytes: number): (() => void) | undefined {
    if (!this.#take(identity, bytes, FOR_LINGERING)) return undefined
    let held = bytes
    return () => {
      this.#give(identity, held)
      held = 0
    }
  }

  #take(identity: string, bytes: number, part: number): boolean {
    const used = this.usedBy(identity) + bytes
    const isFull = this.#total - this.left + bytes > this.#total * part
    if (isFull || used > this.#perIdentity * part) return false
    this.left -= bytes
    this.#used.set(identity, used)
    return true
  }

  #give(identity: string, bytes: number) {
    this.left += bytes
    const used = this.usedBy(identity) - bytes
    if (used > 0) this.#used.set(identity, used)
    else this.#used.delete(identity)
  }
}
