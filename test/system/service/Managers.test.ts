import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Launchd from "../../../src/system/service/Launchd.ts"
import * as ManagerCall from "../../../src/system/service/ManagerCall.ts"
import * as Place from "../../../src/system/service/Place.ts"
import * as Services from "../../../src/system/service/Services.ts"
import * as Systemd from "../../../src/system/service/Systemd.ts"
import * as TaskScheduler from "../../../src/system/service/TaskScheduler.ts"
import { turn } from "../../support/turn.ts"
import { answering } from "./managers.ts"

const subject = (platform: string, scope: "system" | "user") => {
  const which = { program: "telad", name: "telad", scope, platform, env: { HOME: "/home/ann" } } as const
  return { name: "telad", scope, place: Place.of(which) } as const
}

const notBooted = {
  code: 1,
  stderr: "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus\n"
}

describe("systemd", () => {
  const { available, forget, leave, register, restart, start, state, stop } = Systemd.make(subject("linux", "system"))

  it.effect("is asked for what is to be done", () =>
    Effect.gen(function* () {
      const { layer, lines } = answering()
      for (const act of [available, register, start, stop, restart, leave, forget]) yield* Effect.provide(act, layer)
      assert.deepStrictEqual(lines, [
        "systemctl show --property=Version --value",
        "systemctl daemon-reload",
        "systemctl enable telad.service",
        "systemctl start telad.service",
        "systemctl stop telad.service",
        "systemctl restart telad.service",
        "systemctl disable --now telad.service",
        "systemctl daemon-reload"
      ])
    })
  )

  it.effect("of a user is another one", () =>
    Effect.gen(function* () {
      const { layer, lines } = answering()
      const mine = Systemd.make(subject("linux", "user"))
      yield* Effect.provide(Effect.zipRight(mine.available, mine.start), layer)
      assert.deepStrictEqual(lines, [
        "systemctl --user show --property=Version --value",
        "systemctl --user start telad.service"
      ])
      assert.strictEqual(mine.log, "journalctl --user -u telad")
    })
  )

  it.effect("that does not run, or is not installed, is said in a sentence", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.flip(Effect.provide(available, answering([["systemctl", undefined]]).layer))
      assert.match(gone.message, /^systemctl is not installed here; .* exits with code 75$/)
      const off = yield* Effect.flip(Effect.provide(available, answering([["systemctl", notBooted]]).layer))
      assert.match(
        off.message,
        /^systemd does not run here: System has not been booted .*Can't operate; without a service/
      )
      assert.notInclude(off.message, "\n")
    })
  )

  it.effect("that fails says why, and where to look", () =>
    Effect.gen(function* () {
      const answers = answering([["systemctl start", { code: 1, stderr: "\nJob for telad.service failed.\nSee x\n" }]])
      const { message } = yield* Effect.flip(Effect.provide(start, answers.layer))
      assert.strictEqual(
        message,
        "systemctl start telad.service: Job for telad.service failed; see: journalctl -u telad"
      )
    })
  )

  it.effect.each([
    [
      "ActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=42\nActiveEnterTimestamp=Mon\nStatusText=1 of 1 a=b",
      { running: true, enabled: true, status: "active (running), pid 42, since Mon, 1 of 1 a=b" }
    ],
    [
      "ActiveState=inactive\nSubState=dead\nUnitFileState=disabled\nMainPID=0\nActiveEnterTimestamp=Mon\nStatusText=stopping",
      { running: false, enabled: false, status: "inactive (dead)" }
    ],
    [
      "ActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nMainPID=0\nResult=exit-code",
      { running: false, enabled: true, status: "activating (auto-restart)" }
    ],
    [
      "ActiveState=failed\nSubState=failed\nUnitFileState=enabled-runtime\nMainPID=0\nResult=watchdog",
      { running: false, enabled: true, status: "failed (failed), watchdog" }
    ]
  ] as const)("says how a service is: %s", ([stdout, expected]) =>
    Effect.gen(function* () {
      const { layer } = answering([["systemctl show --property=ActiveState", { stdout: `${stdout}\n` }]])
      assert.deepStrictEqual(yield* Effect.provide(state, layer), expected)
    })
  )
})

