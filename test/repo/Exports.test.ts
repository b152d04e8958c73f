import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** What Node's own resolver answers to `import "tela/..."`, for each specifier: a URL, or the code of the error. */
const resolved = (specifiers: ReadonlyArray<string>): Readonly<Record<string, string>> => {
  const script = `
    const answer = (specifier) => {
      try {
        return import.meta.resolve(specifier)
      } catch (error) {
        return error.code
      }
    }
    console.log(JSON.stringify(Object.fromEntries(JSON.parse(process.argv[1]).map((each) => [each, answer(each)]))))`
  const args = ["--input-type=module", "-e", script, JSON.stringify(specifiers)]
  return JSON.parse(execFileSync(process.execPath, args, { cwd: root, encoding: "utf8" }))
}

const isPrivate = (specifier: string): boolean => /^tela\/cli\/|\/internal\//.test(specifier)

describe("Exports", () => {
  it("every file of src is an entry point, but those of cli and internal folders are not", () => {
    const specifiers = readdirSync(`${root}/src`, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `tela/${name.replaceAll("\\", "/").replace(/\.ts$/, "")}`)
    assert.isAbove(specifiers.filter(isPrivate).length, 10)
    const wrong = Object.entries(resolved(specifiers)).filter(([specifier, answer]) =>
      isPrivate(specifier)
        ? answer !== "ERR_PACKAGE_PATH_NOT_EXPORTED"
        : !answer.endsWith(specifier.replace(/^tela/, "/dist/lib") + ".js")
    )
    assert.deepStrictEqual(wrong, [])
  })
})
