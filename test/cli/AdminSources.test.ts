/** `channel sources` of `tela admin hub` and `tela admin agent`, against hubs that answer as told. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Answer } from "../support/FakeHub.ts"
import { answered, H, setting } from "./ToldHub.ts"

const base = "https://dl.example.net/channels"
const at = "/api/admin/update/sources"
const agent = "/api/admin/agents/barn/channel-sources"

/** The three answers of one of them. */
interface Answers {
  readonly list: Answer
  readonly set: Answer
  readonly remove: Answer
}

interface Kind {
  readonly of: string
  readonly words: string
  readonly answers: (answers: Partial<Answers>) => Readonly<Record<string, Answer>>
  /** The answer when it was done. */
  readonly done: (payload: object) => Answer
  /** What `list`, `set` and `remove` ask. */
  readonly asks: Readonly<Record<keyof Answers, ReadonlyArray<unknown>>>
  /** How lines about it begin. */
  readonly name: (hub: string) => string
}

const absent: Answer = { status: 404, body: { error: "no such thing" } }

const kinds: ReadonlyArray<Kind> = [
  {
    of: "hub",
    words: "hub channel sources",
    answers: ({ list = absent, remove = absent, set = absent }) => ({
      [`GET ${at}`]: list,
      [`PUT ${at}/nightly`]: set,
      [`DELETE ${at}/nightly`]: remove
    }),
    done: (payload) => ({ body: payload }),
    asks: { list: ["GET", at], set: ["PUT", `${at}/nightly`, { base }], remove: ["DELETE", `${at}/nightly`] },
    name: (hub) => hub
  },
  {
    of: "agent",
    words: "agent channel -machine barn sources",
    answers: ({ list = absent, remove = absent, set = absent }) => ({
      [`GET ${agent}-list`]: list,
      [`POST ${agent}-set`]: set,
      [`POST ${agent}-remove`]: remove
    }),
    done: (payload) => answered({ payload }),
    asks: {
      list: ["GET", `${agent}-list`],
      set: ["POST", `${agent}-set`, { name: "nightly", base }],
      remove: ["POST", `${agent}-remove`, { name: "nightly" }]
    },
    name: () => "barn"
  }
]

