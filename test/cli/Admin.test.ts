/** The commands of `tela admin` against a hub that answers as told: what they ask, what they print, how they end. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { repositoryRoot } from "../e2e/harness/Workspace.ts"
import * as FakeHub from "../support/FakeHub.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { type Env, type } from "./Runs.ts"

const TOKEN = "owner-token-0123456789"
const made = "91be04aa5f0c7a5293c54d0e8a3f0c9a91be04aa5f0c7a5293c54d0e8a3f0c9a"

const golden = (name: string): string => Fs.readFileSync(Path.join(repositoryRoot, "test/cli/golden", name), "utf8")

const updated = { status: "updated", id: "alice", version: 4 }

const answers: Readonly<Record<string, FakeHub.Answer>> = {
  "GET /.well-known/tela": { body: { protocolVersion: "1.1", capabilities: ["per-service-access-control"] } },
  "GET /api/whoami": { body: { id: "owner", role: "owner", machines: [] } },
  "GET /api/admin/tokens": {
    body: {
      tokens: [
        { id: "owner", role: "owner", tokenPreview: "91be04aa...", issuedAt: "2026-04-01T08:00:00.123456789Z" },
        { id: "kim", role: "user", tokenPreview: "77d0c3f1...", expiresAt: "2026-07-01T00:00:00Z" },
        { id: "agent-web01", role: "user", tokenPreview: "0a1b2c3d...", expiresAt: "2999-01-01T00:00:00Z" },
        { id: "lee", role: "admin", tokenPreview: "5e5e5e5e...", revokedAt: "2026-05-01T00:00:00Z" }
      ]
    }
  },
  "POST /api/admin/tokens": { status: 201, body: { id: "alice", role: "", token: made, version: 1 } },
  "POST /api/admin/tokens/alice/revoke": {
    body: { status: "revoked", id: "alice", revokedAt: "2026-04-01T08:00:00Z", version: 2 }
  },
  "POST /api/admin/rotate/alice": { body: { status: "rotated", id: "alice", token: made, version: 3 } },
  "GET /api/admin/access": {
    body: {
      access: [
        {
          id: "owner",
          role: "owner",
          tokenPreview: "91be04aa...",
          machines: [{ machineId: "*", permissions: ["register", "connect", "manage"] }],
          version: 1
        },
        {
          id: "alice",
          role: "user",
          tokenPreview: "77d0c3f1...",
          expiresAt: "2999-01-01T00:00:00Z",
          machines: [
            { machineId: "barn", permissions: ["connect", "manage"], services: ["ssh", "postgres"] },
            { machineId: "*", permissions: ["register"], expiresAt: "2999-02-01T00:00:00Z" }
          ],
          version: 3
        },
        { id: "bob", role: "user", tokenPreview: "5e5e5e5e...", machines: [], version: 1 },
        {
          id: "lee",
          role: "user",
          tokenPreview: "5e5e...",
          machines: [],
          revokedAt: "2026-05-01T00:00:00Z",
          version: 1
        },
        { id: "console-viewer", role: "viewer", tokenPreview: "0a1b2c3d...", machines: [], version: 1 }
      ]
    }
  },
  "PATCH /api/admin/access/alice": { body: updated },
  "DELETE /api/admin/access/alice": { body: { status: "removed", id: "alice" } },
  "PUT /api/admin/access/alice/machines/barn": {
    body: {
      ...updated,
      machineId: "barn",
      permissions: ["connect"],
      replaced: { machineId: "barn", permissions: ["register"], expiresAt: "2999-02-01T00:00:00Z" },
      machineKnown: true
    }
  },
  "PUT /api/admin/access/alice/machines/*": { body: { ...updated, machineId: "*", permissions: ["connect"] } },
  "PUT /api/admin/access/alice/machines/Barn%20PC": {
    body: { ...updated, machineId: "Barn PC", permissions: ["connect"] }
  },
  "PUT /api/admin/access/alice/machines/new": {
    body: { ...updated, machineId: "new", permissions: ["connect"], machineKnown: false }
  },
  "PUT /api/admin/access/a%2Fb%20c/machines/list": {
    body: { ...updated, machineId: "list", permissions: ["connect"] }
  },
  "DELETE /api/admin/access/alice/machines/barn": {
    body: { status: "revoked", id: "alice", machineId: "barn", version: 5 }
  },
  "GET /api/admin/explain": {
    body: {
      permit: true,
      rule: "alice has connect on barn for ssh",
      services: ["ssh"],
      until: "2999-02-01T00:00:00Z",
      at: "2026-01-01T00:00:00Z"
    }
  },
  "POST /api/admin/pair-code": {
    body: { code: "ABCD-1234", type: "connect", expiresAt: "2026-04-15T12:30:00+02:00", id: "c1" }
  },
  "GET /api/admin/pair-code": {
    body: {
      codes: [
        {
          id: "c1",
          type: "connect",
          machines: ["barn", "shed"],
          role: "user",
          createdBy: "owner",
          createdAt: "2026-04-14T10:30:00Z",
          expiresAt: "2026-04-15T10:30:00Z"
        }
      ]
    }
  },
  "DELETE /api/admin/pair-code/c1": { body: { status: "cancelled", id: "c1" } },
  "GET /api/history": {
    body: {
      events: [
        {
          machineId: "barn",
          event: "access-grant",
          timestamp: "2026-04-15T10:30:00Z",
          detail: "connect",
          actor: "owner",
          target: "alice",
          targetNow: "alicia",
          address: "192.0.2.7",
          outcome: "ok"
        },
        {
          machineId: "",
          event: "login\u001b[2J",
          timestamp: "2026-04-15T10:29:00Z",
          detail: "denied: GET /api/admin/tokens",
          actor: "bob",
          actorNow: "bob (removed)",
          outcome: "denied",
          reason: "unknown token"
        }
      ],
      timestamp: "2026-04-15T10:31:00Z"
    }
  }
}

/** A fake hub, and a person at a shell with a token for it. */
const setting = (more: Readonly<Record<string, FakeHub.Answer>> = {}) =>
  Effect.gen(function* () {
    const hub = yield* FakeHub.make({ ...answers, ...more })
    const home = yield* temporaryFolder
    const env: Env = { TELA_HOME: home, TELA_SYSTEM: Path.join(home, "system"), TELA_OWNER_TOKEN: TOKEN }
    /** Types a line of the page, with the hub's address in place of the page's. */
    const typed = (line: string, others: Env = {}) =>
      type(line.replaceAll("wss://hub.example.com", hub.url), { ...env, ...others })
    return { hub, home, env, typed }
  })

