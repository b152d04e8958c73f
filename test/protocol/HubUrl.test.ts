import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { backoff } from "../../src/protocol/Backoff.ts"
import * as HubUrl from "../../src/protocol/HubUrl.ts"
import { RECONNECT_BASE, RECONNECT_CAP } from "../../src/protocol/Limits.ts"
import { printable } from "../../src/protocol/Printable.ts"

describe("HubUrl", () => {
  it.each(["ws://h", "wss://hub.example.com", "wss://[::1]:8443/tela"])("takes %s as it stands", (text) => {
    assert.strictEqual(Either.getOrThrow(HubUrl.parse(` ${text} `)), text)
  })

  it.each([
    ["https://hub.example.com/a", "wss://hub.example.com/a"],
    ["HTTP://h:80", "ws://h:80"],
    ["hub.example.com", "wss://hub.example.com"],
    ["localhost:8443", "wss://localhost:8443"]
  ])("takes %s as %s", (text, expected) => {
    assert.strictEqual(Either.getOrThrow(HubUrl.parse(text)), expected)
    assert.strictEqual(HubUrl.canonical(text), HubUrl.canonical(expected))
  })

  it.each([
    ["", /no hub address/],
    ["my hub", /no hub address/],
    ["user:pass@h", /holds no user or password/],
    ["ftp://h", /no hub address/],
    ["wss://user:pass@h", /holds no user or password/],
    ["wss://h#x", /what follows the #/],
    ["wss://h/?token=pass", /^"wss:\/\/h\/" goes without what follows the \?/],
    ["wss://h/\n;reboot", /no hub address/],
    ["h?", /goes without what follows the \?/],
    ["ftp://user:pass@h?pass", /^"ftp:\/\/h" is no hub address/],
    ["5f0c7a5293c54d0e8a3f0c9a91be04aa".repeat(2), /looks like a token/],
    ["my hub?pass#pass", /^"my hub" is no hub address/]
  ])("refuses %j", (text, expected) => {
    assert.match(Either.merge(HubUrl.parse(text)), expected)
    assert.notInclude(Either.merge(HubUrl.parse(text)).replace("or password", ""), "pass")
    assert.notMatch(Either.merge(HubUrl.parse(text)), /[0-9a-f]{32}/)
    assert.isTrue(Either.isLeft(HubUrl.parse(text)))
  })

  it("has one spelling for a hub, and knows its HTTP origin", () => {
    assert.strictEqual(HubUrl.canonical("WSS://Hub.Example.com:443//"), "wss://hub.example.com")
    assert.strictEqual(HubUrl.canonical("ws://h:80/ws/"), "ws://h/ws")
    assert.notStrictEqual(HubUrl.canonical("ws://h"), HubUrl.canonical("wss://h"))
    assert.strictEqual(HubUrl.httpOrigin("wss://h:8443/ws"), "https://h:8443")
    assert.strictEqual(HubUrl.httpOrigin("ws://h"), "http://h")
    assert.strictEqual(HubUrl.httpOrigin("https://h/api/status"), "https://h")
  })
})

describe("Backoff", () => {
  it("doubles from the base to the cap, spread by a quarter", () => {
    assert.deepStrictEqual(
      [0, 1, 2, 3].map((attempt) => backoff(attempt, 0.5)),
      [1, 2, 4, 8].map((factor) => factor * RECONNECT_BASE)
    )
    for (const attempt of [8, 50, 5_000]) {
      assert.strictEqual(backoff(attempt, 0), RECONNECT_CAP * 0.75)
      assert.isAtMost(backoff(attempt, 0.999), RECONNECT_CAP * 1.25)
    }
  })
})

describe("Printable", () => {
  it("leaves nothing that moves a cursor or breaks a line", () => {
    assert.strictEqual(printable("a\u001b[2Jb\r\nc\u202ed\u2028é"), "a?[2Jb??c?d?é")
    assert.isBelow(printable("x".repeat(10_000)).length, 400)
  })
})
