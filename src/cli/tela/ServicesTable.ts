/**
 * What `tela connect` prints when the local ports are up, exactly as the handbook shows it:
 *
 * ```
 * Services available:
 *   localhost:22     → SSH          (web-01)
 *   localhost:10022  → SSH          (web-02)
 *   localhost:5432   → port 5432    (db-01)
 * ```
 */
import { oneLine } from "../../protocol/Printable.ts"

/** One line of the table. */
export interface Row {
  /** Local port. */
  readonly local: number
  /** The service's name, or the label of its port. */
  readonly label: string
  readonly machine: string
}

/** The table, without a newline at its end. */
export const render = (rows: ReadonlyArray<Row>): string => {
  const cells = rows.map(
    ({ label, local, machine }) => [`localhost:${local}`, oneLine(label), oneLine(machine)] as const
  )
  const addresses = Math.max(0, ...cells.map(([address]) => address.length))
  const labels = Math.max(0, ...cells.map(([, label]) => label.length))
  const lines = cells.map(
    ([address, label, machine]) => `  ${address.padEnd(addresses)}  → ${label.padEnd(labels)}    (${machine})`
  )
  return ["Services available:", ...lines].join("\n")
}
