import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Program from "./harness/Program.ts"
import * as Tela from "./harness/Tela.ts"

const TRIALS = process.env["TELA_LONG"] === "1" ? 500 : 8

/**
 * Changes that are acknowledged before the moment of the kill is drawn, from none on: what a trial sees must not hang on how
 * fast the disk is.
 */
const acknowledgedBefore = (trial: number) => trial % 5
/** Longest from then to the kill, in milliseconds. */
const LONGEST = 120

const LANES = 4

/** What the API says of an identity, as far as the changes below can tell it. */
interface State {
  readonly machines: Readonly<Record<string, string>>
  readonly token: string | undefined
}

type Model = State | undefined

interface Step {
  readonly method: string
  readonly path: (id: string) => string
  readonly body?: (id: string) => unknown
  /** The state after it; `token` is the one that the answer held. */
  readonly after: (before: State, token: string | undefined) => Model
}

const grant = (machine: string, permission: string): Step => ({
  method: "PUT",
  path: (id) => `access/${id}/machines/${machine}`,
  body: () => ({ permissions: [permission] }),
  after: (before) => ({ ...before, machines: { ...before.machines, [machine]: permission } })
})

/** One life of an identity, over and over. */
const life: ReadonlyArray<Step> = [
  {
    method: "POST",
    path: () => "tokens",
    body: (id) => ({ id }),
    after: (_, token) => ({ machines: {}, token })
  },
  grant("barn", "connect"),
  grant("mill", "register"),
  {
    method: "DELETE",
    path: (id) => `access/${id}/machines/barn`,
    after: ({ machines, token }) => ({
      machines: Object.fromEntries(Object.entries(machines).filter(([machine]) => machine !== "barn")),
      token
    })
  },
  { method: "POST", path: (id) => `rotate/${id}`, after: ({ machines }, token) => ({ machines, token }) },
  { method: "DELETE", path: (id) => `access/${id}`, after: () => undefined }
]

const nobody: State = { machines: {}, token: undefined }

/** One identity: what is known to hold, and what was asked for and not answered. */
interface Lane {
  readonly id: string
  next: number
  known: Model
  asked: Step | undefined
}

const request = (port: number, token: string, method: string, path: string, body?: unknown) =>
  fetch(`http://127.0.0.1:${port}/api/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) })
  })

/** Changes one identity until the hub is gone. */
const change = async (port: number, owner: string, lane: Lane, isOver: () => boolean): Promise<void> => {
  while (!isOver()) {
    const step = life[lane.next % life.length]
    if (step === undefined) return
    lane.asked = step
    try {
      const response = await request(port, owner, step.method, `admin/${step.path(lane.id)}`, step.body?.(lane.id))
      const answer = (await response.json()) as { readonly token?: string; readonly error?: string }
      if (!response.ok) throw new Error(`${response.status} ${answer.error}`)
      lane.known = step.after(lane.known ?? nobody, answer.token)
      lane.asked = undefined
      lane.next += 1
    } catch (cause) {
      if (!isOver()) throw cause
    }
  }
}

interface Entry {
  readonly id: string
  readonly machines: ReadonlyArray<{ readonly machineId: string; readonly permissions: ReadonlyArray<string> }>
}

const shownOf = (entry: Entry | undefined) =>
  entry && Object.fromEntries(entry.machines.map((each) => [each.machineId, each.permissions.join(",")]))

/** What stands after the restart is what was acknowledged, or that and the change that was under way. */
const settle = async (port: number, lane: Lane, entries: ReadonlyArray<Entry>): Promise<void> => {
  const shown = shownOf(entries.find((entry) => entry.id === lane.id))
  const { asked, known } = lane
  const other = asked?.after(known ?? nobody, undefined)
  const matches = (model: Model) => JSON.stringify(shown) === JSON.stringify(model?.machines)
  const made = asked !== undefined && !matches(known)
  assert.isTrue(matches(known) || (asked !== undefined && matches(other)), `${lane.id}: ${JSON.stringify(shown)}`)
  const isToken = asked?.method === "POST"
  if (known?.token !== undefined && !made && !isToken) {
    assert.strictEqual((await request(port, known.token, "GET", "whoami")).status, 200, lane.id)
  }
  if (made) {
    lane.known = other && { ...other, token: isToken ? undefined : known?.token }
    lane.next += 1
  } else if (isToken && known !== undefined) {
    // A rotation whose answer was lost may have happened; its token is nobody's then.
    lane.known = { ...known, token: undefined }
  }
  lane.asked = undefined
}

describe("kill -9 during changes", () => {
  it.scopedLive(
    "every change that was acknowledged is there at the restart, and the file is whole",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const file = Path.join(folder, "telahubd.yaml")
        const { stdout } = yield* Program.run({
          command: Tela.bin("telahubd"),
          args: ["user", "bootstrap", "-quiet", "-config", file]
        })
        const owner = stdout.trim()
        const lanes = Array.from({ length: LANES }, (_, i): Lane => ({
          id: `lane-${i}`,
          next: 0,
          known: undefined,
          asked: undefined
        }))
        let acknowledged = 0
        for (let trial = 0; trial <= TRIALS; trial++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { port, program } = yield* Tela.startHub(file)
              const response = yield* Effect.promise(() => request(port, owner, "GET", "admin/access"))
              const { access } = (yield* Effect.promise(() => response.json())) as {
                readonly access: ReadonlyArray<Entry>
              }
              for (const lane of lanes) yield* Effect.promise(() => settle(port, lane, access))
              if (trial === TRIALS) return
              const made = () => lanes.reduce((sum, lane) => sum + lane.next, 0)
              const before = made()
              let over = false
              const changes = lanes.map((lane) => change(port, owner, lane, () => over))
              while (made() < before + acknowledgedBefore(trial)) yield* Effect.sleep(1)
              yield* Effect.sleep(Math.random() * LONGEST)
              over = true
              yield* program.signal("SIGKILL")
              yield* program.ended
              yield* Effect.promise(() => Promise.all(changes))
              acknowledged += made() - before
            })
          )
          const left = Fs.readdirSync(folder).filter(
            (name) => !/^telahubd\.(yaml|db|db-wal|db-shm|key|lock.*)$/.test(name)
          )
          // The file that was being written when the hub was killed; the next write takes its place.
          assert.isAtMost(left.length, 1, left.join(" "))
        }
        assert.isAbove(acknowledged, TRIALS)
      }),
    TRIALS * 3_000 + 30_000
  )
})