describe("launchd", () => {
  const manager = Launchd.make(subject("darwin", "system"), 501)
  const loaded = (stdout = "system/com.tela.telad = {\n\tstate = running\n\tpid = 42\n\tlast exit code = 75\n}\n") => ({
    stdout
  })
  const notLoaded = { code: 113, stderr: "Could not find service\n" }

  it.effect("loads what is not loaded, and starts what is", () =>
    Effect.gen(function* () {
      const off = answering([["launchctl print", notLoaded]])
      yield* Effect.provide(manager.start, off.layer)
      assert.deepStrictEqual(off.lines, [
        "launchctl print system/com.tela.telad",
        "launchctl bootstrap system /Library/LaunchDaemons/com.tela.telad.plist"
      ])
      const on = answering([["launchctl print", loaded()]])
      yield* Effect.provide(manager.start, on.layer)
      assert.strictEqual(on.lines[1], "launchctl kickstart system/com.tela.telad")
    })
  )

  it.effect("waits until a service that drains has left before it is loaded again", () =>
    Effect.gen(function* () {
      let isLoaded = true
      const { layer, lines } = answering([
        ["launchctl print", () => (isLoaded ? loaded() : notLoaded)],
        ["launchctl bootout", { code: 36, stderr: "Operation now in progress" }]
      ])
      const restarting = yield* Effect.fork(Effect.provide(manager.restart, layer))
      yield* TestClock.adjust("3 seconds")
      assert.isUndefined(lines.find((line) => line.includes("bootstrap")))
      isLoaded = false
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(restarting)
      assert.strictEqual(lines.at(-1), "launchctl bootstrap system /Library/LaunchDaemons/com.tela.telad.plist")
    })
  )

  it.effect("gives up on a service that does not end", () =>
    Effect.gen(function* () {
      const { layer } = answering([["launchctl print", loaded()]])
      const stopping = yield* Effect.fork(Effect.flip(Effect.provide(manager.stop, layer)))
      yield* turn
      yield* TestClock.adjust("2 hours")
      assert.match((yield* Fiber.join(stopping)).message, /com\.tela\.telad does not end/)
    })
  )

  it.effect("says how a service is", () =>
    Effect.gen(function* () {
      const on = yield* Effect.provide(manager.state, answering([["launchctl print", loaded()]]).layer)
      assert.deepStrictEqual(on, { running: true, enabled: true, status: "running, pid 42, last exit code 75" })
      const off = yield* Effect.provide(manager.state, answering([["launchctl print", notLoaded]]).layer)
      assert.deepStrictEqual(off, { running: false, enabled: true, status: "not loaded" })
    })
  )

  it.effect("has a domain for each user", () =>
    Effect.gen(function* () {
      const { layer, lines } = answering([["launchctl print", notLoaded]])
      yield* Effect.provide(Launchd.make(subject("darwin", "user"), 501).start, layer)
      assert.strictEqual(lines[1], "launchctl bootstrap gui/501 /home/ann/Library/LaunchAgents/com.tela.telad.plist")
    })
  )
})

describe("the Task Scheduler", () => {
  const manager = TaskScheduler.make(subject("win32", "user"), "OFFICE\\ann")
  const numbered = (stdout: string) => answering([["powershell", { stdout }]])

  it.effect("is asked for what is to be done", () =>
    Effect.gen(function* () {
      const { layer, lines } = numbered("4\r\n")
      for (const act of [manager.register, manager.start, manager.leave]) yield* Effect.provide(act, layer)
      const [, , , ...rest] = lines
      assert.match(lines[0] ?? "", /^schtasks \/Create \/TN \\Tela\\telad \/XML .*telad\.xml \/F$/)
      assert.strictEqual(lines[1], "schtasks /Run /TN \\Tela\\telad")
      assert.match(lines[2] ?? "", /Get-ScheduledTask -TaskPath '\\Tela\\' -TaskName 'telad'/)
      assert.deepStrictEqual(rest, ["schtasks /End /TN \\Tela\\telad", "schtasks /Delete /TN \\Tela\\telad /F"])
    })
  )

  it.effect("does not end what does not run", () =>
    Effect.gen(function* () {
      const { layer, lines } = numbered("3\r\n")
      yield* Effect.provide(manager.stop, layer)
      assert.strictEqual(lines.length, 1)
    })
  )

  it.effect.each([
    ["4\r\n", { running: true, enabled: true, status: "running" }],
    ["3\r\n", { running: false, enabled: true, status: "ready" }],
    ["1\r\n", { running: false, enabled: false, status: "disabled" }],
    ["?\r\n", { running: false, enabled: true, status: "unknown" }]
  ] as const)("says how a service is: %j", ([stdout, expected]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Effect.provide(manager.state, numbered(stdout).layer), expected)
    })
  )
})

