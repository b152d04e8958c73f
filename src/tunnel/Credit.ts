/**
 * Credit bounds what a receiver may have to hold for its streams, and nothing else (docs/protocol.md, "Credit"): a stream
 * starts with a small window, which grows while its reader keeps up, out of one pool for the whole link.
 */
import { LINK_CREDIT_POOL, STREAM_CREDIT_FLOOR, STREAM_CREDIT_INITIAL, STREAM_CREDIT_MAX } from "../protocol/Limits.ts"

/** What a link still has to give out, in bytes. */
export class CreditPool {
  left = LINK_CREDIT_POOL

  /** Takes exactly `bytes`, or nothing. */
  take(bytes: number): boolean {
    if (bytes > this.left) return false
    this.left -= bytes
    return true
  }
}

/** The receiving side of one stream: what its sender may send, and what was sent and read so far. Absolute offsets. */
export class ReceiveCredit {
  readonly #pool: CreditPool
  #window: number
  #pooled: number
  #limit: number
  #consumed = 0
  #received = 0
  #grownAt = 0

  constructor(pool: CreditPool) {
    this.#pool = pool
    this.#pooled = pool.take(STREAM_CREDIT_INITIAL) ? STREAM_CREDIT_INITIAL : 0
    this.#window = Math.max(this.#pooled, STREAM_CREDIT_FLOOR)
    this.#limit = this.#window
  }

  /** What the sender has been allowed so far. */
  get limit(): number {
    return this.#limit
  }

  /** Counts received bytes; false when the sender had no credit for them. */
  receive(bytes: number): boolean {
    this.#received += bytes
    return this.#received <= this.#limit
  }

  /** Counts bytes that the reader has taken; true when the sender is to be told of a new limit. */
  consume(bytes: number): boolean {
    this.#consumed += bytes
    if (this.#limit - this.#consumed > this.#window / 2) return false
    if (this.#consumed - this.#grownAt >= this.#window) this.#grow()
    this.#limit = this.#consumed + this.#window
    return true
  }

  /** The reader took a whole window: it keeps up, so give it twice as much if the pool has it. */
  #grow() {
    this.#grownAt = this.#consumed
    const more = Math.min(
      Math.max(this.#window, STREAM_CREDIT_INITIAL - this.#window),
      STREAM_CREDIT_MAX - this.#window
    )
    if (more <= 0 || !this.#pool.take(more)) return
    this.#pooled += more
    this.#window += more
  }

  /** Gives back what the stream had of the pool. */
  release(): void {
    this.#pool.left += this.#pooled
    this.#pooled = 0
  }
}
