import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as NoProxy from "../../src/transport/NoProxy.ts"
import * as Proxy from "../../src/transport/Proxy.ts"

const proxyOf = (url: string, env: Record<string, string>) => Proxy.proxyOf(new URL(url), env)
const shown = (url: string, env: Record<string, string>) =>
  Either.map(proxyOf(url, env), (proxy) => proxy?.shown).pipe(Either.merge)

describe("Proxy", () => {
  const all = { HTTPS_PROXY: "http://s:1", HTTP_PROXY: "http://p:2", ALL_PROXY: "http://a:3" }
  it.each([
    ["wss://hub.example.com", {}, undefined],
    ["wss://hub.example.com", all, "http://s:1 (HTTPS_PROXY)"],
    ["https://hub.example.com", all, "http://s:1 (HTTPS_PROXY)"],
    ["ws://hub.example.com", all, "http://p:2 (HTTP_PROXY)"],
    ["http://hub.example.com", all, "http://p:2 (HTTP_PROXY)"],
    ["wss://hub.example.com", { ALL_PROXY: "http://a:3" }, "http://a:3 (ALL_PROXY)"],
    ["ws://hub.example.com", { ALL_PROXY: "http://a:3" }, "http://a:3 (ALL_PROXY)"],
    ["wss://hub.example.com", { HTTP_PROXY: "http://p:2" }, undefined],
    ["ws://hub.example.com", { HTTPS_PROXY: "http://s:1" }, undefined],
    ["wss://hub.example.com", { https_proxy: "http://l:4", ...all }, "http://l:4 (https_proxy)"],
    ["wss://hub.example.com", { all_proxy: "http://l:4", HTTPS_PROXY: "http://s:1" }, "http://s:1 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { https_proxy: "", HTTPS_PROXY: "http://s:1" }, "http://s:1 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { https_proxy: " ", HTTPS_PROXY: "" }, undefined],
    ["wss://hub.example.com", { HTTPS_PROXY: "p:3128" }, "http://p:3128 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { HTTPS_PROXY: "10.0.0.1:3128" }, "http://10.0.0.1:3128 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { HTTPS_PROXY: "http://[fd00::1]:3128" }, "http://[fd00::1]:3128 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { HTTPS_PROXY: "https://p" }, "https://p (HTTPS_PROXY)"],
    ["wss://hub.example.com", { HTTPS_PROXY: "http://ann:hunter2@p:1" }, "http://p:1 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { HTTPS_PROXY: "http://p:1/path?q=hunter2" }, "http://p:1 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { ...all, NO_PROXY: "example.com" }, undefined],
    ["wss://hub.example.com", { ...all, no_proxy: "other", NO_PROXY: "example.com" }, "http://s:1 (HTTPS_PROXY)"],
    ["wss://hub.example.com", { ...all, no_proxy: "", NO_PROXY: "example.com" }, undefined],
    ["wss://hub.example.com", { ...all, NO_PROXY: "hub.example.com:443" }, undefined],
    ["wss://hub.example.com:8443", { ...all, NO_PROXY: "hub.example.com:443" }, "http://s:1 (HTTPS_PROXY)"],
    ["ws://hub.example.com", { ...all, NO_PROXY: "hub.example.com:80" }, undefined],
    ["wss://[2001:db8::1]", { ...all, NO_PROXY: "[2001:db8::1]" }, undefined],
    ["ws://127.0.0.1:8080", all, undefined],
    ["ws://127.9.9.9", all, undefined],
    ["ws://localhost", all, undefined],
    ["wss://LOCALHOST.", all, undefined],
    ["wss://hub.localhost", all, undefined],
    ["wss://[::1]:1", all, undefined],
    ["wss://[::ffff:127.0.0.1]:1", all, undefined],
    ["wss://[::ffff:10.0.0.1]:1", all, "http://s:1 (HTTPS_PROXY)"],
    ["wss://localhost.example.com", all, "http://s:1 (HTTPS_PROXY)"]
  ] as const)("%s with %j: %s", (url, env, expected) => {
    assert.strictEqual(shown(url, env), expected)
  })

  it.each([
    ["http://", "HTTPS_PROXY is no address of a proxy; write it as http://proxy.example.com:3128"],
    ["http://p:99999", "HTTPS_PROXY is no address of a proxy; write it as http://proxy.example.com:3128"],
    ["ftp://ann:hunter2@p", "HTTPS_PROXY is no address of a proxy; write it as http://proxy.example.com:3128"],
    ["ann:hunter2@p:x", "HTTPS_PROXY is no address of a proxy; write it as http://proxy.example.com:3128"],
    [
      "socks5://ann:hunter2@p:1080",
      "HTTPS_PROXY names a SOCKS proxy, and only HTTP proxies can be used; write it as http://proxy.example.com:3128"
    ],
    [
      "socks5h://p",
      "HTTPS_PROXY names a SOCKS proxy, and only HTTP proxies can be used; write it as http://proxy.example.com:3128"
    ],
    ["http://ann:hunter2%@p", "HTTPS_PROXY: the user or password holds a % that begins no code; write it as %25"]
  ])("refuses %s without repeating it", (value, says) => {
    assert.deepStrictEqual(proxyOf("wss://hub.example.com", { HTTPS_PROXY: value }), Either.left(says))
    // What is not used may be what it likes.
    assert.deepStrictEqual(proxyOf("ws://localhost", { HTTP_PROXY: value }), Either.right(undefined))
    assert.deepStrictEqual(
      proxyOf("wss://hub.example.com", { HTTPS_PROXY: value, NO_PROXY: "*" }),
      Either.right(undefined)
    )
  })

  it.each([
    ["http://ann:hunter2@p:1", "ann:hunter2"],
    ["http://ann@p:1", "ann:"],
    ["http://ann:a%3Ab%40c%2F%25@p:1", "ann:a:b@c/%"],
    ["http://j%C3%BCrg:gr%C3%BC%C3%9F@p:1", "jürg:grüß"],
    ["ann:hunter2@p:1", "ann:hunter2"]
  ])("decodes the credentials of %s", (value, pair) => {
    const proxy = Either.getOrThrow(proxyOf("wss://hub.example.com", { HTTPS_PROXY: value }))
    assert.isDefined(proxy?.authorization)
    const header = proxy?.authorization === undefined ? "" : Redacted.value(proxy.authorization)
    assert.strictEqual(Buffer.from(header.replace(/^Basic /, ""), "base64").toString(), pair)
    assert.notInclude(JSON.stringify(proxy), header)
  })

  it("tells ports, TLS and hosts", () => {
    const of = (value: string) => {
      const proxy = Either.getOrThrow(proxyOf("wss://hub.example.com", { HTTPS_PROXY: value }))
      return [proxy?.host, proxy?.port, proxy?.secure]
    }
    assert.deepStrictEqual(of("http://p"), ["p", 80, false])
    assert.deepStrictEqual(of("https://p"), ["p", 443, true])
    assert.deepStrictEqual(of("https://p:8443"), ["p", 8443, true])
    assert.deepStrictEqual(of("http://[::1]:3128"), ["::1", 3128, false])
  })
})

describe("NoProxy", () => {
  it.each([
    ["", "hub.example.com", false],
    ["*", "hub.example.com", true],
    ["a, *", "10.0.0.1", true],
    ["hub.example.com", "hub.example.com", true],
    ["HUB.Example.Com", "hub.example.com", true],
    ["hub.example.com.", "hub.example.com", true],
    ["hub.example.com", "hub.example.com.", true],
    ["example.com", "hub.example.com", true],
    [".example.com", "hub.example.com", true],
    ["*.example.com", "hub.example.com", true],
    [".example.com", "example.com", true],
    ["ample.com", "example.com", false],
    ["b.example.com", "hub.example.com", false],
    ["com.evil", "hub.example.com", false],
    ["other , example.com", "hub.example.com", true],
    ["other example.com", "hub.example.com", true],
    ["other,,", "hub.example.com", false],
    [".", "hub.example.com", false],
    ["hub.*", "hub.example.com", false],
    ["hub.example.com:80", "hub.example.com", true],
    ["example.com:80", "hub.example.com", true],
    ["hub.example.com:81", "hub.example.com", false],
    [":80", "hub.example.com", false],
    ["10.0.0.1", "10.0.0.1", true],
    ["10.0.0.1:80", "10.0.0.1", true],
    ["10.0.0.1:81", "10.0.0.1", false],
    ["0.0.1", "10.0.0.1", false],
    [".0.0.1", "10.0.0.1", false],
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.0.0.0/8:80", "10.0.0.1", true],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["192.168.4.0/22", "192.168.7.255", true],
    ["192.168.4.0/22", "192.168.8.0", false],
    ["10.0.0.0/33", "10.0.0.1", false],
    ["10.0.0.0/", "10.0.0.1", false],
    ["10.0.0.0/8/8", "10.0.0.1", false],
    ["10.0.0.0/x", "10.0.0.1", false],
    ["10.0.0.0/8", "hub.example.com", false],
    ["::1", "::1", true],
    ["[::1]", "::1", true],
    ["[::1]:80", "::1", true],
    ["[::1]:81", "::1", false],
    ["fd00::/8", "fd12::1", true],
    ["[fd00::/8]", "fd12::1", true],
    ["fd00::/8", "fe80::1", false],
    ["2001:DB8:0:0::1", "2001:db8::1", true],
    ["::/0", "10.0.0.1", false]
  ])("%j and %s: %s", (list, host, expected) => {
    assert.strictEqual(NoProxy.covers(list, host, 80), expected)
  })
})
