import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { check } from "../../scripts/check-layers.mjs"

/** The problems of a made-up tree, given as files by name. */
const problemsOf = (files: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const root = mkdtempSync(join(tmpdir(), "tela-layers-"))
  try {
    for (const [name, text] of Object.entries(files)) {
      const file = join(root, "src", name)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
    return check(root)
  } finally {
    rmSync(root, { recursive: true })
  }
}

describe("Layers", () => {
  it("the house stands", () => {
    assert.deepStrictEqual(check(fileURLToPath(new URL("../..", import.meta.url))), [])
  })

  it("takes a tree that keeps the rules", () => {
    const files = {
      "protocol/A.ts": "export const a = 1",
      "crypto/B.ts": `import * as C from "node:crypto"\nexport const b = C`,
      "transport/C.ts": `import * as Net from "node:net"\nimport { a } from "../protocol/A.ts"\nexport const c = [Net, a]`,
      "hub/D.ts": `import type { c } from "../transport/C.ts"\nexport type D = typeof c`
    }
    assert.deepStrictEqual(problemsOf(files), [])
  })

  it.each([
    [
      "up a floor",
      { "protocol/A.ts": `import "../hub/B.ts"`, "hub/B.ts": "" },
      /protocol\/A\.ts.*up from protocol to hub/
    ],
    [
      "up a floor, by type",
      { "tunnel/A.ts": `import type { B } from "../hub/B.ts"`, "hub/B.ts": "" },
      /up from tunnel/
    ],
    ["between strangers", { "hub/A.ts": `import "../agent/B.ts"`, "agent/B.ts": "" }, /do not know each other/],
    ["impure", { "policy/A.ts": `import "node:fs"` }, /policy is pure/],
    ["crypto with files", { "crypto/A.ts": `import "fs"` }, /crypto is pure/],
    ["sockets elsewhere", { "hub/A.ts": `import "node:http"` }, /only transport may/],
    ["sockets, lazily", { "cli/A.ts": `export const a = () => import("ws")` }, /only transport may/],
    ["an index", { "hub/A.ts": `import "./index.ts"`, "hub/index.ts": "" }, /import the file itself/],
    ["a barrel", { "hub/A.ts": `import { Effect } from "effect"` }, /import the module it needs/],
    ["someone's internals", { "cli/A.ts": `import "../hub/internal/b.ts"`, "hub/internal/b.ts": "" }, /private to hub/],
    [
      "a circle",
      { "hub/A.ts": `import "./B.ts"`, "hub/B.ts": `export * from "./A.ts"` },
      /circle: hub\/A\.ts -> hub\/B\.ts/
    ],
    ["a stray folder", { "misc/A.ts": "" }, /no known folder/]
  ])("refuses imports %s", (_, files, problem) => {
    const problems = problemsOf(files)
    assert.strictEqual(problems.length, 1, problems.join("\n"))
    assert.match(problems[0] ?? "", problem)
  })
})
