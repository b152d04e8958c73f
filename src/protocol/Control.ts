/**
 * Control messages: JSON objects in WebSocket text messages, told apart by `type` (spec: wire 0 to 3). Members that the
 * deployed programs do not know are additive and marked "ours"; unknown members are ignored in both directions.
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { LISTED_ITEMS } from "./Limits.ts"

/** An optional member. Go programs write an empty list or map as null, so null means absent. */
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

/** An optional list. Its length is looked at first: a list that is too long costs nothing but its JSON. */
const list = <A, I>(item: Schema.Schema<A, I>) =>
  optional(
    Schema.compose(Schema.Array(Schema.Unknown).pipe(Schema.maxItems(LISTED_ITEMS)), Schema.Array(item), {
      strict: false
    })
  )

/** 32 bytes as 64 lower-case hex characters: a WireGuard or X25519 public key as it stands in control messages. */
export const HexKey = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/), Schema.annotations({ identifier: "HexKey" }))

/** Whether every JavaScript object has a member of this name, `__proto__` for one: no key of a file or of JSON may be it. */
export const isInherited = (name: string): boolean => name in Object.prototype

/** Whether an address cannot name it: in a path `.` and `..` mean another place, however they are encoded. */
export const isDots = (name: string): boolean => name === "." || name === ".."

/** The name that addresses a machine, in grants and on the command line alike. */
export const MachineName = Schema.String.pipe(
  Schema.filter((name) => /^[^\s/\p{Cc}]{1,128}$/u.test(name) && !isInherited(name) && !isDots(name)),
  Schema.annotations({ identifier: "MachineName" })
)

const ServiceEntry = Schema.Struct({
  port: Schema.Int,
  proto: optional(Schema.String),
  name: optional(Schema.String),
  description: optional(Schema.String)
})

/** A free-form map that an agent registers and the hub republishes. */
export const Capabilities = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/** Ours, inside register: a link whose last session is over, by that session, and for whom it waits. */
export const DetachedLink = Schema.Struct({ sessionId: Schema.String, principal: Schema.String })
export type DetachedLink = typeof DetachedLink.Type

/** Agent to hub, first message on a control socket (spec: wire 2.3). */
export const Register = Schema.Struct({
  type: Schema.Literal("register"),
  protocolVersion: optional(Schema.Int),
  machineName: optional(Schema.String),
  agentId: optional(Schema.String),
  machineRegistrationId: optional(Schema.String),
  displayName: optional(Schema.String),
  hostname: optional(Schema.String),
  os: optional(Schema.String),
  agentVersion: optional(Schema.String),
  location: optional(Schema.String),
  owner: optional(Schema.String),
  tags: list(Schema.String),
  token: optional(Schema.String),
  ports: list(Schema.Int),
  services: list(ServiceEntry),
  capabilities: optional(Capabilities),
  /** Ours: the agent's long-term public key; two agents of one name are told apart by it. */
  identity: optional(HexKey),
  /** Ours: links that wait for their client, so that a hub which restarted meanwhile can say which of them may not be any more. */
  detached: list(DetachedLink),
  /** Ours: every machine of this agent, since restarting it, or updating it, touches all of them. */
  machines: list(Schema.String)
})
export type Register = typeof Register.Type

/** Hub to agent: the registration stands. `machineId` is the machine's name. */
export const Registered = Schema.Struct({ type: Schema.Literal("registered"), machineId: Schema.String })
export type Registered = typeof Registered.Type

/** Ours, inside session-request: for whom the hub asks. */
export const SessionClient = Schema.Struct({
  /** The client's long-term public key, which the tunnel's first message must prove. Absent for a deployed client. */
  key: optional(HexKey),
  principal: Schema.String,
  /** Names of the services that the session may use; absent means all. */
  services: optional(Schema.Array(Schema.String)),
  /** Revision of the policy that permitted it. */
  revision: Schema.Int,
  /** Streams that the session may have open at a time; absent means as many as a tunnel can. */
  streams: optional(Schema.Int)
})
export type SessionClient = typeof SessionClient.Type

/** Hub to agent on the control socket: a client wants a session; join it (spec: wire 3.4). */
export const SessionRequest = Schema.Struct({
  type: Schema.Literal("session-request"),
  sessionId: Schema.String.pipe(Schema.minLength(8), Schema.maxLength(128)),
  sessionIdx: Schema.Int,
  wgPubKey: optional(Schema.String),
  client: optional(SessionClient)
})
export type SessionRequest = typeof SessionRequest.Type

