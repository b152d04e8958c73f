import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Notify from "../../../src/system/service/Notify.ts"
import * as Program from "../../e2e/harness/Program.ts"
import * as Tools from "../../e2e/harness/Tools.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"

/** A `systemd-notify` that only writes down what it is told, and whether it knows our variables; `more` is shell. */
const pretended = (more = "") =>
  Effect.map(temporaryFolder, (folder) => {
    const said = Path.join(folder, "said")
    Fs.writeFileSync(said, "")
    Fs.writeFileSync(
      Path.join(folder, "systemd-notify"),
      `#!/bin/sh\n${more}\nprintf '%s|' "$@" >>'${said}'\nprintf '%s\\n' "$TELA_TOKEN" >>'${said}'\n`,
      { mode: 0o755 }
    )
    const lines = () => Fs.readFileSync(said, "utf8").split("\n").slice(0, -1)
    return {
      env: { PATH: `${folder}:/usr/bin:/bin`, NOTIFY_SOCKET: "/nowhere", TELA_TOKEN: "hunter2" },
      lines,
      /** Waits until so many words have been said. */
      until: (count: number) =>
        Effect.async<ReadonlyArray<string>>((resume) => {
          const look = () => {
            if (lines().length < count) return
            watcher.close()
            resume(Effect.succeed(lines()))
          }
          const watcher = Fs.watch(folder, look)
          look()
          return Effect.sync(() => watcher.close())
        })
    }
  })

const status = Effect.succeed("2 of 3\nmachines")

