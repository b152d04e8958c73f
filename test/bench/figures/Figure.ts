/** One figure of the benchmark: what was measured, what it must hold to, and whether it does. */
export interface Figure {
  /** Short, for `--only` and for JSON. */
  readonly name: string
  /** For people. */
  readonly title: string
  readonly value: number
  readonly unit: string
  /** The figure holds when it is at most, or at least, this. */
  readonly bound: { readonly atMost: number } | { readonly atLeast: number }
  /** The measurements behind it. */
  readonly details: string
}

export const holds = ({ value, bound }: Figure): boolean =>
  "atMost" in bound ? value <= bound.atMost : value >= bound.atLeast

/** The middle one; of an even number, the mean of the two in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? Number.NaN
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2
}

const show = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2))

/** Figures as a table for a terminal. */
export const table = (figures: ReadonlyArray<Figure>): string => {
  const rows = figures.map((figure) => [
    holds(figure) ? "pass" : "FAIL",
    figure.title,
    `${show(figure.value)} ${figure.unit}`.trim(),
    "atMost" in figure.bound ? `<= ${show(figure.bound.atMost)}` : `>= ${show(figure.bound.atLeast)}`,
    figure.details
  ])
  const all = [["", "figure", "measured", "bound", "details"], ...rows]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? []
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
