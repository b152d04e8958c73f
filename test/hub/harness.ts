/** A hub in this process, and peers that speak to it in raw JSON and frames, as deployed programs do. */
import * as Crypto from "node:crypto"
import * as Net from "node:net"
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { WebSocket } from "ws"
import type { ClientOptions } from "ws"
import { hashOf } from "../../src/crypto/Token.ts"
import { Authority } from "../../src/hub/Authority.ts"
import * as Hub from "../../src/hub/Hub.ts"
import * as SessionId from "../../src/hub/internal/sessionId.ts"
import type { Change } from "../../src/policy/Change.ts"
import { makeSnapshot } from "../../src/policy/Identity.ts"
import type { GrantEntry, Identity, Role } from "../../src/policy/Identity.ts"
import { Status } from "../../src/protocol/HubApi.ts"
import { Audit } from "../../src/store/Audit.ts"
import * as AuditMemory from "../../src/store/AuditMemory.ts"
import type { HubConfig } from "../../src/store/HubFile.ts"
import { IdentityStore, layerMemory } from "../../src/store/IdentityStore.ts"
import type { Machines } from "../../src/store/Machines.ts"
import * as MachinesMemory from "../../src/store/MachinesMemory.ts"
import * as PairCodesMemory from "../../src/store/PairCodesMemory.ts"

export const identity = (id: string, role: Role = "user", more: Partial<Identity> = {}): Identity => ({
  id,
  role,
  tokenHash: hashOf(Redacted.make(`${id}-token`)),
  prefix: "",
  version: 1,
  ...more
})

export const owner = identity("owner", "owner")

/** Ids of a hub whose key does not matter. */
export const sessionIds = SessionId.make("0a0b0c0d", Redacted.make(new Uint8Array(32)))

const identities = [
  owner,
  identity("agent"),
  identity("rival"),
  identity("seasonal"),
  identity("alice"),
  identity("bob"),
  identity("deputy", "admin"),
  identity("sshonly"),
  identity("nobody"),
  identity("expired", "owner", { expiresAt: -1 }),
  identity("brief", "user", { expiresAt: 5_000 }),
  identity("console-viewer", "viewer")
]

const grants: ReadonlyArray<GrantEntry> = [
  { id: "agent", machine: "barn", permission: "register" },
  { id: "rival", machine: "barn", permission: "register" },
  { id: "agent", machine: "mill", permission: "register" },
  { id: "seasonal", machine: "barn", permission: "register", expiresAt: 5_000 },
  { id: "alice", machine: "barn", permission: "connect" },
  { id: "bob", machine: "barn", permission: "connect" },
  { id: "brief", machine: "barn", permission: "connect" },
  { id: "sshonly", machine: "barn", permission: "connect", services: ["ssh"] },
  { id: "console-viewer", machine: "*", permission: "connect" }
]

const config: HubConfig = {
  hubId: "test-hub",
  name: "",
  host: "127.0.0.1",
  port: 0,
  tls: undefined,
  trustedProxies: []
}

/** What a hub begins with, and where it keeps it and what it records; in memory unless given. */
export const initial = makeSnapshot(7, identities, grants)
export interface Kept {
  readonly identities?: Layer.Layer<IdentityStore>
  readonly audit?: Layer.Layer<Audit>
  readonly machines?: Layer.Layer<Machines>
}

/**
 * A running hub with the identities above; the token of each is its id and `-token`. With it, what a part of it offers to
 * others: its authority, its record, and changes in the owner's name.
 */
export const startHub = (options: Partial<HubConfig> & Pick<Hub.HubOptions, "guard"> = {}, kept: Kept = {}) => {
  const { guard, ...settings } = options
  const { audit = AuditMemory.layer, identities = layerMemory(initial), machines = MachinesMemory.layer } = kept
  const hubOptions = { config: { ...config, ...settings }, version: "v1.2.3", ...(guard && { guard }) }
  const storage = Layer.mergeAll(identities, audit, PairCodesMemory.layer, machines)
  return Effect.map(Layer.build(Layer.provideMerge(Hub.layer(hubOptions), storage)), (context) => {
    const authority = Context.get(context, Authority)
    return {
      ...Context.get(context, Hub.Hub),
      authority,
      audit: Context.get(context, Audit),
      store: Context.get(context, IdentityStore),
      change: (change: Change) =>
        authority.change({ change, by: { identity: owner, from: "local" }, event: { action: "access-update" } })
    }
  })
}

/** What a peer was sent. */
export type Event =
  | { readonly _tag: "Text"; readonly text: string; readonly json: Record<string, unknown> }
  | { readonly _tag: "Binary"; readonly data: Buffer }
  | { readonly _tag: "Closed"; readonly code: number; readonly reason: string }

export class Peer {
  readonly ws: WebSocket
  readonly #events: Array<Event> = []
  #waiter: ((event: Event) => void) | undefined

  constructor(ws: WebSocket) {
    this.ws = ws
    ws.on("message", (data: Buffer, isBinary) => {
      if (isBinary) return this.#push({ _tag: "Binary", data })
      const text = data.toString()
      this.#push({ _tag: "Text", text, json: JSON.parse(text) })
    })
    ws.on("close", (code, reason) => this.#push({ _tag: "Closed", code, reason: reason.toString() }))
    ws.on("error", () => {})
  }

  #push(event: Event) {
    const waiter = this.#waiter
    this.#waiter = undefined
    if (waiter === undefined) this.#events.push(event)
    else waiter(event)
  }

  /** Messages that came and were not taken. */
  get pending() {
    return this.#events.length
  }

