/**
 * Memory for what links keep so that they can go on in another carrier: of a whole program, and of each identity in it.
 * A link has a reserve from its birth to its end, so that nobody's links can starve another's, and takes more while it has
 * more under way; when there is no more, its window is smaller. What is kept so never exceeds the budget.
 */
import { KEPT_BYTES, KEPT_BYTES_PER_IDENTITY, KEPT_RESERVE } from "../protocol/Limits.ts"

/** One link's part. */
export interface KeepAccount {
  /** Takes exactly `bytes` beyond the reserve, or nothing. */
  readonly take: (bytes: number) => boolean
  readonly give: (bytes: number) => void
  /** Gives back all there is, the reserve included. */
  readonly close: () => void
}

export interface KeepBudgetOptions {
  /** Bytes in all. */
  readonly total?: number | undefined
  /** Bytes of one identity. */
  readonly perIdentity?: number | undefined
}

export class KeepBudget {
  readonly #perIdentity: number
  readonly #used = new Map<string, number>()
  /** Bytes that nobody has. */
  left: number

  constructor({ perIdentity = KEPT_BYTES_PER_IDENTITY, total = KEPT_BYTES }: KeepBudgetOptions = {}) {
    this.left = total
    this.#perIdentity = perIdentity
  }

  /** Bytes that the links of an identity have. */
  usedBy(identity: string): number {
    return this.#used.get(identity) ?? 0
  }

  /** An account for a new link; undefined when there is no reserve left for it. */
  open(identity: string): KeepAccount | undefined {
    if (!this.#take(identity, KEPT_RESERVE)) return undefined
    let held = KEPT_RESERVE
    return {
      take: (bytes) => {
        if (held === 0 || !this.#take(identity, bytes)) return false
        held += bytes
        return true
      },
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

  #take(identity: string, bytes: number): boolean {
    const used = this.usedBy(identity) + bytes
    if (bytes > this.left || used > this.#perIdentity) return false
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
