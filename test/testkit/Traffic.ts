/**
 * Local programs and services that a seed moves: streams of all sizes in both directions, slow readers, half-closes and
 * resets; and what must be true of every one of them in the end.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { ResetCode, StreamReset } from "../../src/protocol/StreamReset.ts"
import type { MemoryTela } from "../../src/testkit/MemoryTela.ts"
import type * as Seed from "../../src/testkit/Seed.ts"
import type { ByteStream } from "../../src/transport/ByteStream.ts"
import * as Conditions from "../support/Conditions.ts"

const KiB = 1024
const LARGEST = 3 * 1024 * KiB
/** Each stream has a service of its own, on this port or one of the next. */
const PORT = 7
const STREAMS = 6

/** What one end of a stream is to do. */
interface Part {
  readonly bytes: number
  /** Bytes a write. */
  readonly chunk: number
  /** Milliseconds that it reads nothing, after every 64 KiB; 0 reads at once. */
  readonly slow: number
  /** Resets after so many bytes of its own. */
  readonly resetAfter: number | undefined
}

/** What one end of a stream has done, and was told. */
interface EndState {
  readonly part: Part
  sent: number
  /** It has said that it sends no more. */
  finished: boolean
  received: number
  /** The first byte that is not the one sent. */
  wrongAt: number | undefined
  ended: boolean
  closed: boolean
  reset: StreamReset | undefined
}

interface Stream {
  readonly id: number
  readonly near: EndState
  /** Absent until the service is reached. */
  far: EndState | undefined
}

/** Byte `at` of a stream's direction: a lost, doubled or strange byte is not the one expected. */
const byteOf = (salt: number, at: number) => (Math.imul(at ^ (at >>> 11), 31) + salt * 17) & 0xff

const chunkOf = (salt: number, from: number, size: number) => {
  const chunk = new Uint8Array(size)
  for (let i = 0; i < size; i++) chunk[i] = byteOf(salt, from + i)
  return chunk
}

const fresh = (part: Part): EndState => ({
  part,
  sent: 0,
  finished: false,
  received: 0,
  wrongAt: undefined,
  ended: false,
  closed: false,
  reset: undefined
})

/** Has an end write and read as its part says. */
const drive = (stream: ByteStream, state: EndState, salts: { mine: number; theirs: number }, changed: () => void) => {
  const { part } = state
  let sinceRest = 0
  let resting: ReturnType<typeof setTimeout> | undefined
  const write = () => {
    while (!state.finished && !state.closed) {
      if (part.resetAfter !== undefined && state.sent >= part.resetAfter) {
        return stream.reset(new StreamReset({ code: ResetCode.cancelled, reason: "as planned" }))
      }
      const size = Math.min(part.chunk, part.bytes - state.sent)
      if (size === 0) {
        state.finished = true
        stream.end()
        return changed()
      }
      const chunk = chunkOf(salts.mine, state.sent, size)
      state.sent += size
      if (!stream.write(chunk)) return
    }
  }
  stream.attach({
    data: (chunk) => {
      for (let i = 0; i < chunk.length && state.wrongAt === undefined; i++) {
        if (chunk[i] !== byteOf(salts.theirs, state.received + i)) state.wrongAt = state.received + i
      }
      state.received += chunk.length
      sinceRest += chunk.length
      if (part.slow === 0 || sinceRest < 64 * KiB) return
      sinceRest = 0
      stream.pause()
      resting = setTimeout(() => stream.resume(), part.slow)
    },
    end: () => {
      state.ended = true
      changed()
    },
    drain: write,
    closed: (reset) => {
      clearTimeout(resting)
      state.closed = true
      state.reset = reset
      changed()
    }
  })
  write()
}

export interface Traffic {
  readonly services: Readonly<Record<number, (stream: ByteStream) => void>>
  /** Opens all streams, one after the other. */
  readonly run: (tela: MemoryTela) => Effect.Effect<void>
  /** Waits until every stream is over at both ends. */
  readonly over: Effect.Effect<void>
  /** What is wrong; with `lossless`, also what was lost. */
  readonly problems: (lossless: boolean) => ReadonlyArray<string>
  /** Streams that are not over. */
  readonly standing: () => string
}