const H = "-hub wss://hub.example.com"

interface Case {
  readonly line: string
  /** Method, path and body of the request that changes something, or asks. */
  readonly asks: readonly [string, string, unknown?]
  readonly prints: string | RegExp
}

const secretText = (before: string, after: string) =>
  `${before}\n\n  ${made}\n\nSave this token now: it is shown only once. ${after}\n`

const day = 86_400

const cases: ReadonlyArray<Case> = [
  // Authentication
  {
    line: `tela admin tokens list ${H} -token ${TOKEN}`,
    asks: ["GET", "/api/admin/tokens"],
    prints: golden("tokens.txt")
  },
  // Tokens
  {
    line: `tela admin tokens add alice ${H}`,
    asks: ["POST", "/api/admin/tokens", { id: "alice" }],
    prints: secretText("Added alice, role user.", "It works from now on.")
  },
  {
    line: `tela admin tokens add alice ${H} -role admin`,
    asks: ["POST", "/api/admin/tokens", { id: "alice", role: "admin" }],
    prints: /^Added alice/
  },
  // Flag placement
  {
    line: `tela admin tokens add ${H} -role admin alice`,
    asks: ["POST", "/api/admin/tokens", { id: "alice", role: "admin" }],
    prints: /^Added alice/
  },
  {
    line: `tela ${H} -role admin admin tokens add alice`,
    asks: ["POST", "/api/admin/tokens", { id: "alice", role: "admin" }],
    prints: /^Added alice/
  },
  {
    line: `tela admin tokens ${H} add alice -expires 2999-01-31T12:00:00+01:00 -role=user -quiet`,
    asks: ["POST", "/api/admin/tokens", { id: "alice", expiresAt: "2999-01-31T11:00:00Z" }],
    prints: `${made}\n`
  },
  {
    line: `tela admin tokens add alice ${H} -role '' -quiet`,
    asks: ["POST", "/api/admin/tokens", { id: "alice" }],
    prints: `${made}\n`
  },
  {
    line: `tela admin tokens set alice ${H} -role ''`,
    asks: ["PATCH", "/api/admin/access/alice", { role: "" }],
    prints: "alice now has the role user.\n"
  },
  {
    line: `tela admin tokens add alice ${H} -expires never -quiet`,
    asks: ["POST", "/api/admin/tokens", { id: "alice" }],
    prints: `${made}\n`
  },
  {
    line: `tela admin tokens remove alice ${H}`,
    asks: ["DELETE", "/api/admin/access/alice"],
    prints: "Removed alice and all its permissions.\n"
  },
  {
    line: `tela admin tokens revoke alice ${H}`,
    asks: ["POST", "/api/admin/tokens/alice/revoke"],
    prints: "Revoked the token of alice at 2026-04-01T08:00:00Z.\n"
  },
  {
    line: `tela admin tokens rotate alice ${H} -quiet`,
    asks: ["POST", "/api/admin/rotate/alice"],
    prints: `${made}\n`
  },
  {
    line: `tela admin tokens set alice ${H} -role user -expires 2999-01-01T00:00:00Z`,
    asks: ["PATCH", "/api/admin/access/alice", { role: "", expiresAt: "2999-01-01T00:00:00Z" }],
    prints: "alice now has the role user and expires at 2999-01-01T00:00:00Z.\n"
  },
  {
    line: `tela admin tokens set alice ${H} -expires never`,
    asks: ["PATCH", "/api/admin/access/alice", { expiresAt: null }],
    prints: "alice now does not expire.\n"
  },
  // Access
  { line: `tela admin access ${H}`, asks: ["GET", "/api/admin/access"], prints: golden("access.txt") },
  { line: `tela admin access list ${H}`, asks: ["GET", "/api/admin/access"], prints: golden("access.txt") },
  {
    line: `tela admin access grant alice barn connect ${H}`,
    asks: ["PUT", "/api/admin/access/alice/machines/barn", { permissions: ["connect"] }],
    prints: "alice now has connect on barn, in place of register (until 2999-02-01T00:00:00Z).\n"
  },
  {
    // Which names there may be is for the hub to say.
    line: `tela admin access grant alice 'Barn PC' connect ${H}`,
    asks: ["PUT", "/api/admin/access/alice/machines/Barn%20PC", { permissions: ["connect"] }],
    prints: "alice now has connect on Barn PC.\n"
  },
  {
    line: `tela admin access grant alice '*' connect ${H}`,
    asks: ["PUT", "/api/admin/access/alice/machines/*", { permissions: ["connect"] }],
    prints: "alice now has connect on *.\n"
  },
  {
    line: `tela admin access grant alice barn connect,register ${H} -services ssh,postgres -expires 2999-01-01T00:00:00Z`,
    asks: [
      "PUT",
      "/api/admin/access/alice/machines/barn",
      { permissions: ["connect", "register"], services: ["ssh", "postgres"], expiresAt: "2999-01-01T00:00:00Z" }
    ],
    prints:
      /^alice now has connect, register \(services ssh, postgres; until 2999-01-01T00:00:00Z\) on barn, in place of/
  },
  {
    line: `tela admin access grant 'a/b c' list connect ${H}`,
    asks: ["PUT", "/api/admin/access/a%2Fb%20c/machines/list", { permissions: ["connect"] }],
    prints: "a/b c now has connect on list.\n"
  },
  {
    line: `tela admin access revoke alice barn ${H}`,
    asks: ["DELETE", "/api/admin/access/alice/machines/barn"],
    prints: "alice has no permission of its own on barn any more.\n"
  },
  {
    line: `tela admin access rename alice alicia ${H}`,
    asks: ["PATCH", "/api/admin/access/alice", { id: "alicia" }],
    prints: "Renamed alice to alicia.\n"
  },
  {
    line: `tela admin access remove alice ${H}`,
    asks: ["DELETE", "/api/admin/access/alice"],
    prints: "Removed alice and all its permissions.\n"
  },
  {
    line: `tela admin access explain alice barn connect ${H} -service ssh -at 2999-01-01T01:00:00+01:00`,
    asks: [
      "GET",
      "/api/admin/explain?id=alice&machine=barn&permission=connect&service=ssh&at=2999-01-01T00%3A00%3A00Z"
    ],
    prints: "yes: alice has connect on barn for ssh, until 2999-02-01T00:00:00Z\n"
  },
  // Rotate
  {
    line: `tela admin rotate alice ${H}`,
    asks: ["POST", "/api/admin/rotate/alice"],
    prints: secretText("Rotated the token of alice.", "The old one has stopped working.")
  },
  // Pair codes
  {
    line: `tela admin pair-code barn ${H}`,
    asks: ["POST", "/api/admin/pair-code", { type: "connect", machines: ["barn"], expiresIn: day }],
    prints: golden("pair-code.txt")
  },
  {
    line: `tela admin pair-code 'Barn PC' ${H} -type register -quiet`,
    asks: ["POST", "/api/admin/pair-code", { type: "register", machineId: "Barn PC", expiresIn: day }],
    prints: "ABCD-1234\n"
  },
  {
    line: `tela admin pair-code ${H} -machines 'Barn PC,barn' -quiet`,
    asks: ["POST", "/api/admin/pair-code", { type: "connect", machines: ["Barn PC", "barn"], expiresIn: day }],
    prints: "ABCD-1234\n"
  },
  {
    line: `tela admin pair-code barn ${H} -expires 48h`,
    asks: ["POST", "/api/admin/pair-code", { type: "connect", machines: ["barn"], expiresIn: 2 * day }],
    prints: golden("pair-code.txt")
  },
  {
    line: `tela admin pair-code barn ${H} -type register`,
    asks: ["POST", "/api/admin/pair-code", { type: "register", machineId: "barn", expiresIn: day }],
    prints: golden("pair-code-register.txt")
  },
  {
    line: `tela admin pair-code barn ${H} -machines '*'`,
    asks: ["POST", "/api/admin/pair-code", { type: "connect", machines: ["*"], expiresIn: day }],
    prints: golden("pair-code.txt")
  },
  {
    line: `tela admin pair-code ${H} -machines 'shed, barn' -expires 7d -quiet`,
    asks: ["POST", "/api/admin/pair-code", { type: "connect", machines: ["shed", "barn"], expiresIn: 7 * day }],
    prints: "ABCD-1234\n"
  },
  {
    line: `tela admin pair-code ${H} -expires 1h30m -quiet -- list`,
    asks: ["POST", "/api/admin/pair-code", { type: "connect", machines: ["list"], expiresIn: 5_400 }],
    prints: "ABCD-1234\n"
  },
  { line: `tela admin pair-code list ${H}`, asks: ["GET", "/api/admin/pair-code"], prints: golden("pair-codes.txt") },
  {
    line: `tela admin pair-code cancel c1 ${H}`,
    asks: ["DELETE", "/api/admin/pair-code/c1"],
    prints: "Cancelled the pairing code c1.\n"
  },
  // History
  { line: `tela admin history ${H}`, asks: ["GET", "/api/history?limit=100"], prints: golden("history.txt") },
  {
    line: `tela admin history -n 5 -machine barn -identity alice ${H} -json`,
    asks: ["GET", "/api/history?limit=5&machine=barn&identity=alice"],
    prints: /^\{\n {2}"events": \[\n {4}\{\n {6}"machineId": "barn"[^]*\}\n$/
  }
]

describe("tela admin", () => {
  it.scopedLive.each(cases)("$line", ({ asks, line, prints }) =>
    Effect.gen(function* () {
      const { hub, typed } = yield* setting()
      const { code, stderr, stdout } = yield* typed(line)
      assert.deepStrictEqual([code, stderr], [0, ""])
      const [method, path, body] = asks
      assert.deepStrictEqual(hub.asked.at(-1), { method, path, token: TOKEN, body })
      const changes = hub.asked.filter((each) => each.method !== "GET")
      assert.isAtMost(changes.length, 1)
      if (typeof prints === "string") assert.strictEqual(stdout.replaceAll(hub.url, "wss://hub.example.com"), prints)
      else assert.match(stdout, prints)
      assert.notInclude(stdout + stderr, TOKEN)
    })
  )

  it.scopedLive("-json is what the hub said, in the deployed client's shape", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting()
      for (const [line, key] of [
        ["tokens list", "GET /api/admin/tokens"],
        ["access", "GET /api/admin/access"],
        ["access list", "GET /api/admin/access"],
        ["pair-code list", "GET /api/admin/pair-code"],
        ["access explain alice barn connect", "GET /api/admin/explain"]
      ] as const) {
        const { stdout } = yield* typed(`tela admin ${line} ${H} -json`)
        assert.deepStrictEqual(JSON.parse(stdout), answers[key]?.body, line)
        assert.include(stdout, "\n  ")
      }
    })
  )

  it.scopedLive("a machine that the hub has never seen gets its permission, and a note", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting()
      const { code, stderr, stdout } = yield* typed(`tela admin access grant alice new connect ${H}`)
      assert.deepStrictEqual([code, stdout], [0, "alice now has connect on new.\n"])
      assert.match(stderr, /^Note: .* has not seen a machine "new" yet; .*\n$/)
    })
  )

  it.scopedLive.each([
    ["access grant alice a/b connect", "PUT /api/admin/access/alice/machines/a%2Fb", "a/b"],
    ["access grant alice 'a b' connect", "PUT /api/admin/access/alice/machines/a%20b", "a b"],
    ["pair-code 'a b'", "POST /api/admin/pair-code", "a b"],
    ["pair-code ..", "POST /api/admin/pair-code", ".."],
    ["pair-code -machines 'a,b c'", "POST /api/admin/pair-code", "b c"]
  ] as const)("a machine's name that the hub refuses: its own sentence, and exit code 1: %s", ([line, asked, name]) =>
    Effect.gen(function* () {
      const error = `the machine name "${name}" must be 1 to 128 printable characters without spaces and slashes`
      const { hub, typed } = yield* setting({ [asked]: { status: 400, body: { error } } })
      const { code, stderr, stdout } = yield* typed(`tela admin ${line} ${H}`)
      assert.deepStrictEqual([code, stdout, stderr], [1, "", `tela: ${hub.url}: ${error}\n`])
    })
  )

  it.scopedLive("the command of a code works when pasted, whatever the address and name", () =>
    Effect.gen(function* () {
      const { hub, typed } = yield* setting()
      const given = `${hub.url}/a&b`
      const person = yield* typed(`tela admin pair-code barn -hub '${given}'`)
      assert.include(person.stdout, `\n  tela pair -hub '${given}' -code ABCD-1234\n`)
      const agent = yield* typed(`tela admin pair-code -hub ${hub.url} -type register -- "it's"`)
      assert.include(agent.stdout, `\n  telad pair -hub ${hub.url} -code ABCD-1234 -machine 'it'\\''s'\n`)
      const dash = yield* typed(`tela admin pair-code -hub ${hub.url} -type register -- -x`)
      assert.include(dash.stdout, " -machine=-x\n")
    })
  )

  it.scopedLive(
    "the token is the flag's, else TELA_OWNER_TOKEN's, else TELA_TOKEN's, else the store's; a refusal says which",
    () =>
      Effect.gen(function* () {
        const { home, hub, typed } = yield* setting({
          "GET /api/admin/tokens": { status: 403, body: { error: "the role user may not administer the hub" } }
        })
        const file = Path.join(home, "credentials.yaml")
        Fs.writeFileSync(file, `hubs:\n  ${hub.url}:\n    token: stored\n`, { mode: 0o600 })
        const line = `tela admin tokens list ${H}`
        const env = { TELA_OWNER_TOKEN: "owners", TELA_TOKEN: "users" }
        for (const [text, variables, token, source] of [
          [`${line} -token flagged`, env, "flagged", "-token"],
          [line, env, "owners", "TELA_OWNER_TOKEN"],
          [line, { ...env, TELA_OWNER_TOKEN: "" }, "users", "TELA_TOKEN"],
          [line, { TELA_OWNER_TOKEN: "" }, "stored", file]
        ] as const) {
          const { code, stderr, stdout } = yield* typed(text, variables)
          assert.deepStrictEqual([code, stdout], [1, ""])
          assert.strictEqual(hub.asked.at(-1)?.token, token)
          assert.strictEqual(
            stderr,
            `tela: ${hub.url} refused: the role user may not administer the hub; the token came from ${source}\n`
          )
        }
        Fs.rmSync(file)
        const none = yield* typed(line, { TELA_OWNER_TOKEN: "" })
        assert.strictEqual(none.code, 1)
        assert.match(
          none.stderr,
          /^tela: no token for ws:.*: give -token, set TELA_OWNER_TOKEN or .*tela login ws:.*\n$/
        )
      })
  )

  it.scopedLive.each([
    [401, { error: "no such token" }, {}, /refused the token: no such token; the token came from TELA_OWNER_TOKEN$/],
    [
      403,
      { error: "forbidden" },
      {},
      /refused: the token is unknown, expired or revoked, or no owner's or admin's; the token came/
    ],
    [404, { error: "no identity is called alice" }, {}, /: no identity is called alice$/],
    [409, { error: "an identity called alicia already exists" }, {}, /: an identity called alicia already exists$/],
    [
      412,
      {
        error: "alice has changed since",
        id: "alice",
        version: 2,
        current: { id: "alice", role: "user", tokenPreview: "x", machines: [], version: 2 }
      },
      {},
      /alice has changed since; look again with: tela admin access$/
    ],
    [429, { error: "slow down" }, { "retry-after": "7" }, /takes no more requests for now; try again in 7 s$/],
    [
      500,
      { error: "the file cannot be written" },
      {},
      /could not do it, and nothing has changed: the file cannot be written$/
    ],
    [502, "<html>", {}, /could not do it, and nothing has changed: HTTP 502$/],
    [507, { error: "no space left" }, {}, /nothing has changed: no space left$/],
    [200, { status: "what" }, {}, /does not answer as a Tela hub; check the address$/],
    [302, {}, { location: "/" }, /something in between leads to http:\/\/127\.0\.0\.1:\d+ instead/]
  ] as const)("HTTP %d with %j is one sentence and exit code 1", ([status, body, headers, says]) =>
    Effect.gen(function* () {
      const { typed } = yield* setting({ "PATCH /api/admin/access/alice": { status, body, headers } })
      const { code, stderr, stdout } = yield* typed(`tela admin access rename alice alicia ${H}`)
      assert.deepStrictEqual([code, stdout, stderr.split("\n").length], [1, "", 2])
      assert.match(stderr.trimEnd(), says)
      assert.notInclude(stderr, TOKEN)
    })
  )

  it.scopedLive("nothing that a hub says reaches the terminal but as text of one line", () =>
    Effect.gen(function* () {
      const evil = "x\u001b]0;pwn\u0007\u009b2J\u202e\nFORGED"
      const held = { machineId: evil, permissions: [evil], services: [evil], expiresAt: evil }
      const who = { id: evil, role: evil, expiresAt: evil, machines: [held] }
      const { typed } = yield* setting({
        "GET /api/whoami": { body: who },
        "GET /api/status": { body: { machines: [], timestamp: evil } },
        "POST /api/admin/tokens": { status: 201, body: { ...who, token: made, version: 1 } },
        "POST /api/admin/tokens/alice/revoke": { body: { status: "revoked", id: evil, revokedAt: evil } },
        "GET /api/admin/tokens": { body: { tokens: [{ ...who, tokenPreview: evil }] } },
        "GET /api/admin/access": { body: { access: [{ ...who, tokenPreview: evil, version: 1 }] } },
        "PUT /api/admin/access/alice/machines/barn": { body: { ...updated, ...held, replaced: held } },
        "GET /api/admin/explain": { body: { permit: true, rule: evil, until: evil, at: evil } },
        "POST /api/admin/pair-code": { body: { code: "$(id) `id`", type: "connect", expiresAt: evil } },
        "POST /api/pair": { body: { token: made, identity: evil, type: "connect" } }
      })
      for (const line of [
        "admin tokens add alice",
        "admin tokens list",
        "admin tokens revoke alice",
        "admin access",
        "admin access -json",
        "admin access grant alice barn connect",
        "admin access explain alice barn connect",
        "admin pair-code barn",
        "whoami -token x",
        "whoami -token x -json",
        "status",
        "pair -code ABCD-1234"
      ]) {
        const { code, stderr, stdout } = yield* typed(`tela ${line} ${H}`)
        assert.deepStrictEqual([code, stderr], [0, ""], line)
        assert.match(stdout, /FORGED/, line)
        assert.notMatch(stdout, /[^\n\P{Cc}]|\u202e|^FORGED/mu, line)
      }
    })
  )

  it.scopedLive("a secret that nobody could use is no answer of a hub", () =>
    Effect.gen(function* () {
      for (const secret of ["", "tok\nsecond", "tok\u001b[2J", "\u200btok"]) {
        const { typed } = yield* setting({
          "POST /api/admin/rotate/alice": { body: { status: "rotated", id: "alice", token: secret, version: 3 } },
          "POST /api/admin/pair-code": { body: { code: secret, type: "connect", expiresAt: "2026-04-15T12:30:00Z" } },
          "POST /api/pair": { body: { token: secret, identity: "alice", type: "connect" } }
        })
        for (const line of ["admin rotate alice -quiet", "admin pair-code barn -quiet", "pair -code ABCD-1234"]) {
          const { code, stderr, stdout } = yield* typed(`tela ${line} ${H}`)
          assert.deepStrictEqual([code, stdout], [1, ""])
          assert.match(stderr, /^tela: .* does not answer as a Tela hub; check the address\n$/)
        }
      }
    })
  )

  it.scopedLive("a hub that is not there", () =>
    Effect.gen(function* () {
      const { env } = yield* setting()
      const { code, stderr } = yield* type("tela admin tokens list -hub ws://127.0.0.1:1", env)
      assert.strictEqual(code, 1)
      assert.match(stderr, /^tela: cannot reach ws:\/\/127\.0\.0\.1:1: nothing listens there/)
    })
  )

  it.scopedLive("a deployed hub: what it cannot limit is not granted for good", () =>
    Effect.gen(function* () {
      const { hub, typed } = yield* setting({
        "GET /api/whoami": { status: 404, body: { error: "404 page not found" } },
        "GET /.well-known/tela": { body: { protocolVersion: "1.1" } }
      })
      for (const flag of ["-expires 2h", "-services ssh"]) {
        const { code, stderr } = yield* typed(`tela admin access grant alice barn connect ${H} ${flag}`)
        assert.strictEqual(code, 1)
        assert.match(stderr, /is too old for -(expires|services).*; nothing was changed\n$/)
      }
      assert.deepStrictEqual(
        hub.asked.filter(({ method }) => method !== "GET"),
        []
      )
    })
  )

  it.scopedLive("history is not for users", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting({ "GET /api/whoami": { body: { id: "kim", role: "user", machines: [] } } })
      const { code, stderr, stdout } = yield* typed(`tela admin history ${H}`)
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.match(stderr, /the role user may not administer the hub; the token came from TELA_OWNER_TOKEN$/m)
    })
  )
})

