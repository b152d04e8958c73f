import { assert, describe, it } from "@effect/vitest"
import * as Launch from "../../bin/launch.mjs"
import * as Platform from "../../src/protocol/Platform.ts"

/** What Node's documentation lists for process.platform and process.arch, and one name that nobody knows. */
const platforms = ["aix", "android", "darwin", "freebsd", "haiku", "linux", "openbsd", "sunos", "win32", "cygwin", "x"]
const processors = [
  "arm",
  "arm64",
  "ia32",
  "loong64",
  "mips",
  "mipsel",
  "ppc",
  "ppc64",
  "riscv64",
  "s390",
  "s390x",
  "x64",
  "x"
]

describe("Platform", () => {
  it("has the same names in the launchers and in the programs", () => {
    assert.deepStrictEqual(platforms.map(Launch.goos), platforms.map(Platform.goos))
    assert.deepStrictEqual(processors.map(Launch.goarch), processors.map(Platform.goarch))
  })

  it("has Go's names", () => {
    assert.strictEqual(Platform.goos("win32"), "windows")
    assert.strictEqual(Platform.goarch("x64"), "amd64")
    assert.strictEqual(Platform.goarch("ppc64"), "ppc64le")
  })
})
