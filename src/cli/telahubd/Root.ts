/**
 * `telahubd`, the hub: it listens for agents and operators until it is stopped.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Database from "../../store/Database.ts"
import * as HubFile from "../../store/HubFile.ts"
import * as HubIdentities from "../../store/HubIdentities.ts"
import * as HubStorage from "../../store/HubStorage.ts"
import * as Channel from "../Channel.ts"
import * as Command from "../Command.ts"
import { logFlags } from "../LogFlags.ts"
import * as Supervisor from "../Supervisor.ts"
import * as Trials from "../Trials.ts"
import * as Update from "../Update.ts"
import * as VersionCommand from "../VersionCommand.ts"
import * as HubFlags from "./HubFlags.ts"
import * as OwnerToken from "./OwnerToken.ts"
import * as Running from "./Running.ts"
import * as Service from "./Service.ts"
import { updates } from "./Updates.ts"
import * as User from "./User.ts"

export const root: Command.Command = Command.make(
  {
    name: "telahubd",
    summary: "the hub between agents and operators",
    subcommands: [
      User.command,
      Service.command((flags) => root.run?.(flags, []) ?? Effect.void),
      Update.command(updates),
      Channel.command(updates),
      VersionCommand.command("telahubd")
    ],
    flags: [HubFlags.config, HubFlags.host, HubFlags.port, HubFlags.name, Supervisor.supervised, ...logFlags],
    examples: ["telahubd", "telahubd -config ./data/telahubd.yaml -host 127.0.0.1 -port 8080"],
    notes: [
      "Without -config it is ./data/telahubd.yaml if there, else the system's file. The",
      "first start creates it and prints the owner's token once."
    ]
  },
  (given) =>
    Effect.gen(function* () {
      const trial = yield* Trials.begin("telahubd")
      const flags = {
        host: yield* given.flag(HubFlags.host),
        port: yield* given.flag(HubFlags.port),
        name: yield* given.flag(HubFlags.name)
      }
      // Before a first start makes anything.
      yield* Database.available
      const located = yield* HubFlags.locate(given)
      const { created, file } = yield* HubFile.open(located, { ownerToken: yield* HubFlags.ownerToken })
      if (Option.isSome(created)) yield* OwnerToken.announce(file.path, created.value)
      for (const warning of file.warnings) yield* Effect.logWarning(warning)
      yield* Running.run(HubFile.resolve(file, flags), file.path, {
        storage: Layer.provideMerge(HubIdentities.layerFrom(file), HubStorage.layer({ path: file.path })),
        supervised: yield* Supervisor.isThere(given, "TELAHUBD_SUPERVISED"),
        trial
      })
    })
)
