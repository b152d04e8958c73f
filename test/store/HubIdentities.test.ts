import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Change } from "../../src/policy/Change.ts"
import { grantsOf, holderOf, identityOf } from "../../src/policy/Identity.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import { COUNT_MAX, HUB_FILE_BYTES } from "../../src/protocol/Limits.ts"
import type { OutsideChange } from "../../src/store/IdentityStore.ts"
import { change, edit, example, fileOf, idsOf, plain, read, token, write } from "./hubFile.ts"

const add = (id: string) => Change.Add({ id, role: "user", token: token(id), grants: [] })
const hows = (changes: ReadonlyArray<OutsideChange>) => changes.map(({ how, id }) => `${how} ${id}`).toSorted()
const filesBeside = (path: string) => Effect.promise(() => Fs.readdir(Path.dirname(path)))

describe("HubIdentities", () => {
  it.scopedLive("changes the lines it must, and leaves everything else byte for byte", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, Change.Grant({ id: "alice", machine: "barn", permissions: ["connect", "manage"] }))
      const text = yield* read(path)
      const kept = (part: string) =>
        part.split("\n").filter((each) => !/alice|owner:|bob:|barn:|"\*"|revision/.test(each))
      assert.deepStrictEqual(kept(text), kept(example))
      assert.match(text, /\n {2}revision: 8 # so far\n {2}# people\n/)
      assert.match(text, /\n {4}# Alice, on call\n {4}alice: \{.*"version":2,"digest":"[\w-]{12}"\}\n/)
      assert.match(text, /\n {4}bob: .* # leaves in May\n/)
      assert.match(text, /\n {4}# the old barn\n {4}barn: .*"manage":\[\{"id":"alice"\}\]\}\n/)
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(store.current()))
      assert.strictEqual(again.current().revision, 8)
      assert.deepStrictEqual((yield* again.refresh).changes, [])
      assert.strictEqual(yield* read(path), text)
      assert.deepStrictEqual((yield* filesBeside(path)).toSorted(), ["telahubd.lock", "telahubd.yaml"])
    })
  )

  it.scopedLive("keeps an entry where it was when it is renamed, and drops one that is removed", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, Change.Update({ id: "alice", rename: "alicia" }))
      yield* change(store, Change.Remove({ id: "bob" }))
      const text = yield* read(path)
      assert.match(text, /owner: .*\n {4}# Alice, on call\n {4}alicia: .*\n {2}machines:\n/)
      assert.match(text, /\n {4}barn: \{"connect":\[\{"id":"alicia","services":\["ssh"\]\}\]\}\n\n# the end\n/)
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(store.current()))
    })
  )

  it.scopedLive("takes in what a person edits while it runs, and says so once", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, add("carl"))
      yield* edit(path, (text) =>
        text
          .replace('"id":"alice","services":["ssh"]', '"id":"alice"')
          .replace(
            "  machines:\n",
            `    dora:\n      role: user\n      token: sha256:${token("dora").tokenHash}\n  machines:\n`
          )
          .replace(/ {4}carl:.*\n/, "")
      )
      const { changes, snapshot } = yield* store.refresh
      assert.deepStrictEqual(hows(changes), ["hand alice", "hand carl", "hand dora"])
      assert.match(changes.find(({ id }) => id === "dora")?.text ?? "", /telahubd\.yaml:\d+: dora was edited by hand$/)
      assert.deepStrictEqual(idsOf(snapshot), ["alice", "bob", "dora", "owner"])
      assert.isUndefined(grantsOf(snapshot, "alice")[0]?.services)
      assert.strictEqual(identityOf(snapshot, "alice")?.version, 2)
      assert.strictEqual(snapshot.revision, 9)
      assert.deepStrictEqual((yield* store.refresh).changes, [])
      const text = yield* read(path)
      assert.match(text, /\n {2}revision: 9 # so far\n/)
      assert.match(text, /\n {4}dora: \{"role":"user",.*\n {2}machines:\n/)
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(snapshot))
      assert.deepStrictEqual((yield* again.refresh).changes, [])
    })
  )

  it.scopedLive("takes in what a person edited while nobody ran: what no digest fits has a new version", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, Change.Grant({ id: "alice", machine: "barn", permissions: ["connect"] }))
      yield* change(store, Change.Grant({ id: "bob", machine: "mill", permissions: ["connect"] }))
      yield* edit(path, (text) => text.replace(/ {4}mill:.*\n/, ""))
      const again = yield* HubIdentities.make(path)
      assert.strictEqual(identityOf(again.current(), "bob")?.version, 3)
      assert.strictEqual(identityOf(again.current(), "alice")?.version, 2)
      const { changes } = yield* again.refresh
      assert.deepStrictEqual(hows(changes), ["hand bob"])
      const third = yield* HubIdentities.make(path)
      assert.strictEqual(identityOf(third.current(), "bob")?.version, 3)
      assert.deepStrictEqual((yield* third.refresh).changes, [])
    })
  )

  it.scopedLive("leaves a token that two have with the later one, whichever of them was edited", () =>
    Effect.gen(function* () {
      const { prefix, tokenHash } = token("twice")
      const entry = (role: string) => `{"role":"${role}","token":"sha256:${tokenHash}","prefix":"${prefix}"`
      const edited = '"version":2,"digest":"AAAAAAAAAAAA"}'
      const first = yield* fileOf(
        example.replace(
          "    # Alice",
          `    ann: ${entry("viewer")},${edited}\n    boss: ${entry("owner")}}\n    # Alice`
        )
      )
      const { current, refresh } = yield* HubIdentities.make(first)
      assert.strictEqual(identityOf(current(), "ann")?.version, 3)
      assert.strictEqual(holderOf(current(), tokenHash)?.id, "boss")
      yield* refresh
      yield* edit(first, (text) => text.replace(/( {4}ann: \{.*)"role":"\w+"/, '$1"role":"admin"'))
      yield* refresh
      assert.strictEqual(identityOf(current(), "ann")?.role, "admin")
      assert.strictEqual(holderOf(current(), tokenHash)?.id, "boss")
    })
  )

  it.scopedLive("goes on as it was while the file is broken, emptied, ownerless or gone, and refuses changes", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      const good = yield* read(path)
      const before = plain(store.current())
      const broken: ReadonlyArray<readonly [string, RegExp]> = [
        [good.replace("bob: {", "bob: ["), /telahubd\.yaml:\d+:\d+: /],
        [
          good.replace('"role":"user"', '"role":"boss"'),
          /telahubd\.yaml:11:\d+: auth\.identities\.alice\.role: expected/
        ],
        ["", /empty.*backup/],
        ["port: 1\n", /role owner.*backup/],
        [good.replace('"role":"owner"', '"role":"admin"'), /role owner.*backup/],
        [good.replace(/( {4}alice.*\n)/, "$1$1"), /telahubd\.yaml:12:5: alice stands here twice/],
        [
          good.replace('"role":"user"', '"role":"user","role":"owner"'),
          /telahubd\.yaml:11:\d+: Map keys must be unique/
        ],
        [good.replace("    alice:", '    "__proto__":'), /telahubd\.yaml:11:5: unknown key "__proto__"/],
        [
          good.replace("revision: 7", `revision: ${COUNT_MAX + 1}`),
          /telahubd\.yaml:6:3: auth\.revision: expected a number/
        ]
      ]
      for (const [text, says] of broken) {
        yield* write(path, text)
        const failure = yield* Effect.flip(Effect.asVoid(store.refresh)).pipe(
          Effect.orElse(() => Effect.dieMessage(`taken: ${text}`))
        )
        assert.strictEqual(failure.kind, "unreadable")
        assert.match(failure.message, says)
        const refused = yield* Effect.flip(Effect.asVoid(change(store, add("carl"))))
        assert.match(refused.message, says)
        assert.strictEqual(yield* read(path), text)
        assert.deepStrictEqual(plain(store.current()), before)
      }
      yield* Effect.promise(() => Fs.rm(path))
      assert.match(
        (yield* Effect.flip(Effect.asVoid(change(store, add("carl"))))).message,
        /no such file.*put the file back/
      )
      yield* write(path, good)
      assert.deepStrictEqual((yield* store.refresh).changes, [])
      yield* change(store, add("carl"))
      assert.include(yield* read(path), "carl: {")
    })
  )

  it.scopedLive("never lets an old copy of the file bring back what was taken away", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, add("carl"))
      yield* change(store, Change.Grant({ id: "carl", machine: "barn", permissions: ["connect"] }))
      const old = yield* read(path)
      yield* change(store, Change.Revoke({ id: "alice" }))
      yield* change(store, Change.Remove({ id: "bob" }))
      yield* change(store, Change.Rotate({ id: "carl", token: token("carl-2") }))
      yield* change(store, Change.RevokeMachine({ id: "carl", machine: "barn" }))
      const acknowledged = plain(store.current())
      // Saved as it was, and with an edit of somebody nobody touched.
      yield* write(path, old)
      assert.deepStrictEqual((yield* store.refresh).changes, [])
      assert.deepStrictEqual(plain(store.current()), acknowledged)
      assert.deepStrictEqual(plain((yield* HubIdentities.make(path)).current()), acknowledged)
      const stale = old
        .replace(
          "  machines:\n",
          `    dora: {"role":"user","token":"sha256:${token("dora").tokenHash}"}\n  machines:\n`
        )
        .replace(/( {4}alice: .*)"prefix":"alice"/, '$1"prefix":"alicia"')
      yield* write(path, stale)
      const { changes, snapshot } = yield* store.refresh
      assert.deepStrictEqual(hows(changes), ["hand dora", "lost alice"])
      assert.match(
        changes.find(({ how }) => how === "lost")?.text ?? "",
        /telahubd\.yaml:11: this edit of alice was not taken/
      )
      assert.deepStrictEqual(
        plain(snapshot).filter(({ id }) => id !== "dora"),
        acknowledged
      )
      // A hub that was started since knows only what the lines say of themselves.
      const restarted = yield* HubIdentities.make(path)
      yield* change(restarted, Change.Remove({ id: "carl" }))
      yield* write(path, stale.replace("dora", "emil"))
      const late = yield* restarted.refresh
      assert.deepStrictEqual(hows(late.changes), ["hand emil", "lost alice", "lost dora"])
      assert.deepStrictEqual(idsOf(late.snapshot), ["alice", "dora", "emil", "owner"])
      assert.isDefined(identityOf(late.snapshot, "alice")?.revokedAt)
    })
  )

  it.scopedLive("merges an edit with changes of other entries, grant by grant", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* change(store, Change.Grant({ id: "owner", machine: "mill", permissions: ["connect"] }))
      const old = yield* read(path)
      yield* change(store, Change.Grant({ id: "alice", machine: "barn", permissions: ["manage"] }))
      yield* write(path, old.replace('"register":[{"id":"bob"}]', '"register":[{"id":"bob"},{"id":"owner"}]'))
      const outside: Array<OutsideChange> = []
      yield* change(store, add("carl"), outside)
      assert.deepStrictEqual(hows(outside), ["hand owner"])
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(store.current()))
      const barn = plain(again.current()).flatMap(({ grants, id }) =>
        grants.filter(({ machine }) => machine === "barn").map(({ permission }) => `${id} ${permission}`)
      )
      assert.deepStrictEqual(barn, ["alice manage", "bob register", "owner register"])
    })
  )

  it.scopedLive("takes what another program of ours wrote as that program's", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const hub = yield* HubIdentities.make(path)
      yield* change(hub, add("carl"))
      const tool = yield* HubIdentities.make(path)
      yield* change(tool, Change.Remove({ id: "bob" }))
      yield* change(tool, Change.Grant({ id: "alice", machine: "mill", permissions: ["register"] }))
      const { changes, snapshot } = yield* hub.refresh
      assert.deepStrictEqual(hows(changes), ["tool alice", "tool bob"])
      assert.deepStrictEqual(plain(snapshot), plain(tool.current()))
      assert.strictEqual(snapshot.revision, tool.current().revision)
      // Neither overwrites the other's.
      yield* Effect.all(
        [0, 1, 2, 3, 4].flatMap((n) => [change(hub, add(`hub-${n}`)), change(tool, add(`tool-${n}`))]),
        { concurrency: "unbounded" }
      )
      const last = yield* HubIdentities.make(path)
      assert.strictEqual(idsOf(last.current()).filter((id) => /^(hub|tool)-\d$/.test(id)).length, 10)
    })
  )

  it.scopedLive("follows a symlink, keeps the mode, and does away with a temporary file that a crash has left", () =>
    Effect.gen(function* () {
      const target = yield* fileOf(example)
      const link = Path.join(Path.dirname(target), "link.yaml")
      yield* Effect.promise(() => Fs.symlink(target, link))
      yield* Effect.promise(() => Fs.chmod(target, 0o640))
      // Somebody else's, it may be a link to anywhere.
      const other = `${target}.other`
      yield* write(other, "precious")
      yield* Effect.promise(() => Fs.symlink(other, `${target}.tmp`))
      const store = yield* HubIdentities.make(link)
      yield* change(store, add("carl"))
      assert.isTrue((yield* Effect.promise(() => Fs.lstat(link))).isSymbolicLink())
      assert.strictEqual((yield* Effect.promise(() => Fs.stat(target))).mode & 0o777, 0o640)
      assert.include(yield* read(target), "carl: {")
      assert.strictEqual(yield* read(other), "precious")
      yield* Effect.promise(() => Fs.rm(other))
      assert.deepStrictEqual((yield* filesBeside(target)).toSorted(), ["link.yaml", "telahubd.lock", "telahubd.yaml"])
    })
  )

  it.scopedLive("brings a deployed file into its own form at the first change, and keeps a copy", () =>
    Effect.gen(function* () {
      const deployed =
        "# Tela\nport: 80\nauth:\n  tokens:\n    # the boss\n    - id: owner\n      token: o\n      hubRole: owner\n" +
        "    - {id: alice, token: a}\n    - {id: viewer, token: v, hubRole: viewer}\n  machines:\n    # the barn\n    barn:\n" +
        "      registerToken: a\n      connectTokens: [a, {token: a, services: [ssh]}]\n    123: {manageTokens: [a]}\n# end\nname: n\n"
      const path = yield* fileOf(deployed)
      const store = yield* HubIdentities.make(path)
      assert.deepStrictEqual((yield* store.refresh).changes, [])
      assert.strictEqual(yield* read(path), deployed)
      const before = plain(store.current())
      yield* change(store, add("carl"))
      const text = yield* read(path)
      assert.match(
        text,
        /^# Tela\nport: 80\nauth:\n {2}machines:\n {4}# the barn\n {4}barn: \{.*\n {4}"123": \{.*\n {4}"\*": \{"connect":\[\{"id":"viewer"\}\]\}\n/
      )
      assert.match(
        text,
        /\n {2}identities:\n {4}# the boss\n {4}owner: \{.*\n {4}alice: .*\n {4}viewer: .*\n {4}carl: .*\n# end\nname: n\n$/
      )
      assert.notMatch(text, /token: |tokens/)
      assert.strictEqual(yield* read(`${path}.deployed`), deployed)
      const stat = yield* Effect.promise(() => Fs.stat(`${path}.deployed`))
      assert.strictEqual(stat.mode & 0o777, 0o600)
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(store.current()))
      assert.deepStrictEqual(
        plain(again.current()).filter(({ id }) => id !== "carl"),
        before
      )
    })
  )

  it.scopedLive(
    "writes files of any style: JSON, flow style, another indentation, Windows line ends, no newline at the end",
    () =>
      Effect.gen(function* () {
        const owner = { role: "owner", token: `sha256:${token("o").tokenHash}` }
        const texts = [
          JSON.stringify({ hubId: "h", auth: { identities: { owner } }, port: 81 }),
          JSON.stringify({ hubId: "h", auth: { identities: { owner } }, port: 81 }, undefined, 2),
          `hubId: h\nauth: {identities: {owner: ${JSON.stringify(owner)}}}\nport: 81`,
          `hubId: h\nport: 81\nauth:\n    identities:\n        owner:\n            role: owner\n            token: ${owner.token}`,
          example.replaceAll("\n", "\r\n").replace("8080", "81"),
          example
            .replace("8080", "81")
            .replace(/"prefix":"bob"\}/, '"prefix":\n      "bob"\n    }')
            .trimEnd()
        ]
        for (const text of texts) {
          const path = yield* fileOf(text)
          const store = yield* HubIdentities.make(path)
          yield* change(store, add("carl"))
          yield* change(store, Change.Grant({ id: "carl", machine: "on", permissions: ["connect"] }))
          const again = yield* HubIdentities.make(path)
          assert.deepStrictEqual(plain(again.current()), plain(store.current()), text)
          assert.match(yield* read(path), /port"?: +81/)
          assert.match(yield* read(path), /\n {4}"on": \{/)
        }
      })
  )

  it.scopedLive("counts the owner that expires last as one that does not", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(
        example.replace('"prefix":"owner"', '"prefix":"owner","expiresAt":"2999-01-01T00:00:00Z"')
      )
      const store = yield* HubIdentities.make(path)
      assert.isUndefined(identityOf(store.current(), "owner")?.expiresAt)
      // In the file too, for at the next start that time may have passed.
      yield* store.refresh
      assert.match(yield* read(path), /owner: \{"role":"owner","token":"[^"]*","prefix":"owner","version":/)
      yield* edit(path, (text) =>
        text.replace('"prefix":"owner"', '"prefix":"owner","expiresAt":"2998-01-01T00:00:00Z"')
      )
      const { changes } = yield* store.refresh
      assert.deepStrictEqual(hows(changes), ["doubt undefined", "hand owner"])
      assert.match(changes.find(({ how }) => how === "doubt")?.text ?? "", /every owner expires; owner, the last one/)
      assert.isUndefined(identityOf(store.current(), "owner")?.expiresAt)
      assert.match(yield* read(path), /owner: \{"role":"owner","token":"[^"]*","prefix":"owner","version":/)
    })
  )

  it.scopedLive("says of an edit what may not be meant, once", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(example)
      const store = yield* HubIdentities.make(path)
      yield* edit(path, (text) => text.replace('[{"id":"bob"}]', '[{"id":"bobb"}]'))
      const doubts = (yield* store.refresh).changes.filter(({ how }) => how === "doubt").map(({ text }) => text)
      assert.strictEqual(doubts.length, 1)
      assert.match(
        doubts[0] ?? "",
        /telahubd\.yaml: auth\.machines\.barn: nobody is called bobb; did you mean "bob"\?$/
      )
      assert.deepStrictEqual((yield* store.refresh).changes, [])
    })
  )

  it.scopedLive("never makes its own file unreadable: neither too large, nor with numbers that are refused", () =>
    Effect.gen(function* () {
      const nearlyFull = yield* fileOf(`${example}# ${"x".repeat(HUB_FILE_BYTES - example.length - 100)}\n`)
      const store = yield* HubIdentities.make(nearlyFull)
      const failure = yield* Effect.flip(Effect.asVoid(change(store, add("carl"))))
      assert.strictEqual(failure.kind, "full")
      assert.match(failure.message, /larger than 33554432 bytes.*remove identities or grants/)
      assert.deepStrictEqual(idsOf(store.current()), ["alice", "bob", "owner"])
      assert.deepStrictEqual(idsOf((yield* HubIdentities.make(nearlyFull)).current()), ["alice", "bob", "owner"])

      const highest = example
        .replace("revision: 7", `revision: ${COUNT_MAX}`)
        .replace('"prefix":"alice"', `"prefix":"alice","version":${COUNT_MAX}`)
      const path = yield* fileOf(highest)
      const counted = yield* HubIdentities.make(path)
      yield* change(counted, Change.Revoke({ id: "alice" }))
      yield* change(counted, Change.Rotate({ id: "alice", token: token("alice-2") }))
      const again = yield* HubIdentities.make(path)
      assert.deepStrictEqual(plain(again.current()), plain(counted.current()))
    })
  )
})
