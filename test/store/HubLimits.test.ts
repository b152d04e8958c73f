import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HubFile from "../../src/store/HubFile.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import { capsOf, defaults, sessionsPlace } from "../../src/store/HubLimits.ts"
import { IDENTITY_SESSIONS, LINK_STREAMS } from "../../src/protocol/Limits.ts"
import * as Size from "../../src/protocol/Size.ts"
import { edit, example, fileOf } from "./hubFile.ts"

const limited = `limits:
  sessions: 500
  memory: 64MiB
  default: { sessions: 32 }
  roles:
    user: { streams: 100, bandwidth: 10MB/s }
  identities:
    alice: { sessions: 4, bandwidth: none }
`

const alice = { id: "alice", role: "user" } as const
const load = (limits: string) => Effect.flatMap(fileOf(limits + example), HubFile.load)
const problemOf = (limits: string) =>
  Effect.map(Effect.flip(load(limits)), ({ message }) => message.replace(/^.*?:/, ""))

describe("Size", () => {
  it("reads sizes and rates with their units, and nothing else", () => {
    for (const [text, bytes] of [
      ["1B", 1],
      ["64kB", 64_000],
      ["64 KiB", 65_536],
      ["1.5MB", 1_500_000],
      ["2GiB", 2 ** 31]
    ] as const) {
      assert.strictEqual(Size.parse(text), bytes)
      assert.strictEqual(Size.parseRate(`${text}/s`), bytes)
      assert.isUndefined(Size.parseRate(text))
      assert.isUndefined(Size.parse(`${text}/s`))
    }
    for (const text of ["", "5", "MB", "5Mb", "5mb", "-5MB", "1e3MB", "5 toString", "5MBs", "9999999999GB", "5MB "]) {
      assert.isUndefined(Size.parse(text), text)
    }
  })
})

describe("limits:", () => {
  it.scopedLive("are the defaults where the file says nothing", () =>
    Effect.gen(function* () {
      const { settings } = yield* load("")
      assert.deepStrictEqual(settings.limits, defaults)
      const caps = { sessions: IDENTITY_SESSIONS, streams: LINK_STREAMS, bandwidth: Infinity }
      assert.deepStrictEqual(capsOf(settings.limits, alice), caps)
    })
  )

  it.scopedLive("of an identity go before those of its role, and these before the default, each for itself", () =>
    Effect.gen(function* () {
      const { settings } = yield* load(limited)
      const { limits } = settings
      assert.deepStrictEqual([limits.sessions, limits.machines, limits.memory], [500, defaults.machines, 64 * 2 ** 20])
      assert.deepStrictEqual(capsOf(limits, alice), { sessions: 4, streams: 100, bandwidth: Infinity })
      assert.deepStrictEqual(capsOf(limits, { ...alice, id: "bob" }), { sessions: 32, streams: 100, bandwidth: 1e7 })
      assert.deepStrictEqual(capsOf(limits, { id: "owner", role: "owner" }), {
        sessions: 32,
        streams: LINK_STREAMS,
        bandwidth: Infinity
      })
      assert.strictEqual(sessionsPlace(limits, alice), "limits.identities.alice.sessions")
      assert.strictEqual(sessionsPlace(limits, { ...alice, id: "bob" }), "limits.default.sessions")
    })
  )

  it.scopedLive("that are none are refused with the line, the key and what is expected", () =>
    Effect.gen(function* () {
      for (const [text, problem] of [
        ["limits: { sesions: 5 }\n", 'unknown key "sesions"'],
        ["limits:\n  default: { bandwith: none }\n", 'unknown key "bandwith"'],
        ["limits:\n  roles: { users: {} }\n", 'unknown key "users"'],
        ["limits: { sessions: 0 }\n", "limits.sessions: expected a number from 1 to 1000000, got 0"],
        ["limits: { machines: 20001 }\n", "limits.machines: expected a number from 1 to 20000, got 20001"],
        ["limits: { memory: 64 }\n", "limits.memory: expected a size such as 1GiB, at least 16MiB, got 64"],
        ["limits: { memory: 1MB }\n", 'limits.memory: expected a size such as 1GiB, at least 16MiB, got "1MB"'],
        [
          "limits:\n  default: { bandwidth: 5MB }\n",
          'limits.default.bandwidth: expected a rate such as 10MB/s, at least 64KiB/s, or none, got "5MB"'
        ],
        [
          "limits:\n  identities:\n    alice: { streams: 1.5 }\n",
          "limits.identities.alice.streams: expected a number from 1 to 1024, got 1.5"
        ]
      ] as const) {
        const message = yield* problemOf(text)
        assert.include(message, problem)
        assert.match(message, /^\d+:\d+: /)
      }
    })
  )

  it.scopedLive("of a name that nobody has are taken, with a word about it", () =>
    Effect.gen(function* () {
      const { warnings } = yield* load("limits:\n  identities: { alcie: { sessions: 1 } }\n")
      assert.include(warnings.join("\n"), "limits.identities: nobody is called alcie")
      assert.include(warnings.join("\n"), "alice")
    })
  )

  it.scopedLive("are taken from the file while the hub runs, and stay when it is broken", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(limited + example)
      const store = yield* HubIdentities.make(path)
      assert.strictEqual(capsOf(store.limits(), alice).sessions, 4)
      yield* edit(path, (text) => text.replace("sessions: 4", "sessions: 5"))
      yield* store.refresh
      assert.strictEqual(capsOf(store.limits(), alice).sessions, 5)
      yield* edit(path, (text) => text.replace("{ sessions: 5,", "{ sessions: 0,"))
      const { message } = yield* Effect.flip(store.refresh)
      assert.include(message, "limits.identities.alice.sessions: expected a number from 1 to 1000000")
      assert.strictEqual(capsOf(store.limits(), alice).sessions, 5)
    })
  )
})
