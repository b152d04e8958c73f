/**
 * The user at the near end of every contender, in a process of its own. Takes a job as JSON in its argument, prints what
 * it measured as JSON, and ends. Bytes are counted in the direction of the job; times are milliseconds.
 */
import * as Net from "node:net"
import type { Job, Measured } from "./figures/Job.ts"
import { pour } from "./figures/pour.ts"

const CHUNK = Buffer.alloc(256 * 1024, 0xa5)
const PROBE = Buffer.alloc(64, 0x11)

/** Connections opened a moment ago are slow: their windows, and in the programs between their code, are still growing. */
const PROBES_IGNORED = 1_000

/** From one paced probe to the next. */
const PROBE_GAP = 2

const connect = (port: number): Promise<Net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
    socket.once("error", reject)
    socket.once("connect", () => resolve(socket))
  })

const header = (direction: "up" | "down", bytes: number): Buffer => {
  const head = Buffer.alloc(9)
  head.write(direction === "up" ? "U" : "D")
  head.writeBigUInt64LE(BigInt(bytes), 1)
  return head
}

/** Moves that many bytes over one connection, or, without an end, as many as it can until it is destroyed. */
const move = async (port: number, direction: "up" | "down", bytes: number): Promise<void> => {
  const socket = await connect(port)
  socket.write(header(direction, Math.min(bytes, Number.MAX_SAFE_INTEGER)))
  await new Promise<void>((resolve, reject) => {
    socket.on("close", () => reject(new Error("the connection ended before all bytes had passed")))
    if (direction === "down") {
      let got = 0
      socket.on("data", (chunk) => {
        got += chunk.length
        if (got === bytes) resolve()
      })
      return
    }
    socket.once("data", () => resolve())
    pour(socket, bytes, CHUNK)
  })
  socket.removeAllListeners("close").destroy()
}

/** A connection for round trips, one at a time; each resolves to how long it took. */
const prober = async (port: number) => {
  const socket = await connect(port)
  let got = 0
  let back = () => {}
  socket.on("data", (chunk) => {
    got += chunk.length
    if (got % PROBE.length === 0) back()
  })
  socket.on("close", () => {
    throw new Error("the connection under the round trips ended")
  })
  return async (): Promise<number> => {
    const started = performance.now()
    await new Promise<void>((resolve) => {
      back = resolve
      socket.write(PROBE)
    })
    return performance.now() - started
  }
}

const summary = (times: ReadonlyArray<number>) => {
  const sorted = times.toSorted((a, b) => a - b)
  const quantile = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
  return { p50: quantile(0.5), p99: quantile(0.99) }
}

/** Never resolves. */
const forever = new Promise<never>(() => {})

/** Takes all that the service sends; each line on standard input is answered with the rate since the one before. */
const metered = async (port: number): Promise<never> => {
  const socket = await connect(port)
  let got = 0
  let since = performance.now()
  socket.on("close", () => {
    throw new Error("the connection that was to last ended")
  })
  socket.on("data", (chunk) => (got += chunk.length))
  process.stdin.on("data", () => {
    const now = performance.now()
    process.stdout.write(`${JSON.stringify({ rate: got / 1e3 / (now - since) })}\n`)
    got = 0
    since = now
  })
  socket.write(header("down", Number.MAX_SAFE_INTEGER))
  return forever
}

/** From one time at which visits are caught up with to the next. */
const VISITS_TICK = 10

const visits = (port: number, perSecond: number): Promise<never> => {
  const begun = performance.now()
  let visited = 0
  setInterval(() => {
    for (const due = ((performance.now() - begun) / 1000) * perSecond; visited < due; visited++) {
      Net.connect({ port, host: "127.0.0.1" }, function (this: Net.Socket) {
        this.end()
      }).on("error", () => {})
    }
  }, VISITS_TICK)
  console.log("visiting")
  return forever
}

const perform = async (job: Job): Promise<Measured> => {
  switch (job.what) {
    case "bulk": {
      const each = Math.floor((job.megabytes * 1e6) / job.streams)
      const started = performance.now()
      await Promise.all(Array.from({ length: job.streams }, () => move(job.bulk, job.direction, each)))
      return { rate: (each * job.streams) / 1e3 / (performance.now() - started) }
    }
    case "idle": {
      const contenders = [await prober(job.ours), await prober(job.plain)] as const
      const times: ReadonlyArray<Array<number>> = [[], []]
      for (let probe = 0; probe < PROBES_IGNORED + job.probes; probe++) {
        for (const [index, roundTrip] of contenders.entries()) times[index]?.push(await roundTrip())
      }
      const [ours, plain] = times.map((all) => summary(all.slice(PROBES_IGNORED)).p50)
      return { p50: ours, yardstick: plain }
    }
    case "paced": {
      const roundTrip = await prober(job.echo)
      const until = performance.now() + job.seconds * 1000
      const times: Array<number> = []
      while (performance.now() < until) {
        times.push(await roundTrip())
        await new Promise((resolve) => setTimeout(resolve, PROBE_GAP))
      }
      return summary(times)
    }
    case "metered":
      return metered(job.bulk)
    case "visits":
      return visits(job.port, job.perSecond)
    case "flood": {
      const streams = Array.from({ length: job.streams }, () => move(job.bulk, "up", Number.POSITIVE_INFINITY))
      console.log("flooding")
      await Promise.all(streams)
      return {}
    }
  }
}

const job: Job = JSON.parse(process.argv[2] ?? "null")
const measured = await perform(job)
process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit(0))
