import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Routes from "../../../src/agent/gateway/Routes.ts"
import { route } from "./gateway.ts"

const routes = Routes.make([
  route("/", 1),
  route("/api", 2),
  route("/api/v2/", 3, { strip: true }),
  route("/app", 4, { strip: true }),
  route("/a%20b", 5)
])

const targetOf = (target: string) => routes.match(target)?.route.target

describe("Routes", () => {
  it.each([
    ["/", 1],
    ["/other", 1],
    ["/apix", 1],
    ["/ap", 1],
    ["//api", 1],
    ["/api", 2],
    ["/api/", 2],
    ["/api?x=/api/v2", 2],
    ["/api/users", 2],
    ["/api/v20", 2],
    ["/%61pi/users", 2],
    ["/API", 1],
    ["/api/v2", 3],
    ["/api/v2/x", 3],
    ["/app/x", 4],
    ["/a%20b/c", 5],
    ["/caf%E9", 1],
    ["/100%", 1]
  ])("%s takes the route of the longest prefix in whole segments", (target, expected) => {
    assert.strictEqual(targetOf(target), expected)
  })

  it("has no route where none leads", () => {
    assert.isUndefined(Routes.make([route("/api", 1)]).match("/"))
    assert.isUndefined(Routes.make([route("/api", 1)]).match("/apix"))
  })

  it.each([
    ["/api/x?y=1", "/api/x?y=1"],
    ["/api/v2/x/y?z=/api", "/x/y?z=/api"],
    ["/api/v2", "/"],
    ["/api/v2/", "/"],
    ["/api/v2?q", "/?q"],
    ["/app//evil.example/x", "/evil.example/x"],
    ["/%61pp/x", "/x"],
    ["/app/a%2Fb//c", "/a%2Fb//c"]
  ])("%s is asked for as %s", (target, expected) => {
    assert.strictEqual(routes.match(target)?.path, expected)
  })

  it.each([
    "/api/../admin",
    "/api/..",
    "/./x",
    "/api/%2e%2E/admin",
    "/api/.%2e/x",
    "/api/..%2fadmin",
    "/api%2F..%2Fadmin",
    "/api\\..\\admin",
    "/api/..%5cadmin",
    "/api/..;/admin",
    "/api/..%3Bx/admin"
  ])("%s may be read as another path", (target) => {
    assert.isTrue(Routes.isAmbiguous(target))
  })

  it.each(["/", "/a.b/..c/...", "/api?x=/../y", "/.well-known/x", "/a/..b;c"])("%s means one path only", (target) => {
    assert.isFalse(Routes.isAmbiguous(target))
  })

  const Segment = Schema.String.pipe(Schema.pattern(/^[a-c]{1,2}$/))
  const Path = Schema.Array(Segment).pipe(Schema.minItems(1), Schema.maxItems(4))
  it.prop(
    "takes a route exactly if its segments begin the path's, and the longest of those",
    [Arbitrary.make(Schema.Array(Path).pipe(Schema.minItems(1), Schema.maxItems(6))), Arbitrary.make(Path)],
    ([prefixes, asked]) => {
      const found = Routes.make(prefixes.map((prefix, i) => route(`/${prefix.join("/")}`, i + 1))).match(
        `/${asked.join("/")}`
      )
      const fits = prefixes.filter((prefix) => prefix.every((segment, i) => asked[i] === segment))
      const longest = Math.max(0, ...fits.map((prefix) => prefix.length))
      assert.strictEqual(found === undefined ? 0 : found.route.path.split("/").length - 1, longest)
    }
  )
})
