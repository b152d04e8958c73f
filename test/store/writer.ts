/** Adds one identity after the other to a hub's file, and prints each when it is acknowledged: to be killed meanwhile. */
import * as Effect from "effect/Effect"
import { Change } from "../../src/policy/Change.ts"
import * as HubIdentities from "../../src/store/HubIdentities.ts"
import { change, token } from "./hubFile.ts"

const [path = "", name = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const store = yield* HubIdentities.make(path)
  for (let n = 0; ; n++) {
    const id = `${name}-${n}`
    yield* change(store, Change.Add({ id, role: "user", token: token(id), grants: [] }))
    yield* Effect.sync(() => process.stdout.write(`${id}\n`))
  }
})

Effect.runFork(Effect.scoped(program))