describe("Notify", () => {
  it.scopedLive("says nothing without systemd", () =>
    Effect.gen(function* () {
      const { env, lines } = yield* pretended()
      for (const NOTIFY_SOCKET of [undefined, ""]) {
        const notify = yield* Notify.make({ env: { ...env, NOTIFY_SOCKET, WATCHDOG_USEC: "2000000" }, status })
        yield* notify.ready
        yield* notify.report
        yield* notify.stopping(1_000)
      }
      assert.deepStrictEqual(lines(), [])
    })
  )

  it.scopedLive("says that a service is ready, how it is, and that it is about to stop, in this order", () =>
    Effect.gen(function* () {
      const { env, lines, until } = yield* pretended()
      const notify = yield* Notify.make({ env, status })
      yield* notify.ready
      yield* until(1)
      yield* notify.report
      yield* until(2)
      yield* Effect.uninterruptible(notify.stopping(1_000))
      assert.deepStrictEqual(lines(), [
        "STATUS=2 of 3?machines|READY=1|",
        "STATUS=2 of 3?machines|",
        "STATUS=stopping|STOPPING=1|EXTEND_TIMEOUT_USEC=16000000|"
      ])
    })
  )

  it.scopedLive("says only that it lives after its end is announced", () =>
    Effect.gen(function* () {
      const { env, until } = yield* pretended()
      const notify = yield* Notify.make({ env: { ...env, WATCHDOG_USEC: "2000000" }, status })
      yield* notify.stopping(1_000)
      yield* notify.ready
      yield* notify.report
      const [first, ...rest] = yield* until(3)
      assert.match(first ?? "", /STOPPING=1/)
      assert.deepStrictEqual([...new Set(rest)], ["WATCHDOG=1|"])
    })
  )

  it.scopedLive("says twice in the watchdog's time that it lives, until its end", () =>
    Effect.gen(function* () {
      const { env, lines, until } = yield* pretended()
      const scope = yield* Scope.make()
      const began = Date.now()
      yield* Scope.extend(
        Notify.make({ env: { ...env, WATCHDOG_USEC: "2000000", WATCHDOG_PID: String(process.pid) }, status }),
        scope
      )
      assert.deepStrictEqual([...new Set(yield* until(2))], ["STATUS=2 of 3?machines|WATCHDOG=1|"])
      assert.isAtLeast(Date.now() - began, 1_900)
      yield* Scope.close(scope, Exit.void)
      const { length } = lines()
      yield* Effect.sleep(1_500)
      assert.isAtMost(lines().length, length + 1, "one may have been on its way")
    })
  )

  it.each([
    [{}, undefined],
    [{ WATCHDOG_USEC: "60000000" }, 30_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "7" }, 30_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "8" }, undefined],
    [{ WATCHDOG_USEC: "1000" }, 1_000],
    [{ WATCHDOG_USEC: "0" }, undefined],
    [{ WATCHDOG_USEC: "-1" }, undefined],
    [{ WATCHDOG_USEC: "1e9" }, undefined],
    [{ WATCHDOG_USEC: "" }, undefined]
  ])("beats for %j every %s ms", (env, expected) => {
    assert.strictEqual(Notify.beatOf(env, 7), expected)
  })

  it.scopedLive("goes on without systemd-notify, and does not look for it again", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const notify = yield* Notify.make({ env: { PATH: folder, NOTIFY_SOCKET: "/nowhere" }, status })
      yield* notify.ready
      yield* notify.stopping(0)
      const said = Path.join(folder, "said")
      Fs.writeFileSync(Path.join(folder, "systemd-notify"), `#!/bin/sh\n: >'${said}'\n`, { mode: 0o755 })
      yield* notify.stopping(0)
      assert.isFalse(Fs.existsSync(said))
    })
  )

  it.scopedLive("goes on when systemd-notify fails, and tries again", () =>
    Effect.gen(function* () {
      const { env, lines } = yield* pretended(`[ -e "$0.once" ] || { : >"$0.once"; exit 1; }`)
      const notify = yield* Notify.make({ env, status })
      yield* notify.stopping(0)
      assert.deepStrictEqual(lines(), [])
      yield* notify.stopping(0)
      assert.deepStrictEqual(lines(), ["STATUS=stopping|STOPPING=1|EXTEND_TIMEOUT_USEC=15000000|"])
    })
  )

  it.scopedLive(
    "waits for a systemd-notify that hangs no longer than it may, and leaves no process",
    () =>
      Effect.gen(function* () {
        const { env, lines } = yield* pretended(`echo "$$" >"$0.pid"; exec sleep 600`)
        const notify = yield* Notify.make({ env, status })
        yield* Effect.uninterruptible(notify.stopping(0))
        const pid = Number(Fs.readFileSync(Path.join(env.PATH.split(":")[0] ?? "", "systemd-notify.pid"), "utf8"))
        yield* Effect.sleep(100)
        assert.throws(() => process.kill(pid, 0), /ESRCH/)
        assert.deepStrictEqual(lines(), [])
      }),
    15_000
  )
})

const needed = Tools.missing("systemd-notify", "python3")

/** What systemd does with its socket: it takes words, and closes what comes along, which systemd-notify waits for. */
const receiver = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    data, ancillary, flags, address = s.recvmsg(4096, socket.CMSG_LEN(64))
    for level, kind, value in ancillary:
        if kind == socket.SCM_RIGHTS:
            for fd in array.array("i", value[:len(value) - len(value) % 4]): os.close(fd)
    print(data.decode().replace("\\n", "|"), flush=True)
`

describe.skipIf(needed.skip)(`Notify, by the real systemd-notify${needed.notice}`, () => {
  it.scopedLive("is heard at systemd's socket", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const socket = Path.join(folder, "notify")
      const systemd = yield* Program.start({ command: Tools.path("python3"), args: ["-c", receiver, socket] })
      yield* systemd.expect(/bound/)
      const env = { PATH: process.env["PATH"], NOTIFY_SOCKET: socket, WATCHDOG_USEC: "2000000" }
      const notify = yield* Notify.make({ env, status })
      yield* notify.ready
      yield* systemd.expect(/^(?=.*READY=1)(?=.*STATUS=2 of 3\?machines)/m)
      yield* systemd.expect(/WATCHDOG=1/)
      yield* notify.stopping(1_000)
      yield* systemd.expect(/^(?=.*STOPPING=1)(?=.*EXTEND_TIMEOUT_USEC=16000000)/m)
    })
  )
})
