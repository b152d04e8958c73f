/** A hub's file for tests, and changes of it as the Authority and `telahubd user` make them. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import { apply } from "../../src/policy/Change.ts"
import type { Applied, Change } from "../../src/policy/Change.ts"
import { grantsOf, identitiesOf } from "../../src/policy/Identity.ts"
import type { Snapshot } from "../../src/policy/Identity.ts"
import type { IdentityStore, OutsideChange, StoreFailure } from "../../src/store/IdentityStore.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

export type Store = typeof IdentityStore.Service

/** A token's digest and prefix, made of a name. */
export const token = (name: string) => ({
  tokenHash: Buffer.from(name).toString("hex").padEnd(64, "0").slice(0, 64),
  prefix: name.slice(0, 8)
})

const line = (name: string, role: string) =>
  `    ${name}: {"role":"${role}","token":"sha256:${token(name).tokenHash}","prefix":"${token(name).prefix}"}\n`

/** Two owners' worth of people, two machines, and a person's comments. */
export const example =
  "# mine\nhubId: h # ours\nport:   8080\n\nauth:\n  revision: 7 # so far\n  # people\n  identities:\n" +
  line("owner", "owner") +
  "    # Alice, on call\n" +
  line("alice", "user") +
  line("bob", "user").replace("\n", " # leaves in May\n") +
  "  machines:\n" +
  '    # the old barn\n    barn: {"register":[{"id":"bob"}],"connect":[{"id":"alice","services":["ssh"]}]}\n' +
  '    "*": {"connect":[{"id":"bob","expiresAt":"2999-01-01T00:00:00.000Z"}]}\n' +
  "\n# the end\nname: test\n"

/** Writes a file of its own folder. */
export const fileOf = (text: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const path = Path.join(yield* temporaryFolder, "telahubd.yaml")
    yield* write(path, text)
    return path
  })

export const write = (path: string, text: string) => Effect.promise(() => Fs.writeFile(path, text, { mode: 0o600 }))
export const read = (path: string) => Effect.promise(() => Fs.readFile(path, "utf8"))

/** A person's edit of the file as it is now. */
export const edit = (path: string, change: (text: string) => string) =>
  Effect.gen(function* () {
    const before = yield* read(path)
    const after = change(before)
    if (after === before) return yield* Effect.dieMessage("this edit changes nothing")
    yield* write(path, after)
  })

/** One change, as an owner makes it; what others did is added to `outside`. */
export const change = (
  store: Store,
  what: Change,
  outside: Array<OutsideChange> = []
): Effect.Effect<Applied, StoreFailure> =>
  store.update(
    ({ changes }) => void outside.push(...changes),
    (base) => {
      const applied = Either.getOrThrow(apply(base, what, { by: "owner", now: Date.now() }))
      const renamed = new Map(applied.identity.id === what.id ? [] : [[applied.identity.id, what.id] as const])
      return {
        snapshot: applied.snapshot,
        identities: new Set(applied.identities),
        machines: new Set(applied.machines),
        renamed,
        result: applied
      }
    }
  )

/** A snapshot in an order of its own, for comparisons. */
export const plain = (snapshot: Snapshot) =>
  identitiesOf(snapshot).map((identity) => ({ ...identity, grants: grantsOf(snapshot, identity.id) }))

export const idsOf = (snapshot: Snapshot) => identitiesOf(snapshot).map(({ id }) => id)
