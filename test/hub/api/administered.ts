/** A hub whose storage a test can watch and break, and requests to it as any program makes them: fetch, and nothing of ours. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Authority from "../../../src/hub/Authority.ts"
import * as Hub from "../../../src/hub/Hub.ts"
import { makeSnapshot } from "../../../src/policy/Identity.ts"
import type { GrantEntry, StoredIdentity } from "../../../src/policy/Identity.ts"
import { Audit } from "../../../src/store/Audit.ts"
import * as AuditMemory from "../../../src/store/AuditMemory.ts"
import { IdentityStore, layerMemory } from "../../../src/store/IdentityStore.ts"
import type { StoreFailure } from "../../../src/store/IdentityStore.ts"
import { PairCodes } from "../../../src/store/PairCodes.ts"
import * as MachinesMemory from "../../../src/store/MachinesMemory.ts"
import * as PairCodesMemory from "../../../src/store/PairCodesMemory.ts"
import { identity } from "../harness.ts"

/** Tests begin at this moment of the test clock. */
export const START = Date.parse("2027-01-31T12:00:00Z")

const identities: ReadonlyArray<StoredIdentity> = [
  identity("olga", "owner", { prefix: "0123abcd" }),
  identity("adam", "admin"),
  identity("alice", "user", { issuedAt: START - 60_000 }),
  identity("bob", "user", { expiresAt: START + 3_600_000 }),
  identity("gone", "user", { revokedAt: START - 1_000 }),
  identity("past", "owner", { expiresAt: START - 1_000 }),
  identity("console-viewer", "viewer"),
  identity("agent", "user")
]

const grants: ReadonlyArray<GrantEntry> = [
  { id: "alice", machine: "barn", permission: "connect" },
  { id: "bob", machine: "*", permission: "connect", services: ["ssh"] },
  { id: "bob", machine: "mill", permission: "manage", expiresAt: START + 60_000 },
  { id: "bob", machine: "mill", permission: "register", expiresAt: START - 60_000 },
  { id: "agent", machine: "barn", permission: "register" },
  { id: "console-viewer", machine: "*", permission: "connect" }
]

/** What storing identities, and pairing codes, fails with from now on, while it is set. */
export interface Trouble {
  failure: StoreFailure | undefined
  codes: StoreFailure | undefined
}

const breakable = (trouble: Trouble) =>
  Layer.effect(
    IdentityStore,
    Effect.map(IdentityStore, (store) => ({
      ...store,
      update: (takenIn, edit) => Effect.suspend(() => trouble.failure ?? store.update(takenIn, edit))
    }))
  ).pipe(Layer.provide(layerMemory(makeSnapshot(7, identities, grants))))

const breakableCodes = (trouble: Trouble) =>
  Layer.effect(
    PairCodes,
    Effect.map(PairCodes, (codes) => ({
      ...codes,
      add: (code, about) => Effect.suspend(() => trouble.codes ?? codes.add(code, about)),
      spend: (id, identity, now) => Effect.suspend(() => trouble.codes ?? codes.spend(id, identity, now)),
      settle: (id) => Effect.suspend(() => trouble.codes ?? codes.settle(id)),
      cancel: (id) => Effect.suspend(() => trouble.codes ?? codes.cancel(id))
    }))
  ).pipe(Layer.provide(PairCodesMemory.layer))

/** A running hub, with its insides. The token of each identity is its id and `-token`. */
export const start = (more: Partial<Hub.HubOptions["config"]> = {}, options: Pick<Hub.HubOptions, "restart"> = {}) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(START)
    const trouble: Trouble = { failure: undefined, codes: undefined }
    const config = { hubId: "h", name: "", host: "127.0.0.1", port: 0, tls: undefined, trustedProxies: [], ...more }
    const storage = Layer.mergeAll(breakable(trouble), AuditMemory.layer, breakableCodes(trouble), MachinesMemory.layer)
    const context = yield* Layer.build(
      Hub.layer({ ...options, config, version: "v1.2.3" }).pipe(Layer.provideMerge(storage))
    )
    return {
      url: Context.get(context, Hub.Hub).url,
      trouble,
      snapshot: Context.get(context, Authority.Authority).snapshot,
      authority: Context.get(context, Authority.Authority),
      audit: Context.get(context, Audit),
      codes: Context.get(context, PairCodes),
      /** Another hub on what is stored, as after a restart. */
      startAgain: Effect.provide(Layer.build(Hub.layer({ config, version: "v1.2.3" })), context)
    }
  })

export type Administered = Effect.Effect.Success<ReturnType<typeof start>>

export interface Sent {
  /** Whose token, in the Authorization header; nobody's unless given. */
  readonly as?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Received {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}

const object = Schema.decodeUnknownSync(Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown })))

/** One request at this moment of the test clock. */
export const sendNow = (hub: { readonly url: string }, method: string, path: string, sent: Sent = {}) =>
  Effect.promise(async (): Promise<Received> => {
    const { as, body, headers = {} } = sent
    const response = await fetch(`${hub.url}${path}`, {
      method,
      headers: { ...(as !== undefined && { authorization: `Bearer ${as}-token` }), ...headers },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) })
    })
    const text = await response.text()
    const isJson = response.headers.get("content-type") === "application/json"
    return { status: response.status, headers: response.headers, text, json: isJson ? object(text) : {} }
  })

/** One request, a second after what came before it, so that no rate limit has a say. */
export const send = (hub: { readonly url: string }, method: string, path: string, sent: Sent = {}) =>
  Effect.zipRight(TestClock.adjust(Duration.seconds(1)), sendNow(hub, method, path, sent))