/**
 * Ours, hub to agent on the control socket: what the session of a principal may use has changed, or what its principal is
 * called. Never believed on a session socket, where a peer could forge it.
 */
export const SessionUpdate = Schema.Struct({
  type: Schema.Literal("session-update"),
  sessionId: Schema.String,
  /** Names of the services that it may use from now on; absent means all. */
  services: optional(Schema.Array(Schema.String)),
  revision: Schema.Int,
  /** What the identity is called from now on; absent means as before. */
  principal: optional(Schema.String)
})
export type SessionUpdate = typeof SessionUpdate.Type

/** Ours, hub to agent on the control socket: this session may not be any more; its streams end at once. */
export const SessionRevoked = Schema.Struct({
  type: Schema.Literal("session-revoked"),
  sessionId: Schema.String,
  principal: Schema.String,
  reason: optional(Schema.String)
})
export type SessionRevoked = typeof SessionRevoked.Type

/** Client to hub, first message (spec: wire 3.2). `machineId` is the machine's name. */
export const Connect = Schema.Struct({
  type: Schema.Literal("connect"),
  protocolVersion: optional(Schema.Int),
  machineId: optional(Schema.String),
  wgPubKey: optional(Schema.String),
  ports: list(Schema.Int),
  token: optional(Schema.String),
  /** Ours: the client's long-term public key. */
  identity: optional(HexKey),
  /** Ours: the client can go on with its streams in another session, when this one is lost. */
  resumes: optional(Schema.Boolean)
})
export type Connect = typeof Connect.Type

/** Agent to hub, first message on a session socket. The session id is the only proof (spec: wire 3.5). */
export const SessionJoin = Schema.Struct({
  type: Schema.Literal("session-join"),
  machineId: optional(Schema.String),
  sessionId: optional(Schema.String)
})
export type SessionJoin = typeof SessionJoin.Type

/** Hub to agent on the session socket: paired. */
export const SessionStart = Schema.Struct({ type: Schema.Literal("session-start"), wgPubKey: optional(Schema.String) })
export type SessionStart = typeof SessionStart.Type

/** Hub to client: paired. */
export const Ready = Schema.Struct({
  type: Schema.Literal("ready"),
  sessionIdx: Schema.Int,
  /** Ours: the identity that the hub took the token for. */
  principal: optional(Schema.String)
})
export type Ready = typeof Ready.Type

/** Agent to client, relayed verbatim: the agent's session key and what it offers (spec: wire 3.6). */
export const WgPubkey = Schema.Struct({
  type: Schema.Literal("wg-pubkey"),
  wgPubKey: HexKey,
  ports: list(Schema.Int),
  capabilities: optional(Capabilities),
  /** Ours: tunnels the agent speaks, best first. */
  tunnels: list(Schema.String),
  /** Ours: the agent's long-term public key. */
  identity: optional(HexKey)
})
export type WgPubkey = typeof WgPubkey.Type

/** Hub to agent on the session socket: the client has gone. */
export const SessionEnd = Schema.Struct({ type: Schema.Literal("session-end") })

/**
 * Ours, hub to every peer, on any socket: this hub is about to stop; come back in `retryIn` milliseconds. The socket stays
 * until its peer has moved or the hub has waited long enough. On a session's socket it says no more than a lost connection
 * would, which is why it may be believed there.
 */
export const Drain = Schema.Struct({ type: Schema.Literal("drain"), retryIn: Schema.NonNegativeInt })
export type Drain = typeof Drain.Type

/** Hub to agent on the control socket: do this, and answer (spec: wire 7.1). */
export const MgmtRequest = Schema.Struct({
  type: Schema.Literal("mgmt-request"),
  requestId: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128)),
  action: Schema.String,
  payload: Schema.optional(Schema.Unknown),
  /** Ours: the identity in whose name it is asked. */
  principal: optional(Schema.String)
})
export type MgmtRequest = typeof MgmtRequest.Type

/**
 * Agent to hub on the control socket: what became of a request. Only the id must be what it should be, so that a broken
 * answer is told to whoever asked.
 */
