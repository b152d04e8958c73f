import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as ServicesTable from "../../src/cli/tela/ServicesTable.ts"

describe("ServicesTable", () => {
  it("is the handbook's, to the column", () => {
    const table = ServicesTable.render([
      { local: 22, label: "SSH", machine: "web-01" },
      { local: 10022, label: "SSH", machine: "web-02" },
      { local: 5432, label: "port 5432", machine: "db-01" }
    ])
    assert.strictEqual(
      table,
      [
        "Services available:",
        "  localhost:22     → SSH          (web-01)",
        "  localhost:10022  → SSH          (web-02)",
        "  localhost:5432   → port 5432    (db-01)"
      ].join("\n")
    )
  })

  it("one service", () => {
    assert.strictEqual(
      ServicesTable.render([{ local: 8080, label: "HTTP-Alt", machine: "lab pi" }]),
      "Services available:\n  localhost:8080  → HTTP-Alt    (lab pi)"
    )
  })

  it("stays one line a service, whatever an agent calls it", () => {
    const text = FastCheck.string({ unit: "binary" })
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.tuple(text, text), { minLength: 1, maxLength: 3 }), (names) => {
        const rows = names.map(([label, machine]) => ({ local: 22, label, machine }))
        const lines = ServicesTable.render(rows).split(/[\n\r\u2028\u2029\u0085]/)
        assert.strictEqual(lines.length, rows.length + 1)
      }),
      { numRuns: 50 }
    )
  })
})
