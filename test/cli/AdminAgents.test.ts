/** `tela admin agent` and `tela admin hub` against hubs that answer as told: deployed ones, ours, and such that do not do it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { HubError } from "../../src/client/HubError.ts"
import { Failed } from "../../src/cli/Failure.ts"
import { Shell } from "../../src/cli/Shell.ts"
import * as UpdateWait from "../../src/cli/tela/admin/UpdateWait.ts"
import { UPDATE_FOLLOW_LOOK, UPDATE_FOLLOW_WAIT } from "../../src/protocol/Limits.ts"
import type { UpdateStatus } from "../../src/protocol/Management.ts"
import * as LogRing from "../../src/telemetry/LogRing.ts"
import { answered, H, setting } from "./ToldHub.ts"

const status = {
  channel: "beta",
  manifestUrl: "https://dl.example.net/channels/beta.json",
  currentVersion: "v0.16.0-beta.1",
  latestVersion: "v0.16.0-beta.2",
  updateAvailable: true
}

const block = [
  "  channel:         beta",
  "  manifest:        https://dl.example.net/channels/beta.json",
  "  current version: v0.16.0-beta.1",
  "  latest version:  v0.16.0-beta.2  (update available)",
  ""
].join("\n")

describe("tela admin agent, of deployed agents at a deployed hub", () => {
  const base = "/api/admin/agents/barn"
  const deployed = setting({
    "GET /api/status": {
      body: {
        machines: [
          {
            id: "barn",
            agentConnected: true,
            sessionCount: 0,
            agentVersion: "v0.17.0",
            services: [{ port: 22, proto: "tcp", name: "SSH", description: "" }]
          },
          { id: "mill", agentConnected: false, sessionCount: 0, lastSeen: "2026-07-01T00:00:00Z" }
        ]
      }
    },
    [`GET ${base}`]: { body: { id: "barn", agentConnected: true, lastSeen: "2026-07-01T00:00:00Z" } },
    [`GET ${base}/config-get`]: answered({
      payload: {
        hub: "wss://h",
        configPath: "/etc/t.yaml",
        machines: [{ name: "mill" }, { name: "barn", ports: [22] }]
      }
    }),
    [`POST ${base}/config-set`]: answered({}),
    [`POST ${base}/logs`]: answered({ payload: { lines: ["one", "two\u001b[2J"] } }),
    [`POST ${base}/restart`]: answered({ message: "restarting" }),
    [`POST ${base}/update`]: answered({ message: "updating to v0.18.0" }),
    [`GET ${base}/update-status`]: answered({ payload: status }),
    [`POST ${base}/update-channel`]: answered({ payload: { channel: "stable", manifestUrl: "https://x/stable.json" } })
  })

  it.scopedLive.each([
    ["list", /^barn +online +v0\.17\.0 +SSH +now\nmill +offline +- +- +2026-07-01T00:00:00Z\n$/m],
    ["config -machine barn", /^\{\n {2}"name": "barn",\n {2}"ports": \[\n {4}22\n {2}\]\n\}\n$/],
    [`set -machine barn '{"tags": ["a"]}'`, /^barn: the agent has taken it\.\n$/],
    ["logs -machine barn", /^one\ntwo\\u001b\[2J\n$/],
    ["restart -machine barn", /^barn: restarting\n$/],
    ["update -machine barn -version v0.18.0", /^barn: updating to v0\.18\.0\n$/],
    ["channel -machine barn", new RegExp(`^barn\n${block.replaceAll(/[.()]/g, "\\$&")}$`)],
    ["channel -machine barn set stable", /^barn: the channel is stable, from https:\/\/x\/stable\.json\n$/]
  ] as const)("%s", ([line, prints]) =>
    Effect.gen(function* () {
      const { typed } = yield* deployed
      const { code, stderr, stdout } = yield* typed(`tela admin agent ${line} ${H}`)
      assert.strictEqual(code, 0, stderr)
      assert.match(stdout, prints)
    })
  )

  it.scopedLive("asks as the deployed tools do", () =>
    Effect.gen(function* () {
      const { asked, typed } = yield* deployed
      yield* typed(`tela admin agent set -machine barn ${H} '{"tags": null}'`)
      yield* typed(`tela admin agent logs -machine barn ${H} -n 7`)
      yield* typed(`tela admin agent update -machine barn ${H} -version v0.18.0`)
      yield* typed(`tela admin agent channel -machine barn ${H} set stable -manifest-base https://x`)
      assert.deepStrictEqual(asked(), [
        ["POST", `${base}/config-set`, { machine: "barn", fields: { tags: null } }],
        ["POST", `${base}/logs`, { lines: 7 }],
        ["POST", `${base}/update`, { version: "v0.18.0" }],
        ["POST", `${base}/update-channel`, { channel: "stable", manifestBase: "https://x" }]
      ])
    })
  )

  it.scopedLive("cannot follow a log there, and says so", () =>
    Effect.gen(function* () {
      const { typed } = yield* deployed
      const { code, stderr } = yield* typed(`tela admin agent logs -machine barn -follow ${H}`)
      assert.deepStrictEqual([code, stderr], [1, "tela: -follow: barn is too old for it; ask without -follow\n"])
    })
  )

  it.scopedLive("an answer that it was not done is a failure", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting({
        [`POST ${base}/restart`]: answered({ ok: false, message: "no" }),
        [`POST ${base}/config-set`]: answered({ ok: false })
      })
      const restarted = yield* typed(`tela admin agent restart -machine barn ${H}`)
      assert.deepStrictEqual([restarted.code, restarted.stdout, restarted.stderr], [1, "", "tela: barn: no\n"])
      const set = yield* typed(`tela admin agent set -machine barn ${H} '{}'`)
      assert.deepStrictEqual([set.code, set.stderr], [1, "tela: barn: the agent says no\n"])
    })
  )

  it.scopedLive.each([
    [503, { error: "agent not connected" }, /could not do it, and nothing has changed: agent not connected$/],
    [503, { error: "the agent of barn is not connected", offline: true }, /^tela: the agent of barn is not connected$/],
    [502, { error: "failed to send to agent" }, /^tela: failed to send to agent$/],
    [504, { error: "timeout" }, /^tela: timeout$/],
    [404, { error: "machine not found" }, /: machine not found$/],
    [
      403,
      { error: "manage permission required for barn" },
      /refused: manage permission required for barn; .*TELA_TOKEN$/
    ],
    [409, { error: "takes no requests" }, /: takes no requests$/]
  ] as const)("HTTP %d with %j is one sentence", ([code, body, says]) =>
    Effect.gen(function* () {
      const { typed } = yield* setting({ [`POST ${base}/restart`]: { status: code, body } })
      const ran = yield* typed(`tela admin agent restart -machine barn ${H}`)
      assert.deepStrictEqual([ran.code, ran.stdout], [1, ""])
      assert.match(ran.stderr.trimEnd(), says)
    })
  )

  it.scopedLive.each([
    ["restart", /-machine is missing: give -machine NAME \(see/],
    ["restart -machine ..", /-machine: "\.\." is no machine/],
    ["set -machine barn", /<json> is missing/],
    [`set -machine barn '{"a"'`, /<json>: give a JSON object/],
    ["logs -machine barn -n 0", /-n is a number from 1 to 1000/],
    ["logs -machine barn -level loud", /-level is one of debug, info, warn, error/],
    ["channel -machine barn set", /<channel> is missing/]
  ] as const)("%s is wrong usage", ([line, says]) =>
    Effect.gen(function* () {
      const { asked, typed } = yield* deployed
      const { code, stderr } = yield* typed(`tela admin agent ${line} ${H}`)
      assert.strictEqual(code, 2)
      assert.match(stderr, says)
      assert.deepStrictEqual(asked(), [])
    })
  )
})

describe("tela admin hub", () => {
  const details = {
    version: "v1.0.0",
    hubId: "h",
    hubName: "owlsnest",
    startedAt: "2026-04-01T08:00:00.123Z",
    uptime: 93_784,
    shutdownTimeout: 30_000,
    machines: { online: 12, known: 15 },
    sessions: 4,
    relayedBytes: 1_234_567_890,
    heldBytes: 999,
    memory: { resident: 123_400_000, heap: 45_600_000 },
    certificate: { expiresAt: "2026-01-01T00:00:00Z" },
    update: { ...status, latestVersion: "v1.0.1" }
  }

  it.scopedLive("status of ours, in numbers", () =>
    Effect.gen(function* () {
      const { hub, typed } = yield* setting({ "GET /api/admin/hub": { body: details } })
      const { stdout } = yield* typed(`tela admin hub status ${H}`)
      assert.strictEqual(
        stdout,
        [
          `Hub:          owlsnest (${hub.url})`,
          "Version:      v1.0.0",
          "Up since:     2026-04-01T08:00:00Z (1d 2h)",
          "Machines:     12 online, 15 known",
          "Sessions:     4",
          "Relayed:      1.2 GB",
          "Waiting:      999 B for peers that read slowly",
          "Memory:       123.4 MB resident, 45.6 MB heap",
          "Certificate:  EXPIRED since 2026-01-01T00:00:00Z",
          "Update:       v1.0.1 available on beta",
          ""
        ].join("\n")
      )
      const json = yield* typed(`tela admin hub status -json ${H}`)
      assert.deepStrictEqual(JSON.parse(json.stdout), details)
    })
  )

  it.scopedLive("status of a deployed one, as far as it tells", () =>
    Effect.gen(function* () {
      const { hub, typed } = yield* setting({
        "GET /api/status": {
          body: {
            machines: [{ id: "barn", agentConnected: true, sessionCount: 3 }],
            hub: { version: "v0.17.0", uptime: 65 },
            hubName: "old"
          }
        },
        "GET /api/admin/update": { body: { ...status, sources: null } }
      })
      const { code, stdout } = yield* typed(`tela admin hub status ${H}`)
      assert.strictEqual(code, 0)
      assert.strictEqual(
        stdout,
        `Hub:          old (${hub.url})\nVersion:      v0.17.0\nUp:           1m 5s\nMachines:     1 online, 1 known\nSessions:     3\nUpdate:\n${block}`
      )
    })
  )

  it.scopedLive("logs, update and channel, asked for as the deployed tools do", () =>
    Effect.gen(function* () {
      const { asked, hub, typed } = yield* setting({
        "GET /api/admin/logs": { body: { lines: ["one", "two"] } },
        "POST /api/admin/update": { body: { ok: true, message: "already running v0.17.0" } },
        "GET /api/admin/update": {
          body: { ...status, latestVersion: "", updateAvailable: false, error: "no such host" }
        },
        "PATCH /api/admin/update": { body: { ok: true, channel: "stable", manifestUrl: "https://x/stable.json" } }
      })
      const prints = (line: string) => Effect.map(typed(`tela admin hub ${line} ${H}`), ({ stdout }) => stdout)
      assert.strictEqual(yield* prints("logs -n 2"), "one\ntwo\n")
      assert.strictEqual(yield* prints("update"), `${hub.url}: already running v0.17.0\n`)
      assert.match(yield* prints("channel"), / {2}latest version: {2}unavailable \(no such host\)\n$/)
      assert.strictEqual(
        yield* prints("channel set stable"),
        `${hub.url}: the channel is stable, from https://x/stable.json\n`
      )
      assert.deepStrictEqual(asked(), [
        ["GET", "/api/admin/logs?lines=2"],
        ["POST", "/api/admin/update", {}],
        ["GET", "/api/admin/update"],
        ["PATCH", "/api/admin/update", { channel: "stable" }]
      ])
    })
  )
})

describe("an update that is followed", () => {
  /** Follows one whose statuses come one after the other, the last again and again. */
  const following = (...statuses: ReadonlyArray<UpdateStatus | HubError>) =>
    Effect.gen(function* () {
      const printed: Array<string> = []
      let looks = 0
      const shell = Shell.of({
        program: "tela",
        env: {},
        cwd: "/",
        print: (text) => Effect.sync(() => void printed.push(text)),
        note: () => Effect.void,
        ring: LogRing.make(),
        up: Effect.void
      })
      const next = Effect.suspend(() => {
        const found = statuses[Math.min(looks++, statuses.length - 1)] ?? {}
        return found instanceof HubError ? Effect.fail(found) : Effect.succeed(found)
      })
      const explain = ({ reason }: HubError) => new Failed({ message: reason })
      const fiber = yield* Effect.fork(
        Effect.provideService(UpdateWait.follow({ name: "barn", version: "v2", status: next, explain }), Shell, shell)
      )
      return {
        printed,
        looks: () => looks,
        end: Effect.zipRight(
          TestClock.adjust(UPDATE_FOLLOW_WAIT + 2 * UPDATE_FOLLOW_LOOK),
          Effect.exit(Fiber.join(fiber))
        )
      }
    })

  const running = (version: string, state?: string): UpdateStatus => ({
    currentVersion: version,
    ...(state !== undefined && { last: { version: "v2", state, text: "the disk is full" } })
  })

  it.effect("is over when the new version runs, whatever a restart looks like meanwhile", () =>
    Effect.gen(function* () {
      const away = new HubError({ kind: "offline", reason: "away" })
      const { end, looks, printed } = yield* following(
        running("v1", "downloading"),
        running("v1", "installed"),
        away,
        new HubError({ kind: "unreachable", reason: "away" }),
        running("v2")
      )
      assert.isTrue(Exit.isSuccess(yield* end))
      assert.deepStrictEqual([printed, looks()], [["barn: running v2"], 5])
    })
  )

  it.effect("is not over while the new version is on trial, however that is called", () =>
    Effect.gen(function* () {
      for (const state of ["on-trial", "installed"]) {
        const { end, looks, printed } = yield* following(
          running("v1", "installed"),
          running("v2", state),
          running("v2", state),
          running("v2")
        )
        assert.isTrue(Exit.isSuccess(yield* end))
        assert.deepStrictEqual([printed, looks()], [["barn: running v2"], 4])
      }
    })
  )

  it.effect("that ran, and came back as the version before, fails with the reason", () =>
    Effect.gen(function* () {
      const away = new HubError({ kind: "offline", reason: "away" })
      const { end, printed } = yield* following(
        running("v1", "installed"),
        running("v2", "on-trial"),
        away,
        running("v1", "rolled-back")
      )
      assert.deepStrictEqual(
        yield* end,
        Exit.fail(new Failed({ message: "barn: the update to v2 came to nothing: the disk is full" }))
      )
      assert.deepStrictEqual(printed, [])
    })
  )

  it.effect("of a deployed agent, which knows no trial, is over when it runs", () =>
    Effect.gen(function* () {
      const { end, looks, printed } = yield* following(running("v1"), running("v1"), running("v2"))
      assert.isTrue(Exit.isSuccess(yield* end))
      assert.deepStrictEqual([printed, looks()], [["barn: running v2"], 3])
    })
  )

  it.effect.each([
    ["failed", "failed"],
    ["rolled-back", "came to nothing"]
  ])("that %s fails with the reason", ([state, how]) =>
    Effect.gen(function* () {
      const { end } = yield* following(running("v1", "downloading"), running("v1", state))
      assert.deepStrictEqual(
        yield* end,
        Exit.fail(new Failed({ message: `barn: the update to v2 ${how}: the disk is full` }))
      )
    })
  )

  it.effect("that comes to nothing fails in the end; a refusal at once", () =>
    Effect.gen(function* () {
      const stuck = yield* following(running("v1"))
      assert.match(String(yield* stuck.end), /v2 does not run after 15 min/)
      const refused = yield* following(new HubError({ kind: "forbidden", reason: "no longer" }))
      assert.deepStrictEqual(yield* refused.end, Exit.fail(new Failed({ message: "no longer" })))
      assert.strictEqual(refused.looks(), 1)
    })
  )
})