export const MgmtResponse = Schema.Struct({
  type: Schema.Literal("mgmt-response"),
  requestId: Schema.String,
  ok: Schema.optional(Schema.Unknown),
  message: Schema.optional(Schema.Unknown),
  payload: Schema.optional(Schema.Unknown)
})
export type MgmtResponse = typeof MgmtResponse.Type

/** Keeps proxies from closing an idle socket; swallowed by the hub. */
export const Keepalive = Schema.Struct({ type: Schema.Literal("keepalive") })

/** Hub to anyone: refused; the same text closes the socket (spec: wire 1.5). */
export const ErrorMessage = Schema.Struct({
  type: Schema.Literal("error"),
  message: Schema.String,
  /** Ours: when to ask again, in milliseconds; the refusal is for now only. */
  retryIn: optional(Schema.NonNegativeInt)
})

/** Everything that this version of the programs says or acts on. */
export const ControlMessage = Schema.Union(
  Register,
  Registered,
  SessionRequest,
  SessionUpdate,
  SessionRevoked,
  Connect,
  SessionJoin,
  SessionStart,
  Ready,
  WgPubkey,
  SessionEnd,
  Drain,
  MgmtRequest,
  MgmtResponse,
  Keepalive,
  ErrorMessage
)
export type ControlMessage = typeof ControlMessage.Type

/** What a socket may say first, and so become what it is. */
export const FirstMessage = Schema.Union(Register, Connect, SessionJoin)
export type FirstMessage = typeof FirstMessage.Type

/** A text message that could not be taken for a control message. */
export type ControlProblem =
  | { readonly _tag: "NotJson" }
  | { readonly _tag: "UnknownType"; readonly type: string }
  | { readonly _tag: "Malformed"; readonly type: string }

const parseJson = Either.liftPredicate(
  (value: unknown): value is { readonly type?: unknown } =>
    typeof value === "object" && value !== null && !Array.isArray(value),
  (): ControlProblem => ({ _tag: "NotJson" })
)

const parse = (text: string) =>
  Either.try({ try: (): unknown => JSON.parse(text), catch: (): ControlProblem => ({ _tag: "NotJson" }) }).pipe(
    Either.flatMap(parseJson)
  )

/** A key that Go takes for `type`: there the case of keys does not matter, and the last of several counts. */
const isOtherType = (key: string): boolean => key.length === 4 && key !== "type" && key.toLowerCase() === "type"

/** The `type` of a text message for every reader alike, or undefined when it has none; where only the type matters. */
export const typeOf = (text: string): string | undefined =>
  Either.match(parse(text), {
    onLeft: () => undefined,
    onRight: (value) =>
      typeof value.type === "string" && !Object.keys(value).some(isOtherType) ? value.type : undefined
  })

/** Reads messages of some types one by one. Of any other only the `type` is looked at, and it is UnknownType. */
export type Decode<A> = (text: string) => Either.Either<A, ControlProblem>

/** What is wrong with a malformed message is not said: to tell it of one nested deeply could exhaust the stack. */
const reader = <A, I>(
  schema: Schema.Schema<A, I>,
  members: ReadonlyArray<{ readonly fields: { readonly type: { readonly literals: readonly [string] } } }>
): Decode<A> => {
  const types: ReadonlySet<string> = new Set(members.map((member) => member.fields.type.literals[0]))
  const read = ParseResult.decodeUnknownEither(schema)
  return (text) =>
    Either.flatMap(parse(text), (value) => {
      const type = typeof value.type === "string" ? value.type : ""
      if (!types.has(type)) return Either.left<ControlProblem>({ _tag: "UnknownType", type })
      return Either.mapLeft(read(value), (): ControlProblem => ({ _tag: "Malformed", type }))
    })
}

/** Reads one text message. Trailing white space is allowed; anything that is no JSON object is NotJson. */
export const decode = reader(ControlMessage, ControlMessage.members)

/** The same for what a socket says first. */
export const decodeFirst = reader(FirstMessage, FirstMessage.members)

/** What an agent that is registered has to say: new settings, and answers. */
export const FromAgent = Schema.Union(Register, MgmtResponse)
export type FromAgent = typeof FromAgent.Type

/** The same for such an agent. */
export const decodeFromAgent = reader(FromAgent, FromAgent.members)

/** The same where nothing may be said that matters: it tells control messages from what is none. */
export const decodeNothing = reader(Schema.Never, [])

/** Writes one text message; absent members are left out. */
export const encode = (message: ControlMessage): string => JSON.stringify(message)