const show = (state: EndState | undefined) =>
  state === undefined
    ? "never reached"
    : `sent ${state.sent}/${state.part.bytes}${state.finished ? " fin" : ""}, received ${state.received}` +
      `${state.ended ? " end" : ""}${state.closed ? ` closed${state.reset ? ` by: ${state.reset.reason}` : ""}` : ""}`

/** What is wrong with what one end received of the other. */
const problemsOf = (who: string, to: EndState, from: EndState): ReadonlyArray<string> => {
  const problems: Array<string> = []
  if (to.wrongAt !== undefined) problems.push(`${who}: byte ${to.wrongAt} is not the one sent`)
  if (to.received > from.sent) problems.push(`${who}: received ${to.received} bytes, of ${from.sent} sent`)
  if (to.ended && !(from.finished && to.received === from.part.bytes)) {
    problems.push(`${who}: a clean end after ${to.received} bytes of ${from.part.bytes}`)
  }
  if (!to.ended && to.reset === undefined) problems.push(`${who}: closed without end and without reset`)
  return problems
}

export const make = (seed: Seed.Seed): Traffic => {
  const { changed, when } = Conditions.make()
  const size = () => seed.of([0, 1, seed.between(0, 2 * KiB), seed.between(0, 300 * KiB), seed.between(0, LARGEST)])
  const part = (): Part => {
    const bytes = size()
    return {
      bytes,
      chunk: seed.of([700, 16 * KiB, 100 * KiB]),
      slow: seed.onceIn(4) ? seed.between(1, 8) : 0,
      resetAfter: seed.onceIn(8) ? seed.between(0, bytes) : undefined
    }
  }
  const parts = Array.from({ length: seed.between(2, STREAMS) }, () => ({
    near: part(),
    far: part(),
    after: seed.between(0, 300)
  }))
  const streams: Array<Stream> = []

  const serve = (id: number, far: Part) => (stream: ByteStream) => {
    const opened = streams[id]
    if (opened === undefined || opened.far !== undefined) throw new Error(`stream ${id} came twice, or out of nothing`)
    opened.far = fresh(far)
    drive(stream, opened.far, { mine: id + 100, theirs: id }, changed)
  }

  const isOver = ({ far, near }: Stream) => near.closed && (far === undefined || far.closed)

  return {
    services: Object.fromEntries(parts.map(({ far }, id) => [PORT + id, serve(id, far)])),
    run: (tela) =>
      Effect.forEach(
        parts,
        ({ after, near }, id) =>
          Effect.zipRight(
            Effect.sleep(after),
            Effect.sync(() => {
              const state = fresh(near)
              streams.push({ id, near: state, far: undefined })
              drive(tela.open(PORT + id), state, { mine: id, theirs: id + 100 }, changed)
            })
          ),
        { discard: true }
      ),
    over: when(() => streams.length === parts.length && streams.every(isOver)),
    problems: (lossless) =>
      streams.flatMap(({ far, id, near }) => {
        const planned = near.part.resetAfter !== undefined || far?.part.resetAfter !== undefined
        const found =
          far === undefined
            ? near.reset === undefined
              ? ["the service was never reached, and yet nothing was reset"]
              : []
            : [...problemsOf("the program", near, far), ...problemsOf("the service", far, near)]
        const isWhole = near.closed && far?.closed === true && near.reset === undefined && far.reset === undefined
        if (lossless && !planned && !isWhole) found.push("lost, though nobody was restarted")
        return found.map((problem) => `stream ${id}: ${problem} (program ${show(near)}; service ${show(far)})`)
      }),
    standing: () =>
      streams
        .filter((stream) => !isOver(stream))
        .map(({ far, id, near }) => `stream ${id}: program ${show(near)}; service ${show(far)}`)
        .join("\n")
  }
}

/** Waits until it holds, for what says nothing when it changes; fails with what is named after `within` milliseconds. */
export const eventually = (what: () => string, holds: () => boolean, within = 10_000): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail(new Error(`not yet: ${what()}`)))).pipe(
    Effect.retry(Schedule.intersect(Schedule.spaced(20), Schedule.recurs(within / 20))),
    Effect.orDie
  )
