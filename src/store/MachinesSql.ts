/** Machines last seen in SQLite: written in batches, a few a turn, by one fiber. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { DIRECTORY_MACHINES, HUB_RUNNING_INTERVAL, MACHINES_BATCH_DELAY, MACHINES_WRITE } from "../protocol/Limits.ts"
import { turn } from "../transport/Slices.ts"
import { Database } from "./Database.ts"
import type { DatabaseError } from "./Database.ts"
import { Machines } from "./Machines.ts"
import type { SeenMachine } from "./Machines.ts"

const Row = Schema.Struct({
  name: Schema.String,
  about: Schema.String,
  registeredBy: Schema.String,
  registeredAt: Schema.Number,
  lastSeen: Schema.NullOr(Schema.Number)
})
const decodeRow = Schema.decodeUnknownOption(Row)

/** Rows that there may be above DIRECTORY_MACHINES before the oldest go: finding them looks at all. */
const SLACK = 1_000

/** Everything noted is written when the scope ends. */
const make: Effect.Effect<typeof Machines.Service, DatabaseError, Database | Scope.Scope> = Effect.gen(function* () {
  const { read, sql, write } = yield* Database
  const waiting = new Map<string, SeenMachine>()
  const due = yield* Effect.makeLatch()
  let failing = false

  const append = (machines: ReadonlyArray<SeenMachine>) =>
    write((run) =>
      run(
        sql`INSERT INTO machines (name, about, registered_by, registered_at, last_seen)
          SELECT value->>'name', value->>'about', value->>'registeredBy', value->>'registeredAt', value->>'lastSeen'
          FROM json_each(${JSON.stringify(machines)}) WHERE true
          ON CONFLICT (name) DO UPDATE SET about = excluded.about, registered_by = excluded.registered_by,
            registered_at = excluded.registered_at, last_seen = excluded.last_seen
          WHERE excluded.registered_at >= registered_at`
      )
    )

  /** The machine that is offline longest goes first. */
  const prune = Effect.gen(function* () {
    const [row] = yield* read(sql<{ readonly count: number }>`SELECT count(*) AS count FROM machines`)
    const excess = (row?.count ?? 0) - DIRECTORY_MACHINES
    if (excess <= 0) return
    yield* write((run) =>
      run(
        sql`DELETE FROM machines WHERE name IN
          (SELECT name FROM machines ORDER BY coalesce(last_seen, 9e15), registered_at LIMIT ${excess})`
      )
    )
  })

  /** What cannot be written is said once: the hub itself has it, and the next one does without. */
  const attempt = (writing: Effect.Effect<unknown, DatabaseError>): Effect.Effect<void> =>
    Effect.matchEffect(writing, {
      onSuccess: () => Effect.sync(() => void (failing = false)),
      onFailure: ({ message }) =>
        Effect.suspend(() => {
          if (failing) return Effect.void
          failing = true
          return Effect.logError(`machines are not kept for the next start: ${message}`)
        })
    })

  let written = 0
  const writeWaiting = Effect.gen(function* () {
    while (waiting.size > 0) {
      const batch = [...waiting.values()].slice(0, MACHINES_WRITE)
      for (const { name } of batch) waiting.delete(name)
      yield* attempt(append(batch))
      written += batch.length
      if (written >= SLACK) {
        written = 0
        yield* attempt(prune)
      }
      yield* turn
    }
  })

  const running = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    attempt(write((run) => run(sql`UPDATE running SET at = ${now}`)))
  )

  yield* prune
  const [before] = yield* read(sql<{ readonly at: number }>`SELECT at FROM running`)
  yield* Effect.addFinalizer(() => Effect.zipRight(writeWaiting, running))
  yield* due.await.pipe(
    Effect.zipRight(Effect.sleep(MACHINES_BATCH_DELAY)),
    Effect.zipRight(due.close),
    Effect.zipRight(Effect.uninterruptible(writeWaiting)),
    Effect.forever,
    Effect.forkScoped
  )
  // A timer of the system: a clock that a test sets to some day would have it run once for each minute until then.
  const run = yield* FiberSet.makeRuntime<never>()
  yield* running
  yield* Effect.acquireRelease(
    Effect.sync(() => setInterval(() => void run(running), HUB_RUNNING_INTERVAL).unref()),
    (timer) => Effect.sync(() => clearInterval(timer))
  )

  return {
    seen: Effect.map(
      read(
        sql`SELECT name, about, registered_by AS registeredBy, registered_at AS registeredAt, last_seen AS lastSeen
          FROM machines ORDER BY coalesce(last_seen, 9e15), registered_at`
      ),
      (rows) => ({
        machines: rows.flatMap((row) =>
          Option.match(decodeRow(row), {
            onNone: () => [],
            onSome: (machine) => [{ ...machine, lastSeen: machine.lastSeen ?? undefined }]
          })
        ),
        until: before?.at ?? 0
      })
    ).pipe(Effect.orDie),
    note: (machine) => {
      if (waiting.size >= DIRECTORY_MACHINES && !waiting.has(machine.name)) return
      waiting.set(machine.name, machine)
      due.unsafeOpen()
    }
  }
})

export const layer: Layer.Layer<Machines, DatabaseError, Database> = Layer.scoped(Machines, make)
