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
  /** The token for a hub; an entry that has none, only a pin, hides none in the other store. */
  readonly token: (hub: string) => Effect.Effect<StoredToken | undefined, Credentials.CredentialsError>
  /** The pin for whatever is reached at the origin of an address, since TLS knows nothing of paths. */
  readonly pinOf: (url: string) => Effect.Effect<string | undefined, Credentials.CredentialsError>
}

/** People may have written something else than an address into the file. */
const originOf = (hub: string): string | undefined => (URL.canParse(hub) ? httpOrigin(hub) : undefined)

/** The stores of a program with this environment. */
export const make = (env: Readonly<Record<string, string | undefined>>): CredentialStores => {
  const user = Credentials.make(Paths.credentialsFile(Paths.stateFolder(env)))
  const system = Credentials.make(Paths.credentialsFile(Paths.systemFolder(env)), { shared: true })
  return {
    user,
    system,
    token: (hub) =>
      Effect.gen(function* () {
        for (const { file, find } of [user, system]) {
          const token = (yield* find(hub))?.token
          if (token !== undefined) return { token, file }
        }
        return undefined
      }),
    pinOf: (url) =>
      Effect.gen(function* () {
        const origin = originOf(canonical(url))
        for (const { list } of [user, system]) {
          const pinned = (yield* list).find(({ hub, pin }) => pin !== undefined && originOf(hub) === origin)
          if (pinned !== undefined) return pinned.pin
        }
        return undefined
      })
  }
}
