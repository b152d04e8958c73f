/**
 * What a link has sent and its peer has not acknowledged: the positioned frames of each record, as they were, so that they
 * can be sent again in another carrier. Positions lie only between records, so a record is kept, acknowledged and sent
 * again whole.
 */
import { KEPT_RECORD_BYTES, SMALL_CHUNK } from "../protocol/Limits.ts"
import { isSmallPart } from "../transport/Bytes.ts"

/** The positioned frames of one record. */
export interface Kept {
  readonly parts: ReadonlyArray<Uint8Array>
  /** The position of the first byte. */
  readonly start: number
  readonly bytes: number
}

/** A part that may stay a view: it is most of what it keeps alive, and so large that it is worth an object of its own. */
const staysView = (part: Uint8Array): boolean => part.length >= SMALL_CHUNK && !isSmallPart(part)

const joined = (parts: ReadonlyArray<Uint8Array>, bytes: number): Uint8Array => {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/**
 * The same bytes in few pieces that keep nothing else alive: a record may have a thousand parts of nine bytes, each cut from
 * a block of its own. Neighbours that may not stay views are copied together; the chunks of a copy stay what they are.
 */
const own = (parts: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => {
  const owned: Array<Uint8Array> = []
  let small: Array<Uint8Array> = []
  let bytes = 0
  const flush = () => {
    if (bytes === 0) return
    owned.push(joined(small, bytes))
    small = []
    bytes = 0
  }
  for (const part of parts) {
    if (staysView(part)) {
      flush()
      owned.push(part)
    } else {
      small.push(part)
      bytes += part.length
    }
  }
  flush()
  return owned
}

export class Replay {
  /** Those before the first are acknowledged, and gone. */
  #records: Array<Kept | undefined> = []
  #first = 0
  #start = 0
  #end = 0
  /** Where the next record to be sent again stands; undefined when none is. */
  #next: number | undefined
  readonly #keeps: boolean

  /** Without keeping anything, it only counts. */
  constructor(keeps: boolean) {
    this.#keeps = keeps
  }

  /** Up to where everything is acknowledged, and from where it is kept. */
  get start(): number {
    return this.#start
  }

  /** Up to where everything has been sent. */
  get end(): number {
    return this.#end
  }

  /** Where the next record stands, one that is sent again or a new one. */
  get position(): number {
    return this.#next === undefined ? this.#end : (this.#records[this.#next]?.start ?? this.#end)
  }

  get bytes(): number {
    return this.#end - this.#start
  }

  get records(): number {
    return this.#records.length - this.#first
  }

  /** What is kept counts for this much memory, and takes at most about twice as much. */
  get cost(): number {
    return this.bytes + this.records * KEPT_RECORD_BYTES
  }

  push(parts: ReadonlyArray<Uint8Array>, bytes: number): void {
    if (this.#keeps) this.#records.push({ parts: own(parts), start: this.#end, bytes })
    this.#end += bytes
  }

  /** Drops everything up to `position`; false when that is not between two records, or was never sent. */
  acknowledge(position: number): boolean {
    if (position < this.#start || position > this.#end) return false
    let first = this.#first
    while (this.#endOf(first) <= position) first++
    if (this.#keeps && (this.#records[first]?.start ?? this.#end) !== position) return false
    this.#records.fill(undefined, this.#first, first)
    this.#first = first
    this.#start = position
    if (this.#next !== undefined) this.#next = Math.max(this.#next, first)
    if (first > 64 && first * 2 > this.#records.length) this.#compact()
    return true
  }

  #endOf(index: number): number {
    const kept = this.#records[index]
    return kept === undefined ? Number.POSITIVE_INFINITY : kept.start + kept.bytes
  }

  /** Shortens the list itself, seldom enough to cost nothing for each record. */
  #compact() {
    this.#records = this.#records.slice(this.#first)
    if (this.#next !== undefined) this.#next -= this.#first
    this.#first = 0
  }

  /** Sends everything again from `position` on, which is acknowledged by that; false as {@link acknowledge}. */
  rewind(position: number): boolean {
    if (!this.acknowledge(position)) return false
    this.#next = this.#first
    return true
  }

  /** The next record that is to be sent again; undefined when there is none. */
  takeAgain(): Kept | undefined {
    if (this.#next === undefined) return undefined
    const kept = this.#records[this.#next]
    this.#next = kept === undefined ? undefined : this.#next + 1
    return kept
  }

  clear(): void {
    this.#records = []
    this.#first = 0
    this.#start = this.#end
    this.#next = undefined
  }
}
