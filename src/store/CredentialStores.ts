/**
 * The two credential stores that a program looks into, the user's own and then the computer's, and what they say of a hub.
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { canonical, httpOrigin } from "../protocol/HubUrl.ts"
import * as Credentials from "./Credentials.ts"
import * as Paths from "./Paths.ts"

/** A token, and the file it stands in. */
export interface StoredToken {
  readonly token: Redacted.Redacted
  readonly file: string
}

export interface CredentialStores {
  /** In the user's state folder. */
  readonly user: Credentials.Credentials
  /** In the system's folder: for agents, which outlive whoever logged in. */
  readonly system: Credentials.Credentials
  /** An agent's in the file of the user, for who may not write the system's; apart from what the user has themselves. */
  readonly userAgent: Credentials.Credentials
  /** A person's token for a hub: the user's before the system's. An entry with a pin alone hides no token in the other. */
  readonly token: (hub: string) => Effect.Effect<StoredToken | undefined, Credentials.CredentialsError>
  /** An agent's: the system's, the one in the user's file, and then that of whoever starts it, who may be the hub's owner. */
  readonly agentToken: (hub: string) => Effect.Effect<StoredToken | undefined, Credentials.CredentialsError>
  /** The pin for whatever is reached at the origin of an address, since TLS knows nothing of paths. */
  readonly pinOf: (url: string) => Effect.Effect<string | undefined, Credentials.CredentialsError>
  /**
   * Changes the pin for a hub's origin, in the store and under the address that has one, else in the user's store; `null`
   * takes away all that there are. Succeeds with the one that held before.
   */
  readonly setPin: (hub: string, pin: string | null) => Effect.Effect<string | undefined, Credentials.CredentialsError>
}

/** People may have written something else than an address into the file. */
const originOf = (hub: string): string | undefined => (URL.canParse(hub) ? httpOrigin(hub) : undefined)

const firstToken = (hub: string, stores: ReadonlyArray<Credentials.Credentials>) =>
  Effect.gen(function* () {
    for (const { file, find } of stores) {
      const token = (yield* find(hub))?.token
      if (token !== undefined) return { token, file }
    }
    return undefined
  })

/** The stores of a program with this environment. */
export const make = (env: Readonly<Record<string, string | undefined>>): CredentialStores => {
  const own = Paths.credentialsFile(Paths.stateFolder(env))
  const user = Credentials.make(own)
  const userAgent = Credentials.make(own, { whose: "agent" })
  const system = Credentials.make(Paths.credentialsFile(Paths.systemFolder(env)), { shared: true })
  /** Every pin for an origin and where it is kept; the first is the one that holds. */
  const pinsOf = (url: string) =>
    Effect.gen(function* () {
      const origin = originOf(canonical(url))
      const listed = yield* Effect.forEach([user, system], (store) =>
        Effect.map(store.list, (all) => all.map((stored) => ({ ...stored, store })))
      )
      return listed.flat().filter(({ hub, pin }) => pin !== undefined && originOf(hub) === origin)
    })

  return {
    user,
    userAgent,
    system,
    token: (hub) => firstToken(hub, [user, system]),
    agentToken: (hub) => firstToken(hub, [system, userAgent, user]),
    pinOf: (url) => Effect.map(pinsOf(url), ([first]) => first?.pin),
    setPin: (hub, pin) =>
      Effect.gen(function* () {
        const held = yield* pinsOf(hub)
        const [first = { hub, store: user, pin: undefined }] = held
        if (pin !== null) yield* first.store.put(first.hub, { pin })
        else yield* Effect.forEach(held, (each) => each.store.put(each.hub, { pin }), { discard: true })
        return first.pin
      })
  }
}
