/** How `telahubd` is updated: its channel is kept in telahubd.yaml. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as HubStorage from "../../store/HubStorage.ts"
import * as HubUpdateStore from "../../store/HubUpdateStore.ts"
import type { Program } from "../UpdateWork.ts"
import * as HubFlags from "./HubFlags.ts"

export const updates: Program = {
  name: "telahubd",
  flags: [HubFlags.config],
  store: (given) =>
    Effect.map(HubFlags.locate(given), ({ exists, path }) => (exists ? HubUpdateStore.make(path) : undefined)),
  // It is beside the file that a link leads to.
  keyFile: (file) => Effect.promise(() => Fs.realpath(file).then(HubStorage.keyFile, () => HubStorage.keyFile(file))),
  noFile: "there is no telahubd.yaml yet; to create it, run: telahubd user bootstrap",
  restart:
    "It is in force when telahubd is started anew; one that runs goes on as it is until then. A service has its own copy, and gets it by: telahubd service install"
}
