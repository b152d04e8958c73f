import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import * as Memory from "./harness/Memory.ts"
import * as Program from "./harness/Program.ts"
import { repositoryRoot } from "./harness/Workspace.ts"

const start = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const program = yield* Program.start({
    name: "quickstart",
    command: process.execPath,
    args: [Path.join(repositoryRoot, "scripts", "quickstart.mjs")],
    env: { TMPDIR: folder, HOME: folder },
    endsOn: "SIGINT"
  })
  // three programs start one after the other before it says so
  const [, page = ""] = yield* program.expect(/^Open\s+(http:\/\/localhost:\d+\/)/m, {
    on: "stdout",
    within: "60 seconds"
  })
  yield* program.expect(/Ctrl-C/, { on: "stdout" })
  return { folder, program, page }
})

describe("npm run quickstart", () => {
  it.scopedLive("serves its page through the tunnel, and leaves no process and no file after Ctrl-C", () =>
    Effect.gen(function* () {
      const { folder, page, program } = yield* start
      const response = yield* Effect.promise(() => fetch(page, { headers: { connection: "close" } }))
      assert.strictEqual(response.status, 200)
      assert.match(response.headers.get("content-type") ?? "", /text\/html/)
      assert.match(yield* Effect.promise(() => response.text()), /<html/i)

      const children = Memory.isKnown ? Memory.descendants(program.pid) : []
      if (Memory.isKnown) assert.isAtLeast(children.length, 3)
      const { code } = yield* program.end("SIGINT")
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(children.filter(Memory.isAlive), [])
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    })
  )

  it.scopedLive("the commands that it says to type next work as they stand", () =>
    Effect.gen(function* () {
      const { folder, program } = yield* start
      const commands = program.output("stdout").match(/^ {2}bin\/tela .*$/gm) ?? []
      assert.isAtLeast(commands.length, 2)
      for (const line of commands) {
        const [command = "", ...args] = line.trim().split(/\s+/)
        const { stdout } = yield* Program.run({
          command: Path.join(repositoryRoot, command),
          args,
          env: { HOME: folder },
          cwd: repositoryRoot
        })
        assert.match(stdout, /quickstart|1 online/i)
      }
    })
  )
})
