/**
 * A release channel and what it has, in the lines that people of the deployed programs know (spec: cli 7.3).
 */
import type { UpdateStatus } from "../../../protocol/Management.ts"
import { printable } from "../../../protocol/Printable.ts"
import * as Flags from "../../Flags.ts"

export const version = Flags.text({
  name: "version",
  placeholder: "VERSION",
  description: "the version to install; the newest of the channel unless given"
})

export const channel = Flags.argument("channel")

export const manifestBase = Flags.text({
  name: "manifest-base",
  placeholder: "URL",
  description: "where the channel's manifest is, too"
})

const word = (text: string | undefined): string => (text === undefined || text === "" ? "-" : printable(text))

/** Whether there is something newer, or why that is not known. */
export const stateOf = ({ currentVersion, error, latestVersion = "", updateAvailable }: UpdateStatus): string => {
  if (error !== undefined) return `unavailable (${printable(error)})`
  if (updateAvailable === true) return "update available"
  return latestVersion === currentVersion || latestVersion === "" ? "up to date" : "ahead of the channel"
}

/** The block of lines below a heading. */
export const block = (heading: string, status: UpdateStatus): string => {
  const { channel: of, currentVersion, last, latestVersion = "", manifestUrl } = status
  const state = stateOf(status)
  return [
    printable(heading),
    `  channel:         ${word(of)}`,
    `  manifest:        ${word(manifestUrl)}`,
    `  current version: ${word(currentVersion)}`,
    `  latest version:  ${latestVersion === "" ? state : `${word(latestVersion)}  (${state})`}`,
    ...(last === undefined ? [] : [`  last update:     ${printable(`${last.version}: ${last.text || last.state}`)}`])
  ].join("\n")
}
