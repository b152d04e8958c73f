import { assert, describe, it } from "@effect/vitest"
import * as ErrorPage from "../../../src/agent/gateway/ErrorPage.ts"

const asked = (accept?: string) => ({
  method: "GET",
  target: "/",
  version: "1.1",
  headers: accept === undefined ? [] : ["Accept", accept]
})

const told = { status: 404, title: "A <title>", what: 'What & "why"', fix: "The 'fix'" }

describe("ErrorPage", () => {
  it.each([
    [undefined, "plain"],
    ["*/*", "plain"],
    ["application/json, text/*", "plain"],
    ["text/html", "html"],
    ["application/xhtml+xml, TEXT/HTML;q=0.9", "html"]
  ])("for a client that accepts %j is %s", (accept, kind) => {
    assert.strictEqual(ErrorPage.make(asked(accept), told).headers["content-type"], `text/${kind}; charset=utf-8`)
  })

  it("is plain for what was no request", () => {
    assert.strictEqual(ErrorPage.make(undefined, told).body, "A <title>\nWhat & \"why\"\nThe 'fix'\n")
  })

  it("escapes whatever it repeats", () => {
    const { body } = ErrorPage.make(asked("text/html"), { ...told, routes: ["/\"><img src=x onerror='x'>"] })
    assert.include(body, "<title>A &lt;title&gt;</title>")
    assert.include(body, "<p>What &amp; &quot;why&quot;</p>")
    assert.include(body, "<p>The &#39;fix&#39;</p>")
    assert.include(body, '<a href="/&quot;&gt;&lt;img src=x onerror=&#39;x&#39;&gt;">')
    assert.notInclude(body, "<img")
  })

  it("names as many routes as people read, and cuts long addresses", () => {
    const routes = Array.from({ length: 25 }, (_, i) => `/${i}`)
    const { body } = ErrorPage.make(asked(), { ...told, routes })
    assert.match(body, /\n {2}\/19\nand 5 more\n$/)
    assert.notInclude(body, "/20")
    assert.isBelow(ErrorPage.shown(`/${"x".repeat(10_000)}?secret`).length, 400)
    assert.notInclude(ErrorPage.shown("/x?secret"), "secret")
  })

  it("says which methods there are when one is not passed on", () => {
    assert.include(ErrorPage.make(asked(), { ...told, status: 405 }).headers["allow"], "GET")
    assert.notProperty(ErrorPage.make(asked(), told).headers, "allow")
  })
})