describe("Services", () => {
  const find = (platform: string, more: Partial<Services.Meant> = {}) =>
    Services.find({
      program: "telahubd",
      instance: undefined,
      scope: "system",
      env: { HOME: "/home/ann", APPDATA: "C:\\Users\\ann\\AppData\\Roaming" },
      platform,
      ...more
    })

  it("are where each system has them", () => {
    const place = (platform: string, more?: Partial<Services.Meant>) => Either.getOrThrow(find(platform, more)).place
    assert.deepStrictEqual(place("linux"), {
      folder: "/var/lib/tela/telahubd",
      configFile: "/var/lib/tela/telahubd/telahubd.yaml",
      definitionFile: "/etc/systemd/system/telahubd.service",
      environmentFile: "/etc/tela/telahubd.env",
      logFile: undefined,
      link: "/etc/tela/telahubd.yaml",
      stateDirectory: "tela/telahubd"
    })
    assert.containsSubset(place("linux", { scope: "user", instance: "blue" }), {
      configFile: "/home/ann/.tela/telahubd-blue/telahubd.yaml",
      definitionFile: "/home/ann/.config/systemd/user/telahubd-blue.service",
      link: undefined,
      stateDirectory: undefined
    })
    assert.containsSubset(place("darwin"), {
      configFile: "/etc/tela/telahubd/telahubd.yaml",
      definitionFile: "/Library/LaunchDaemons/com.tela.telahubd.plist",
      logFile: "/var/log/telahubd.log",
      link: "/etc/tela/telahubd.yaml",
      stateDirectory: undefined
    })
    assert.containsSubset(place("win32"), {
      configFile: "C:\\Users\\ann\\AppData\\Roaming\\tela\\telahubd\\telahubd.yaml",
      definitionFile: "C:\\Users\\ann\\AppData\\Roaming\\tela\\telahubd\\telahubd.xml",
      link: undefined
    })
  })

  it("of Windows are all a user's", () => {
    assert.strictEqual(Either.getOrThrow(find("win32")).scope, "user")
  })

  it("elsewhere there are none", () => {
    assert.match(Either.getOrThrow(Either.flip(find("freebsd"))).message, /no service manager is known on freebsd/)
  })

  it("moves with the folder of the machine, and units with systemd's own variable", () => {
    const env = { TELA_SYSTEM: "/srv/tela", SYSTEMD_UNIT_PATH: "/srv/units:" }
    const { place } = Either.getOrThrow(find("linux", { env }))
    assert.containsSubset(place, {
      folder: "/srv/tela/telahubd",
      definitionFile: "/srv/units/telahubd.service",
      environmentFile: "/srv/tela/telahubd.env",
      link: "/srv/tela/telahubd.yaml",
      stateDirectory: undefined
    })
  })
})

describe("A service manager's program", () => {
  const run = (command: string, args: ReadonlyArray<string>, within?: number) =>
    Effect.provide(
      Effect.flatMap(ManagerCall.ManagerCall, (call) => call.run(command, args, within)),
      ManagerCall.layer
    )

  it.live("is heard to its end, and only so far", () =>
    Effect.gen(function* () {
      const script = `process.stdout.write("a".repeat(1e6)); process.stderr.write("why"); process.exitCode = 3`
      const answer = yield* run(process.execPath, ["-e", script])
      assert.strictEqual(answer?.code, 3)
      assert.strictEqual(answer?.stdout.length, 65_536)
      assert.strictEqual(answer?.stderr, "why")
    })
  )

  it.live("may be missing", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* run("/no/such/program", []))
    })
  )

  it.live("is not waited for without end", () =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(run(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], 300))
      assert.match(message, /no answer in 0\.3 s$/)
    })
  )
})
