import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Duration from "../../src/protocol/Duration.ts"

const NOW = Date.parse("2027-01-31T12:00:00Z")

describe("a duration", () => {
  it("is parts with units, one after the other", () => {
    for (const [text, millis] of [
      ["30m", 1_800_000],
      ["1h30m", 5_400_000],
      ["7d", 604_800_000],
      ["1.5s", 1_500]
    ] as const) {
      assert.deepStrictEqual(Duration.parse(text), Either.right(millis))
    }
    for (const text of ["", "5", "m", "-1h", "1h 30m", "1e9d", `${"9".repeat(400)}d`]) {
      assert.match(Either.getOrThrow(Either.flip(Duration.parse(text))), /is no duration; write it as/, text)
    }
  })
})

describe("a time", () => {
  it("is one of the calendar, as RFC 3339 writes it", () => {
    for (const [text, iso] of [
      ["2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"],
      ["2027-01-31t12:00:00.25z", "2027-01-31T12:00:00Z"],
      ["2028-02-29T23:30:00-01:00", "2028-03-01T00:30:00Z"],
      ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"]
    ] as const) {
      assert.deepStrictEqual(Either.map(Duration.parseInstant(text), Duration.formatInstant), Either.right(iso))
    }
    for (const text of [
      "2027-02-29T00:00:00Z",
      "2027-02-31T00:00:00Z",
      "2027-04-31T00:00:00Z",
      "2027-13-01T00:00:00Z",
      "2027-00-10T00:00:00Z",
      "2027-01-31T24:00:00Z",
      "2027-01-31T12:60:00Z",
      "2027-01-31T12:00:00",
      "2027-01-31",
      "+010000-01-01T00:00:00Z",
      "9999-12-31T23:59:59-01:00",
      "noon"
    ]) {
      assert.match(Either.getOrThrow(Either.flip(Duration.parseInstant(text))), /is no time; write it as/, text)
    }
  })
})

describe("an expiry", () => {
  it("lies in the future, and no later than times can be written", () => {
    const hour = Duration.parseExpiry("1h", NOW)
    assert.deepStrictEqual(Either.map(hour, Duration.formatInstant), Either.right("2027-01-31T13:00:00Z"))
    for (const [text, sentence] of [
      ["0s", /"0s" is not in the future/],
      ["2027-01-31T12:00:00Z", /not in the future/],
      ["2912200d", /"2912200d" is later than the year 9999/],
      ["100000000d", /later than the year 9999/],
      ["2027-02-31T00:00:00Z", /neither a duration such as 2h or 30d nor a time/],
      ["soon", /neither a duration/]
    ] as const) {
      assert.match(Either.getOrThrow(Either.flip(Duration.parseExpiry(text, NOW))), sentence)
    }
    const late = Either.map(Duration.parseExpiry("2912000d", NOW), Duration.formatInstant)
    assert.match(Either.getOrThrow(late), /^9999-/)
  })
})
