/**
 * A real PostgreSQL server on a loopback address, made by initdb in a temporary folder. It trusts whoever reaches it on
 * loopback, and refuses to run as root, so root starts it as another user.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Program from "./Program.ts"
import * as Tools from "./Tools.ts"

/** Users that root may start the server as, in order of preference. */
const UNPRIVILEGED = ["postgres", "nobody"]

interface Account {
  readonly uid: number
  readonly gid: number
}

const account = (): Account | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const passwd = Fs.readFileSync("/etc/passwd", "utf8")
  for (const name of UNPRIVILEGED) {
    const line = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, "m").exec(passwd)
    if (line !== null) return { uid: Number(line[1]), gid: Number(line[2]) }
  }
  throw new Error("PostgreSQL does not run as root, and there is no other user to start it as")
}

const as = (who: Account | undefined, command: string, args: ReadonlyArray<string>): Program.Command =>
  who === undefined
    ? { command, args }
    : {
        command: Tools.path("setpriv"),
        args: [`--reuid=${who.uid}`, `--regid=${who.gid}`, "--clear-groups", command, ...args]
      }

const dataFolder = (who: Account | undefined) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "tela-e2e-pg-"))
      if (who !== undefined) Fs.chownSync(folder, who.uid, who.gid)
      return folder
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  )

/** Starts a server at that address; it answers when this returns, and ends with the scope. Its superuser is `postgres`. */
export const start = (host: string, port: number): Effect.Effect<void, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const who = account()
    const folder = yield* dataFolder(who)
    const data = Path.join(folder, "data")
    yield* Program.run({
      name: "initdb",
      ...as(who, Tools.path("initdb"), [
        "--pgdata",
        data,
        "--username",
        "postgres",
        "--auth",
        "trust",
        "--encoding",
        "UTF8",
        "--locale",
        "C",
        "--no-sync"
      ]),
      cwd: folder
    })
    const server = yield* Program.start({
      name: "postgres",
      ...as(who, Tools.path("postgres"), [
        "-D",
        data,
        "-h",
        host,
        "-p",
        String(port),
        "-k",
        folder,
        "-c",
        "fsync=off",
        "-c",
        "dynamic_shared_memory_type=mmap"
      ]),
      cwd: folder,
      // a fast shutdown: clients are cut off, the server ends cleanly
      endsOn: "SIGINT"
    })
    yield* server.expect(/database system is ready to accept connections/, { within: "60 seconds" })
  })

/** What psql answers to a query, unaligned and without headings. */
export const query = (localPort: number, sql: string) =>
  Program.run({
    command: Tools.path("psql"),
    args: ["-X", "-A", "-t", "-h", "localhost", "-p", String(localPort), "-U", "postgres", "-c", sql],
    env: { PGCONNECT_TIMEOUT: "15" }
  }).pipe(Effect.map(({ stdout }) => stdout))

/** A psql that stays: one connection, asked again and again. */
export interface Session {
  /** The process that serves it on the machine; another one would be another connection. */
  readonly backend: Effect.Effect<string, Program.ProgramFailed>
}

/** Opens a connection that is idle between questions; psql ends with the scope. */
export const session = (localPort: number): Effect.Effect<Session, Program.ProgramFailed, Scope.Scope> =>
  Effect.map(
    Program.start({
      name: "psql",
      command: Tools.path("psql"),
      args: ["-X", "-A", "-t", "-h", "localhost", "-p", String(localPort), "-U", "postgres", "-v", "ON_ERROR_STOP=1"],
      env: { PGCONNECT_TIMEOUT: "15" },
      talks: true
    }),
    (psql) => ({
      backend: Effect.gen(function* () {
        const from = psql.mark("stdout")
        yield* psql.write("select 'backend ' || pg_backend_pid();\n")
        const [, pid = ""] = yield* psql.expect(/^backend (\d+)$/m, { on: "stdout", from, within: "30 seconds" })
        return pid
      })
    })
  )
