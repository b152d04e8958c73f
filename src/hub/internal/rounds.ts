/**
 * Work of many, none of which is urgent: a slice of it a turn of the event loop, one piece of each in its turn, so that
 * whoever has much to be done holds up neither the others nor the loop. What somebody has new stands in the place of what
 * was left of the former: that bounds it.
 */

/** Takes the work of somebody in, the last piece first. */
export type Rounds = (key: string, pieces: Array<() => void>) => void

/** Does `slice` pieces a turn. */
export const make = (slice: number): Rounds => {
  const left = new Map<string, Array<() => void>>()
  let scheduled = false

  const schedule = () => {
    if (scheduled) return
    scheduled = true
    setImmediate(portion)
  }
  const portion = () => {
    scheduled = false
    for (let done = 0; done < slice; done++) {
      const [first] = left
      if (first === undefined) return
      const [key, pieces] = first
      left.delete(key)
      pieces.pop()?.()
      if (pieces.length > 0) left.set(key, pieces)
    }
    if (left.size > 0) schedule()
  }

  return (key, pieces) => {
    left.delete(key)
    if (pieces.length === 0) return
    left.set(key, pieces)
    schedule()
  }
}
