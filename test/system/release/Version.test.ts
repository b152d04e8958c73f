import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Version from "../../../src/system/release/Version.ts"

const version = (text: string) => Either.getOrThrow(Version.parse(text))
const compare = (a: string, b: string) => Version.compare(version(a), version(b))

const some = FastCheck.tuple(
  FastCheck.nat(3),
  FastCheck.nat(3),
  FastCheck.nat(3),
  FastCheck.constantFrom(
    "",
    "-beta.1",
    "-dev.1",
    "-beta.2",
    "-beta",
    "-1",
    "-beta.1.x",
    "-rc1",
    "-rc2",
    "-0.rc1",
    "-x-1"
  )
).map(([major, minor, patch, pre]) => version(`v${major}.${minor}.${patch}${pre}`))

describe("Version", () => {
  it("is read with and without v, and what follows a plus is nothing", () => {
    assert.strictEqual(version("1.2.3").text, "v1.2.3")
    assert.strictEqual(version("v1.2.3-beta.10+build.5").text, "v1.2.3-beta.10")
    for (const wrong of [
      "",
      "v",
      "dev",
      "latest",
      "1.2",
      "1.2.3.4",
      "v01.2.3",
      "v1.2.3-",
      "v1.2.3-a..b",
      "v1.2.3-01",
      "v1.2.3-beta.01",
      "v1.2.3 ",
      "v1.2.3\n",
      `v1.2.${"9".repeat(70)}`,
      "v1.2.3-../x"
    ]) {
      assert.isTrue(Either.isLeft(Version.parse(wrong)), wrong)
    }
  })

  it("orders as Semantic Versioning has it", () => {
    const ordered = [
      "v0.9.9",
      "v0.10.0",
      // The example of the standard.
      "v1.0.0-alpha",
      "v1.0.0-alpha.1",
      "v1.0.0-alpha.5",
      "v1.0.0-alpha.beta",
      "v1.0.0-beta",
      "v1.0.0-beta.1",
      "v1.0.0-beta.2",
      "v1.0.0-beta.11",
      "v1.0.0-dev.3",
      "v1.0.0-rc.1",
      "v1.0.0",
      "v1.0.1-3",
      "v1.0.1-20",
      "v1.0.1-20261130123456",
      "v1.0.1-20261130123457",
      "v1.0.1-123456789012345678901234567890",
      "v1.0.1-123456789012345678901234567891",
      "v1.0.1--",
      "v1.0.1-3a",
      "v1.0.1-Beta.9",
      "v1.0.1-dev.3",
      "v1.0.1",
      "v1.3.0-rc1",
      // Without a dot it is a word, and is compared as one.
      "v1.3.0-rc10",
      "v1.3.0-rc2",
      "v1.3.0"
    ]
    for (const [at, text] of ordered.entries()) {
      for (const [other, against] of ordered.entries()) {
        assert.strictEqual(compare(text, against), Math.sign(at - other), `${text} ${against}`)
      }
    }
  })

  it("orders any three without contradiction", () => {
    FastCheck.assert(
      FastCheck.property(some, some, some, (a, b, c) => {
        assert.strictEqual(Version.compare(a, b) + Version.compare(b, a), 0)
        assert.strictEqual(Version.compare(a, b) === 0, a.text === b.text)
        if (Version.compare(a, b) <= 0 && Version.compare(b, c) <= 0) assert.isAtMost(Version.compare(a, c), 0)
      })
    )
  })

  it("tells its channel by its form", () => {
    assert.strictEqual(Version.channelOf(version("v1.2.3")), "stable")
    assert.strictEqual(Version.channelOf(version("v1.2.3-beta.2")), "beta")
    for (const text of ["v1.2.3-beta", "v1.2.3-1", "v1.2.3-beta.x", "v1.2.3-beta.1.2"]) {
      assert.isUndefined(Version.channelOf(version(text)), text)
    }
  })
})
