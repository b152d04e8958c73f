/**
 * Text in columns, two spaces apart, as wide as their widest entry. What came from another machine is made printable.
 */
import { oneLine } from "../protocol/Printable.ts"

/** A heading and rows; the last column is not padded. */
export const render = (heading: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const cells = [heading, ...rows].map((row) => row.map(oneLine))
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
