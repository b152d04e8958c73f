import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"))

const parts = (version: string): ReadonlyArray<number> => version.split(".").map(Number)

/** Whether a version is one of a range such as `^18.0.0 || 20.x || >=22`: the forms that packages use. */
const admits = (range: string, version: string): boolean =>
  range.split("||").some((alternative) => {
    const [major, minor = 0, patch = 0] = parts(version)
    if (alternative.trim() === `${major}.x`) return true
    const [, form, least = ""] = /^\s*(\^|>=)\s*v?([\d.]+)\s*$/.exec(alternative) ?? []
    const wanted = parts(least)
    if (form === undefined || major === undefined) return range.trim() === "*"
    if (form === "^" && wanted[0] !== major) return false
    const [a = 0, b = 0, c = 0] = wanted
    return major !== a ? major > a : minor !== b ? minor > b : patch >= c
  })

/** They check the code, and run where people write it. */
const checkers = /^node_modules\/(oxlint|@oxlint\/.*)$/

describe("Engines", () => {
  it("every package that the programs and the tests need runs on the Node that we promise", () => {
    const { engines } = read("package.json")
    const promised = `${engines.node.replace(">=", "")}.0`
    const packages: Readonly<Record<string, { engines?: { node?: string } }>> = read("package-lock.json").packages
    const newer = Object.entries(packages).flatMap(([name, { engines: { node = ">=0" } = {} }]) =>
      name === "" || checkers.test(name) || admits(node, promised) ? [] : [`${name}: ${node}`]
    )
    assert.deepStrictEqual(newer, [])
  })

  it("tells which ranges admit a version", () => {
    const admitted = ["*", ">=20", ">= 14.6", "^18.0.0 || ^20.0.0 || >=22.0.0", ">=20.11", "^20.11.0", "18.x || 20.x"]
    const refused = ["^18.0.0", ">=20.19.0", "^20.19.0 || >=22.12.0", ">=20.11.1", ">=21", "18.x || 22.x"]
    assert.deepStrictEqual(
      admitted.filter((range) => !admits(range, "20.11.0")),
      []
    )
    assert.deepStrictEqual(
      refused.filter((range) => admits(range, "20.11.0")),
      []
    )
  })
})
