import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Postgres from "./harness/Postgres.ts"
import * as Sockets from "./harness/Sockets.ts"
import * as Tools from "./harness/Tools.ts"
import { freePort } from "./harness/Workspace.ts"
import * as World from "./harness/World.ts"

const needed = Tools.missing("postgres", "initdb", "psql")

describe.skipIf(needed.skip)(`psql through the hub${needed.notice}`, () => {
  it.scopedLive("a query is answered by the machine's database, and a large result is whole", () =>
    Effect.gen(function* () {
      const port = yield* freePort()
      yield* Postgres.start("127.0.0.1", port)
      const world = yield* World.make([{ name: "db-01", ports: [port] }])
      const client = yield* world.connect("db-01")
      const local = client.port(`port ${port}`)

      assert.notStrictEqual(local, port)
      assert.strictEqual(yield* Postgres.query(local, "select 6 * 7"), "42\n")
      const rows = yield* Postgres.query(local, "select repeat('tela', 250) from generate_series(1, 20000)")
      assert.strictEqual(rows, `${"tela".repeat(250)}\n`.repeat(20_000))
    })
  )

  // a database on a machine of the network behind the agent (Pattern B), and one on the operator's side with the same port
  it.scopedLive("with its port taken on the operator's side, the table names the port that works instead", () =>
    Effect.gen(function* () {
      const port = yield* freePort("127.0.0.2")
      // whoever else may have it already takes it just as well
      yield* Effect.ignore(Sockets.serve((socket) => socket.destroy(), "127.0.0.1", port))
      yield* Postgres.start("127.0.0.2", port)
      const world = yield* World.make([{ name: "db-01", target: "127.0.0.2", ports: [port] }])
      const client = yield* world.connect("db-01")
      const local = client.port(`port ${port}`)

      assert.notStrictEqual(local, port)
      assert.strictEqual(yield* Postgres.query(local, "select current_database()"), "postgres\n")
    })
  )
})