describe.each(kinds)("tela admin $of channel sources", ({ answers, asks, done, name, words }) => {
  const sources = { stable: "https://a.example.com/c", nightly: base, dev: "https://d.example.com/\u001b[2J" }

  it.scopedLive.each(["", " list"])("%s prints what has a source, and JSON", (word) =>
    Effect.gen(function* () {
      const { asked, typed } = yield* setting(answers({ list: done({ sources }) }))
      const { stdout } = yield* typed(`tela admin ${words}${word} ${H}`)
      assert.strictEqual(
        stdout,
        [
          "CHANNEL         BASE URL",
          "dev             https://d.example.com/\\u001b[2J",
          `nightly         ${base}`,
          "stable          https://a.example.com/c",
          ""
        ].join("\n")
      )
      const json = yield* typed(`tela admin ${words}${word} -json ${H}`)
      assert.deepStrictEqual(JSON.parse(json.stdout), { sources })
      assert.deepStrictEqual(asked(), [asks.list, asks.list])
    })
  )

  it.scopedLive("where none has, that is said; null is none", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting(answers({ list: done({ sources: null }) }))
      assert.strictEqual((yield* typed(`tela admin ${words} ${H}`)).stdout, "No channel has a source there.\n")
      assert.deepStrictEqual(JSON.parse((yield* typed(`tela admin ${words} -json ${H}`)).stdout), { sources: {} })
    })
  )

  it.scopedLive.each([
    `tela admin ${words} set nightly ${base} ${H}`,
    `tela admin ${words} add nightly ${base} ${H}`,
    `tela admin ${H} ${words} set NIGHTLY ${base}/`,
    `tela admin ${words} set ${H} nightly ${base}/nightly.json`
  ])("%s", (line) =>
    Effect.gen(function* () {
      const { asked, hub, typed } = yield* setting(answers({ set: done({ ok: true, name: "nightly", base }) }))
      const { code, stderr, stdout } = yield* typed(line)
      assert.deepStrictEqual([code, stderr, stdout], [0, "", `${name(hub.url)}: nightly is at ${base}\n`])
      assert.deepStrictEqual(asked(), [asks.set])
    })
  )

  it.scopedLive("remove", () =>
    Effect.gen(function* () {
      const { asked, hub, typed } = yield* setting(answers({ remove: done({ ok: true, name: "nightly" }) }))
      const { stdout } = yield* typed(`tela admin ${words} remove nightly ${H}`)
      assert.strictEqual(stdout, `${name(hub.url)}: nightly has no source any more\n`)
      assert.deepStrictEqual(asked(), [asks.remove])
    })
  )

  it.scopedLive.each(["set", "remove"] as const)("%s is refused in a sentence that names the token", (word) =>
    Effect.gen(function* () {
      const error = "kim has the role admin; this is for an owner to choose"
      const { typed } = yield* setting(answers({ [word]: { status: 403, body: { error } } }))
      const { code, stderr, stdout } = yield* typed(
        `tela admin ${words} ${word} nightly ${word === "set" ? base : ""} ${H}`
      )
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.match(stderr, /^tela: .*refused: kim has the role admin; this is for an owner to choose; .*TELA_TOKEN\n$/)
    })
  )

  it.scopedLive.each([
    ["set", /<channel> is missing/],
    ["set nightly", /<url> is missing/],
    [`set Night_ly ${base}`, /<channel>: "Night_ly" is no channel; its name has lower-case letters/],
    ["set nightly dl.example.net", /<url>: "dl\.example\.net" is no address of a channel; write it as https:/],
    ["set nightly http://dl.example.net", /<url>: .* is not https/],
    ["set nightly https://u:p@dl.example.net", /<url>: .* has a user or password/],
    ["set nightly https://dl.example.net/?a=b", /<url>: .* has a query or a fragment/],
    [`set nightly ${base} more`, /too many arguments: .* takes 2 /],
    ["remove", /<channel> is missing/],
    ["remove ../x", /<channel>: "\.\.\/x" is no channel/],
    ["lst", /unknown command "lst"; did you mean "list"\?/]
  ] as const)("%s is wrong usage, and nothing is asked", ([line, says]) =>
    Effect.gen(function* () {
      const { asked, typed } = yield* setting({})
      const { code, stderr, stdout } = yield* typed(`tela admin ${words} ${line} ${H}`)
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.match(stderr, says)
      assert.deepStrictEqual(asked(), [])
    })
  )
})

describe("what was not done", () => {
  it.scopedLive("by an agent", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting({
        [`POST ${agent}-remove`]: answered({ ok: false, message: 'no source is kept for "nightly"' })
      })
      const { code, stderr } = yield* typed(`tela admin agent channel sources remove nightly -machine barn ${H}`)
      assert.deepStrictEqual([code, stderr], [1, 'tela: barn: no source is kept for "nightly"\n'])
    })
  )

  it.scopedLive("by a hub", () =>
    Effect.gen(function* () {
      const { typed } = yield* setting({
        [`DELETE ${at}/nightly`]: { status: 404, body: { error: "no source is kept for the channel nightly" } }
      })
      const { code, stderr } = yield* typed(`tela admin hub channel sources remove nightly ${H}`)
      assert.strictEqual(code, 1)
      assert.match(stderr, /^tela: .*no source is kept for the channel nightly\n$/)
    })
  )

  it.scopedLive("without a machine nobody is asked", () =>
    Effect.gen(function* () {
      const { asked, typed } = yield* setting({})
      const { code, stderr } = yield* typed(`tela admin agent channel sources ${H}`)
      assert.deepStrictEqual([code, asked()], [2, []])
      assert.match(stderr, /-machine is missing/)
    })
  )
})
