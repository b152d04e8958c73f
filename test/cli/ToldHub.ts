/** Command lines against a hub that answers as a test says. */
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as FakeHub from "../support/FakeHub.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { type Env, type } from "./Runs.ts"

/** The hub, as the lines say it. */
export const H = "-hub wss://hub.example.com"

/** The hub; what it was asked, as method, path and body; and typing a line to it. */
export const setting = (answers: Readonly<Record<string, FakeHub.Answer>>) =>
  Effect.gen(function* () {
    const hub = yield* FakeHub.make(answers)
    const home = yield* temporaryFolder
    const env: Env = { TELA_HOME: home, TELA_SYSTEM: Path.join(home, "system"), TELA_TOKEN: "kim-token-0123456789" }
    return {
      hub,
      asked: () => hub.asked.map(({ body, method, path }) => [method, path, ...(body === undefined ? [] : [body])]),
      typed: (line: string) => type(line.replaceAll("wss://hub.example.com", hub.url), env)
    }
  })

/** What an agent answers, as a hub hands it on. */
export const answered = (more: object): FakeHub.Answer => ({
  body: { type: "mgmt-response", requestId: "1a2b3c4d5e6f7081", ok: true, ...more }
})
