/**
 * `telahubd service`: the hub as a service of the operating system.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HubPlan from "../../system/service/HubPlan.ts"
import * as Placing from "../../system/service/Placing.ts"
import type { Service } from "../../system/service/Services.ts"
import * as Command from "../Command.ts"
import type { Given } from "../Command.ts"
import { Failed, type Failure } from "../Failure.ts"
import { logFlags } from "../LogFlags.ts"
import * as Control from "../service/Control.ts"
import * as Installing from "../service/Install.ts"
import * as Run from "../service/Run.ts"
import * as Status from "../service/Status.ts"
import * as Uninstall from "../service/Uninstall.ts"
import { Shell } from "../Shell.ts"
import * as HubFlags from "./HubFlags.ts"
import * as OwnerToken from "./OwnerToken.ts"

/** The hub that is meant: of a file, what is installed, what the rule of all commands finds, or a new one. */
const sourceOf = (given: Given, service: Service) =>
  Effect.gen(function* () {
    const { exists, path } = yield* HubFlags.locate(given)
    const isNamed = given.has(HubFlags.config)
    if (isNamed && !exists) {
      return yield* new Failed({ message: `${path}: no such file; for a new hub leave out -config` })
    }
    if (!isNamed && (yield* Placing.exists(service.place.configFile))) return undefined
    return exists ? path : undefined
  })

const install = Installing.command({
  program: "telahubd",
  flags: [HubFlags.config, HubFlags.host, HubFlags.port],
  examples: ["telahubd service install", "telahubd service install -config ./data/telahubd.yaml -port 8080"],
  notes: [
    "The hub's file is copied, and its record and key go along. Without a file a new",
    "hub is made, and its owner's token printed once."
  ],
  plan: (given, service) =>
    Effect.gen(function* () {
      const shell = yield* Shell
      const { place } = service
      const host = yield* given.flag(HubFlags.host)
      const port = yield* given.flag(HubFlags.port)
      return yield* HubPlan.make({
        source: yield* sourceOf(given, service),
        place,
        settings: {
          ...(Option.isSome(host) && { host: host.value }),
          ...(Option.isSome(port) && { port: port.value })
        },
        ownerToken: yield* HubFlags.ownerToken,
        announce: (token) => Effect.provideService(OwnerToken.announce(place.configFile, token), Shell, shell)
      })
    })
})

/** The command; `serve` is the hub itself. */
export const command = (
  serve: (flags: ReadonlyMap<string, string>) => Effect.Effect<void, Failure, Shell>
): Command.Command =>
  Command.group({
    name: "service",
    summary: "have the system run the hub",
    subcommands: [
      install,
      Uninstall.command("telahubd"),
      ...Control.commands("telahubd", () => Effect.void),
      Status.command("telahubd"),
      Run.command("telahubd", logFlags, serve)
    ]
  })