  readonly next = Effect.async<Event>((resume) => {
    const event = this.#events.shift()
    if (event !== undefined) return resume(Effect.succeed(event))
    this.#waiter = (arrived) => resume(Effect.succeed(arrived))
  })

  readonly text = Effect.map(this.next, (event) => {
    assert(event._tag === "Text", `expected a text message, got ${JSON.stringify(event)}`)
    return event.json
  })

  readonly binary = Effect.map(this.next, (event) => {
    assert(event._tag === "Binary", `expected a binary message, got ${JSON.stringify(event)}`)
    return event.data
  })

  readonly closed = Effect.map(this.next, (event) => {
    assert(event._tag === "Closed", `expected a close, got ${JSON.stringify(event)}`)
    return event
  })

  /** JSON with the newline that Go's encoder leaves behind it. */
  say(message: object) {
    this.ws.send(`${JSON.stringify(message)}\n`)
  }

  frame(data: Uint8Array) {
    this.ws.send(data)
  }

  /** Waits until the hub has read everything sent so far: it answers a ping after what came before it. */
  readonly settled = Effect.async<void>((resume) => {
    const tag = Crypto.randomBytes(4)
    const heard = (data: Buffer) => {
      if (!data.equals(tag)) return
      this.ws.off("pong", heard)
      resume(Effect.void)
    }
    this.ws.on("pong", heard)
    this.ws.ping(tag)
  })
}

const wsUrl = (hub: { readonly url: string }) => hub.url.replace(/^http/, "ws")

/** Opens a socket to the hub. */
export const dial = (hub: { readonly url: string }, path = "/", options: ClientOptions = {}) =>
  Effect.acquireRelease(
    Effect.async<Peer, Error>((resume) => {
      const ws = new WebSocket(`${wsUrl(hub)}${path}`, { perMessageDeflate: false, ...options })
      const peer = new Peer(ws)
      ws.on("open", () => resume(Effect.succeed(peer)))
      ws.on("error", (error) => resume(Effect.fail(error)))
    }),
    ({ ws }) => Effect.sync(() => ws.terminate())
  )

/** A TCP connection to the hub, and what it was sent until it closed. */
export const tcp = (hub: { readonly port: number }) =>
  Effect.acquireRelease(
    Effect.async<{ socket: Net.Socket; received: () => string; ended: Effect.Effect<string> }>((resume) => {
      const socket = Net.connect(hub.port, "127.0.0.1")
      let text = ""
      let over = false
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1")
      })
      socket.on("error", () => {})
      socket.on("close", () => {
        over = true
      })
      const ended = Effect.async<string>((done) => {
        const finish = () => done(Effect.succeed(text))
        if (over) finish()
        else socket.once("close", finish)
      })
      socket.on("connect", () => resume(Effect.succeed({ socket, received: () => text, ended })))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

export const KEY = "a".repeat(64)
export const AGENT_ID = "7b1c0000-0000-4000-8000-000000000001"

export const register = (more: object = {}) => ({
  type: "register",
  protocolVersion: 1,
  machineName: "barn",
  agentId: AGENT_ID,
  machineRegistrationId: "d0aa0000-0000-4000-8000-000000000001",
  displayName: "Barn PC",
  hostname: "barn.local",
  os: "linux",
  agentVersion: "v0.17.0",
  tags: null,
  token: "agent-token",
  ports: [22, 3389],
  services: [{ port: 22, name: "SSH" }],
  capabilities: { management: true },
  ...more
})

/** A registered agent's control socket. */
export const agentOf = (hub: { readonly url: string }, more: object = {}) =>
  Effect.gen(function* () {
    const agent = yield* dial(hub)
    agent.say(register(more))
    const { machineName } = register(more)
    assert.deepStrictEqual(yield* agent.text, { type: "registered", machineId: machineName })
    return agent
  })

export const connect = (more: object = {}) => ({
  type: "connect",
  protocolVersion: 1,
  machineId: "barn",
  wgPubKey: KEY,
  ports: [22],
  token: "alice-token",
  ...more
})

/** A client that has asked for a session, and what the agent was told of it. */
export const ask = (hub: { readonly url: string }, agent: Peer, more: object = {}) =>
  Effect.gen(function* () {
    const client = yield* dial(hub)
    client.say(connect(more))
    const request = yield* agent.text
    return { client, request, sessionId: String(request["sessionId"]), index: request["sessionIdx"] }
  })

/** A session with both ends up. */
export const session = (hub: { readonly url: string }, agent: Peer, more: object = {}) =>
  Effect.gen(function* () {
    const asked = yield* ask(hub, agent, more)
    const joined = yield* dial(hub)
    joined.say({ type: "session-join", machineId: "barn", sessionId: asked.sessionId })
    assert.deepStrictEqual(yield* joined.text, { type: "session-start", wgPubKey: KEY })
    const ready = yield* asked.client.text
    assert.strictEqual(ready["type"], "ready")
    return { ...asked, joined, ready }
  })

/** A relay frame as an endpoint sends it (spec: wire 4.1). */
export const frame = (payload: Uint8Array, hop = 0, flags = 0): Buffer =>
  Buffer.concat([Buffer.from([0x54, hop, flags, 0xde, 0xad, 0xbe, 0xef]), payload])

/** GET of a path of the hub, with a token in the header. */
export const get = (hub: { readonly url: string }, path: string, token?: string) =>
  Effect.promise(async () => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(`${hub.url}${path}`, { headers })
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

/** /api/status as a token sees it, decoded by the definition that clients use. */
export const statusOf = (hub: { readonly url: string }, token: string) =>
  Effect.flatMap(get(hub, "/api/status", token), ({ body }) => Schema.decodeUnknown(Schema.parseJson(Status))(body))
