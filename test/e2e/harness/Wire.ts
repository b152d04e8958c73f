/**
 * The network between a program and its hub: a TCP forwarder on loopback that can be frozen, slowed, delayed and cut, while
 * both ends are real. What it takes off one socket it writes to the other, and it reads no more than the other takes.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"

export interface Wire {
  readonly port: number
  /** What the program calls the hub. */
  readonly url: string
  /** Nothing passes any more, on what stands and on what is dialled, and neither end notices. */
  readonly freeze: () => void
  /** What is frozen goes on. */
  readonly thaw: () => void
  /** What stands is frozen for good, as after a change of address; what is dialled from now on works. */
  readonly abandon: () => void
  /** Resets what stands, at both ends. */
  readonly reset: () => void
  /** Bytes that pass in a second, in each direction of each connection; infinitely many until it is said. */
  readonly slow: (bytesPerSecond: number) => void
  /** Milliseconds that everything is under way; 0 until it is said. */
  readonly delay: (milliseconds: number) => void
  /** Connections taken so far, and those that stand. */
  readonly taken: () => number
  readonly standing: () => number
}

/** Both sockets of one connection. */
interface Pair {
  readonly near: Net.Socket
  readonly far: Net.Socket
  frozen: boolean
  abandoned: boolean
}

const ignore = () => {}

/** Resets a socket. Node cannot while its end is under way: it fails, and keeps the thread of the test from ending. */
const reset = (socket: Net.Socket): void => {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** A wire to a port of loopback. What stands ends with the scope. */
export const make = (target: number): Effect.Effect<Wire, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const pairs = new Set<Pair>()
    const timers = new Set<ReturnType<typeof setTimeout>>()
    let frozen = false
    let rate = Number.POSITIVE_INFINITY
    let latency = 0
    let taken = 0

    const later = (milliseconds: number, act: () => void) => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        act()
      }, milliseconds)
      timers.add(timer)
    }

    const isStill = (pair: Pair) => pair.frozen || pair.abandoned

    const join = (pair: Pair, from: Net.Socket, to: Net.Socket) => {
      let busyUntil = 0
      const readOn = () => {
        if (!isStill(pair)) from.resume()
      }
      /** When what is taken now has passed, from now. */
      const passing = (bytes: number): number => {
        const now = performance.now()
        busyUntil = Math.max(busyUntil, now) + (bytes / rate) * 1_000
        return busyUntil - now
      }
      /** What is under way, in its order: that of the timers is not it when rate or delay change meanwhile. */
      const underWay: Array<Buffer> = []
      const pass = () => {
        const chunk = underWay.shift()
        if (chunk !== undefined && !to.destroyed && !to.write(chunk)) from.pause()
      }
      from.on("data", (chunk: Buffer) => {
        underWay.push(chunk)
        if (rate === Number.POSITIVE_INFINITY && latency === 0 && underWay.length === 1) return pass()
        const wait = passing(chunk.length)
        from.pause()
        later(wait, readOn)
        later(wait + latency, pass)
      })
      to.on("drain", readOn)
      from.on("end", () => later(passing(0) + latency, () => to.end()))
      from.on("error", ignore)
      from.on("close", () => {
        if (to.destroyed) pairs.delete(pair)
        // Whoever is frozen is not told.
        else if (!from.readableEnded && !isStill(pair)) reset(to)
      })
    }

    /** What became of a pair while nothing passed is felt now. */
    const goOn = (pair: Pair) => {
      if (isStill(pair)) return
      if (pair.near.destroyed) reset(pair.far)
      if (pair.far.destroyed) reset(pair.near)
      pair.near.resume()
      pair.far.resume()
    }

    const still = (pair: Pair) => {
      pair.near.pause()
      pair.far.pause()
    }

    const server = Net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (near) => {
      const far = Net.connect({ port: target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true })
      const pair: Pair = { near, far, frozen, abandoned: false }
      taken++
      pairs.add(pair)
      join(pair, near, far)
      join(pair, far, near)
      if (frozen) still(pair)
      else goOn(pair)
    })
    const destroy = (pair: Pair) => {
      reset(pair.near)
      reset(pair.far)
    }
    yield* Effect.acquireRelease(
      Effect.async<void, Error>((resume) => {
        server.once("error", (error) => resume(Effect.fail(error)))
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          for (const timer of timers) clearTimeout(timer)
          for (const pair of [...pairs]) destroy(pair)
          server.close(() => resume(Effect.void))
        })
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return {
      port,
      url: `ws://127.0.0.1:${port}`,
      freeze: () => {
        frozen = true
        for (const pair of pairs) {
          pair.frozen = true
          still(pair)
        }
      },
      thaw: () => {
        frozen = false
        for (const pair of pairs) {
          pair.frozen = false
          goOn(pair)
        }
      },
      abandon: () => {
        for (const pair of pairs) {
          pair.abandoned = true
          still(pair)
        }
      },
      reset: () => {
        for (const pair of [...pairs]) destroy(pair)
      },
      slow: (bytesPerSecond) => {
        rate = bytesPerSecond
      },
      delay: (milliseconds) => {
        latency = milliseconds
      },
      taken: () => taken,
      standing: () => pairs.size
    }
  })
