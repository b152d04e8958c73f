/**
 * telahubd.yaml in the form of the deployed hub (spec: hub-api 3.1): plain tokens, and grants that name them. Written by
 * hand in tests, so that each one says who may do what.
 */
import { randomBytes } from "node:crypto"
import { stringify } from "yaml"

/** A token as the deployed hub makes them: 64 hexadecimal characters. */
export const token = (): string => randomBytes(32).toString("hex")

export interface Grant {
  readonly token: string
  /** Names of the services the grant is limited to. */
  readonly services?: ReadonlyArray<string>
}

export interface MachineAccess {
  readonly register?: string
  readonly connect?: ReadonlyArray<string | Grant>
}

export interface HubConfig {
  readonly identities: Readonly<Record<string, { readonly token: string; readonly role?: string }>>
  readonly machines: Readonly<Record<string, MachineAccess>>
}

/** The text of the file. */
export const text = (config: HubConfig): string =>
  stringify({
    hubId: "6d1f4e0e-3c67-4c53-9e0a-5f5a4d6a9b11",
    name: "e2e",
    auth: {
      tokens: Object.entries(config.identities).map(([id, { token: secret, role }]) => ({
        id,
        token: secret,
        ...(role === undefined ? {} : { hubRole: role })
      })),
      machines: Object.fromEntries(
        Object.entries(config.machines).map(([name, access]) => [
          name,
          {
            ...(access.register === undefined ? {} : { registerToken: access.register }),
            connectTokens: access.connect ?? []
          }
        ])
      )
    }
  })
