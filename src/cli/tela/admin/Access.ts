/**
 * `tela admin access`: identities and what they may do where.
 */
import * as Effect from "effect/Effect"
import * as Command from "../../Command.ts"
import * as Flags from "../../Flags.ts"
import { print, printJson } from "../../Shell.ts"
import { json } from "../HubFlags.ts"
import * as AccessTable from "./AccessTable.ts"
import { hubFlags, identity, open, readName, readNewId, segment } from "./AdminFlags.ts"
import * as Explain from "./Explain.ts"
import * as Grant from "./Grant.ts"
import * as Remove from "./Remove.ts"

const flags = [...hubFlags, json]

const run = (given: Command.Given) =>
  Effect.gen(function* () {
    const asJson = yield* given.flag(json)
    const admin = yield* open(given)
    const { access } = yield* admin.ask((api, headers) => api.access.list({ headers }))
    yield* asJson ? printJson({ access }) : print(AccessTable.render(access))
  })

const list = Command.make(
  {
    name: "list",
    summary: "list identities and their permissions",
    flags,
    examples: ["tela admin access list -hub wss://hub.example.com"]
  },
  run
)

const newId = Flags.argument("new-id")

const rename = Command.make(
  {
    name: "rename",
    summary: "give an identity another name",
    flags: hubFlags,
    positionals: [identity, newId],
    examples: ["tela admin access rename alice alicia -hub wss://hub.example.com"],
    notes: ["Token, permissions and what is open stay as they are."]
  },
  (given) =>
    Effect.gen(function* () {
      const id = yield* readName(given, identity)
      const to = yield* readNewId(given, newId)
      const admin = yield* open(given)
      yield* admin.ask((api, headers) => api.access.update({ path: { id: segment(id) }, headers, payload: { id: to } }))
      yield* print(`Renamed ${id} to ${to}.`)
    })
)

export const command = Command.make(
  {
    name: "access",
    summary: "what identities may do on which machines",
    flags,
    subcommands: [list, Grant.grant, Grant.revoke, rename, Remove.make("tela admin access remove"), Explain.command],
    examples: ["tela admin access -hub wss://hub.example.com", "tela admin access -json"]
  },
  run
)
