import { assert, describe, it } from "@effect/vitest"
import { isNamed, namedInGrant } from "../../src/protocol/Service.ts"

describe("namedInGrant", () => {
  it("keeps a port that is written as the deployed documentation does as its number, and names as they are", () => {
    const written = ["port-3000", " Port-3000 ", "3000", "ssh", "report-3000", "port-", "port 3000"]
    assert.deepStrictEqual(written.map(namedInGrant), [
      "3000",
      "3000",
      "3000",
      "ssh",
      "report-3000",
      "port-",
      "port 3000"
    ])
    for (const name of written.slice(0, 3)) assert.isTrue(isNamed({ port: 3000, name: "web" }, namedInGrant(name)))
  })
})