describe("tela admin, wrong usage: exit code 2, one line, nothing asked", () => {
  it.scopedLive.each([
    [`tokens add ${H}`, /<id> is missing/],
    [`tokens add '' ${H}`, /<id>: "" is no name/],
    [`tokens add 'a b' ${H}`, /<id>: "a b" is no name; it must be 1 to 128 printable characters without spaces/],
    [`tokens add a/b ${H}`, /<id>: "a\/b" is no name/],
    [`tokens add a\u200bb ${H}`, /<id>: "a\?b" is no name/],
    [`tokens add ${"x".repeat(129)} ${H}`, /<id>: "x+" is no name/],
    [`tokens add __proto__ ${H}`, /<id>: "__proto__" is no name; .*words like __proto__/],
    [`tokens add '*' ${H}`, /<id>: "\*" stands for every machine/],
    [`access rename alice a/b ${H}`, /<new-id>: "a\/b" is no name/],
    [`access grant alice '' connect ${H}`, /<machine>: "" is no name/],
    // No address can hold it.
    [`access grant alice .. connect ${H}`, /<machine>: "\.\." is no name/],
    [`pair-code '' ${H}`, /<machine> is missing/],
    [`pair-code '*' -type register ${H}`, /<machine>: a register code has one machine; name it/],
    [`tokens add alice ${H} -expires=`, /-expires is empty/],
    [`tokens add alice ${H} -expires 100000000d`, /-expires: /],
    [`access grant alice barn connect ${H} -services ''`, /-services is empty/],
    [`access grant alice barn connect ${H} -expires 3000000d`, /-expires: /],
    [`access explain alice barn connect ${H} -at 2027-02-31T00:00:00Z`, /-at: /],
    [`pair-code barn ${H} -expires ''`, /-expires is empty/],
    [`tokens list ${H} -token 'a\u001b[A'`, /-token holds a line break or another character that no token can have/],
    [`tokens add .. ${H}`, /<id>: "\.\." is no name/],
    [`tokens add alice bob ${H}`, /too many arguments: admin tokens add takes 1 /],
    [`tokens add alice ${H} -role viewer`, /-role is one of user, admin, owner, not "viewer"/],
    [`tokens add alice ${H} -expires soon`, /-expires: "soon" is neither a duration such as 2h or 30d nor a time/],
    [`tokens add alice ${H} -expires 2020-01-01T00:00:00Z`, /-expires: .* is not in the future/],
    [`tokens add alice ${H} -expires -5m`, /-expires: "-5m" is neither/],
    [`tokens set alice ${H}`, /nothing to change: give -role or -expires/],
    [`tokens ad alice ${H}`, /unknown command "ad"; did you mean "add"\?/],
    [
      `access grant alice barn conect ${H}`,
      /"conect" is no permission; give some of register,connect,manage; did you mean "connect"\?/
    ],
    [`access grant alice barn connect,, ${H}`, /<permissions>: "connect,," has an empty part/],
    [`access grant alice barn '' ${H}`, /<permissions>: "" has an empty part/],
    [`access grant alice barn ${H}`, /<permissions> is missing/],
    [`access grant alice barn register ${H} -services ssh`, /-services limits connect, which is not among/],
    [`access grant alice barn connect ${H} -services ,`, /-services: "," has an empty part/],
    [`access grant alice barn connect ${H} -expires 2w`, /-expires: "2w" is neither/],
    [`access revoke alice ${H}`, /<machine> is missing/],
    [`access rename alice ${H}`, /<new-id> is missing/],
    [
      `access explain alice barn sudo ${H}`,
      /<permission>: "sudo" is no permission; give one of register, connect, manage, view/
    ],
    [`access explain alice barn connect ${H} -at tomorrow`, /-at: "tomorrow" is no time/],
    [`rotate ${H}`, /<id> is missing/],
    [`pair-code ${H}`, /<machine> is missing; name one, or give -machines a,b/],
    [`pair-code barn ${H} -type register -machines shed`, /-machines goes with a connect code/],
    [`pair-code barn ${H} -type both`, /-type is one of connect, register, not "both"/],
    [`pair-code barn ${H} -expires 9m`, /-expires: a code is good for 10m to 7d, not 9m/],
    [`pair-code barn ${H} -expires 169h`, /-expires: a code is good for 10m to 7d, not 169h/],
    [`pair-code barn ${H} -expires 1.5`, /-expires: "1\.5" is no duration; write it as 30m/],
    [`pair-code -machines a,,b ${H}`, /-machines: "a,,b" has an empty part/],
    [`pair-code cancel ${H}`, /<id> is missing/],
    [`history -n 0 ${H}`, /-n is a number from 1 to 1000, not "0"/],
    ["tokens list", /-hub is missing: give -hub URL, or set TELA_HUB/],
    ["tokens list -hub ftp://h", /-hub: "ftp:\/\/h" is no hub address/]
  ] as const)("%s", ([line, says]) =>
    Effect.gen(function* () {
      const { home, hub, typed } = yield* setting()
      const { code, stderr, stdout } = yield* typed(`tela admin ${line}`)
      assert.deepStrictEqual([code, stdout, stderr.split("\n").length], [2, "", 2], stderr)
      assert.match(stderr, says)
      assert.match(stderr, / \(see tela admin .*-h\)\n$/)
      assert.deepStrictEqual(hub.asked, [])
      assert.deepStrictEqual(Fs.readdirSync(home), [])
    })
  )
})
