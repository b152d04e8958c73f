import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Program from "./harness/Program.ts"
import { bin, startHub } from "./harness/Tela.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const folderWithHub = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const file = Path.join(folder, "telahubd.yaml")
  const user = (...args: ReadonlyArray<string>) =>
    Program.outcome({
      command: bin("telahubd"),
      args: ["user", ...args, "-config", file],
      cwd: folder,
      env: { HOME: folder }
    })
  return { folder, file, user, text: () => Fs.readFileSync(file, "utf8") }
})

const whoami = (url: string, token: string) =>
  Effect.promise(() =>
    fetch(`${url}/api/admin/tokens`, { headers: { authorization: `Bearer ${token}` } }).then(({ status }) => status)
  )

describe("telahubd user", () => {
  it.scopedLive("manages identities in the file", () =>
    Effect.gen(function* () {
      const { file, text, user } = yield* folderWithHub
      const missing = yield* user("list")
      assert.strictEqual(missing.code, 1)
      assert.match(
        missing.stderr,
        /no such file; put it back if there was one, or, to create it, run: telahubd user bootstrap -config \S+/
      )
      yield* user("bootstrap", "-quiet")
      // An empty role is a user's.
      const token = (yield* user("add", "alice", "-role", "", "-quiet")).stdout
      assert.match(token, /^[0-9a-f]{64}\n$/)
      assert.notInclude(text(), token.trim())
      assert.match(
        (yield* user("add", "bob", "-role", "admin", "-expires", "2h")).stdout,
        /Added bob, role admin, until .*Z\.\n/
      )
      assert.match((yield* user("grant", "alice", "barn")).stdout, /^alice now has connect on barn\.\n$/)
      const again = yield* user("grant", "alice", "barn", "connect,manage", "-services", "ssh")
      assert.strictEqual(again.stdout, "alice now has connect (ssh), manage on barn, in place of connect.\n")
      const listed = yield* user("list")
      assert.match(listed.stdout, /^ID +ROLE +STATUS +EXPIRES +TOKEN\nalice +user +active +- +[0-9a-f]{8}\.\.\.\nbob /)
      const json: unknown = JSON.parse((yield* user("list", "-json")).stdout)
      assert.isTrue(Array.isArray(json))
      assert.match((yield* user("revoke", "alice", "barn")).stdout, /no permission of its own on barn/)
      assert.match((yield* user("rotate", "bob", "-quiet")).stdout, /^[0-9a-f]{64}\n$/)
      assert.match((yield* user("remove", "bob")).stdout, /Removed bob/)

      const before = text()
      const wrong: ReadonlyArray<readonly [number, RegExp, ReadonlyArray<string>]> = [
        [1, /last remaining owner.*nothing was changed/, ["remove", "owner"]],
        [2, /<machine> is missing/, ["revoke", "owner"]],
        [1, /no identity is called bob/, ["remove", "bob"]],
        [1, /already exists/, ["add", "alice"]],
        [1, /alice has no permission on mill/, ["revoke", "alice", "mill"]],
        [2, /"conect" is no permission.*did you mean "connect"/, ["grant", "alice", "barn", "conect"]],
        [2, /-role is one of user, admin, owner/, ["add", "eve", "-role", "viewer"]],
        [2, /-expires: .*not in the future/, ["add", "eve", "-expires", "2020-01-01T00:00:00Z"]],
        [2, /is no name/, ["add", ""]],
        [2, /"\.\." is no name/, ["add", ".."]],
        [2, /"\." is no name/, ["grant", "alice", "."]],
        [2, /"a: \{b" is no name.*without spaces/, ["add", "a: {b"]],
        [2, /"__proto__" is no name/, ["add", "__proto__"]]
      ]
      for (const [code, says, args] of wrong) {
        const ended = yield* user(...args)
        assert.strictEqual(ended.code, code, args.join(" "))
        assert.match(ended.stderr, says)
        assert.strictEqual(ended.stderr.trim().split("\n").length, 1)
      }
      assert.strictEqual(text(), before)
      assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
    })
  )

  it.scopedLive("removes names that no address can hold, which a file of before may have", () =>
    Effect.gen(function* () {
      const { file, text, user } = yield* folderWithHub
      yield* user("bootstrap", "-quiet")
      for (const id of ["one", "two"]) yield* user("add", id)
      yield* user("grant", "two", "barn")
      Fs.writeFileSync(file, text().replaceAll("one:", ".:").replaceAll("two", "..").replaceAll("barn", ".."))
      assert.match((yield* user("rotate", ".", "-quiet")).stdout, /^[0-9a-f]{64}\n$/)
      assert.match((yield* user("revoke", "..", "..")).stdout, /no permission/)
      for (const id of [".", ".."]) assert.match((yield* user("remove", id)).stdout, /Removed/)
      const listed = (yield* user("list")).stdout
      assert.match(listed, /^owner /m)
      assert.notMatch(listed, /^\./m)
    })
  )

  it.scopedLive("goes on from an older copy of the file only by force, and finds the record through a link too", () =>
    Effect.gen(function* () {
      const { file, folder, text, user } = yield* folderWithHub
      yield* user("bootstrap", "-quiet")
      yield* user("add", "mallory", "-role", "admin")
      const old = text()
      yield* user("remove", "mallory")
      Fs.writeFileSync(file, old)
      const refused = yield* user("grant", "owner", "barn")
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /older copy, of revision \d+, while \d+ is the last that was recorded.*-force\n$/)
      assert.strictEqual(text(), old)
      const links = Path.join(folder, "links")
      Fs.mkdirSync(links)
      Fs.symlinkSync(file, Path.join(links, "hub.yaml"))
      const forced = yield* Program.outcome({
        command: bin("telahubd"),
        args: ["user", "grant", "owner", "barn", "-force", "-config", Path.join(links, "hub.yaml")],
        env: { HOME: folder }
      })
      assert.match(forced.stderr, /older copy.*\n.*mallory was removed before/)
      assert.strictEqual(forced.code, 0)
      assert.notInclude(text(), "mallory")
      assert.deepStrictEqual(Fs.readdirSync(links), ["hub.yaml"])
      assert.strictEqual((yield* user("grant", "owner", "mill")).code, 0)
    })
  )

  it.scopedLive("is the way back when no owner is valid, and a hub says so", () =>
    Effect.gen(function* () {
      const { file, text, user } = yield* folderWithHub
      yield* user("bootstrap", "-quiet")
      Fs.writeFileSync(file, text().replace('"role":"owner"', '"role":"owner","expiresAt":"2020-01-01T00:00:00Z"'))
      const start = { command: bin("telahubd"), args: ["-config", file, "-port", "0"], env: {} }
      const refused = yield* Program.outcome(start)
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /telahubd user rotate <owner>.*telahubd user add <id> -role owner/)
      const token = (yield* user("rotate", "owner", "-quiet")).stdout.trim()
      const hub = yield* startHub(file)
      assert.strictEqual(yield* whoami(hub.url.replace(/^ws/, "http"), token), 200)
    })
  )

  it.scopedLive("works beside a running hub, which takes it in", () =>
    Effect.gen(function* () {
      const { file, text, user } = yield* folderWithHub
      const owner = (yield* user("bootstrap", "-quiet")).stdout.trim()
      const hub = yield* startHub(file)
      const url = hub.url.replace(/^ws/, "http")
      const admin = (yield* user("add", "ann", "-role", "admin", "-quiet")).stdout.trim()
      const until = (token: string, status: number): Effect.Effect<void> =>
        Effect.flatMap(whoami(url, token), (now) =>
          now === status ? Effect.void : Effect.zipRight(Effect.sleep(20), until(token, status))
        )
      yield* until(admin, 200)
      const added = yield* Effect.promise(() =>
        fetch(`${url}/api/admin/tokens`, {
          method: "POST",
          headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
          body: JSON.stringify({ id: "carl" })
        })
      )
      assert.strictEqual(added.status, 201)
      yield* user("remove", "ann")
      yield* until(admin, 401)
      assert.strictEqual(yield* whoami(url, owner), 200)
      assert.match(text(), /\n {4}carl: /)
      assert.notMatch(text(), /\n {4}ann: /)
      const history = yield* Effect.promise(() =>
        fetch(`${url}/api/history`, { headers: { authorization: `Bearer ${owner}` } }).then((answer) => answer.text())
      )
      for (const what of ["token-add", "access-remove"]) assert.include(history, what)
      assert.notInclude(history, "file-edit")
      for (const secret of [owner, admin]) assert.notInclude(history, secret)
    })
  )
})
