/**
 * A service as a property list of launchd (launchd.plist(5)): a daemon of the system, or an agent of one user. Pure.
 *
 * A daemon runs as root: macOS makes no users for services.
 */
import * as Either from "effect/Either"
import { SERVICE_STOP_MARGIN } from "../../protocol/Limits.ts"
import { check, type Definition, mark } from "./Definition.ts"
import * as Quoting from "./Quoting.ts"
import type { ServiceError } from "./ServiceError.ts"

/** What launchd calls a service. */
export const label = (name: string): string => `com.tela.${name}`

const text = (value: string): string => `<string>${Quoting.xml(value)}</string>`

/** The text of the property list; fails when launchd cannot be told what is in the definition. */
export const plist = (definition: Definition): Either.Either<string, ServiceError> =>
  Either.gen(function* () {
    const { command, environment, folder, leavesWithin, logFile, name, program } = definition
    yield* check(definition)
    const variables = Object.entries(environment).flatMap(([key, value]) => [
      `    <key>${Quoting.xml(key)}</key>`,
      `    ${text(value)}`
    ])
    return [
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
      `<!-- ${mark(program)} -->`,
      '<plist version="1.0">',
      "<dict>",
      "  <key>Label</key>",
      `  ${text(label(name))}`,
      "  <key>ProgramArguments</key>",
      "  <array>",
      ...command.map((word) => `    ${text(word)}`),
      "  </array>",
      "  <key>EnvironmentVariables</key>",
      "  <dict>",
      ...variables,
      "  </dict>",
      "  <key>WorkingDirectory</key>",
      `  ${text(folder)}`,
      "  <key>RunAtLoad</key>",
      "  <true/>",
      // Whatever ends with another exit code than 0 is started again: a crash, and a program that asks for it.
      "  <key>KeepAlive</key>",
      "  <dict>",
      "    <key>SuccessfulExit</key>",
      "    <false/>",
      "  </dict>",
      "  <key>ThrottleInterval</key>",
      "  <integer>2</integer>",
      "  <key>ExitTimeOut</key>",
      `  <integer>${Math.ceil((leavesWithin + SERVICE_STOP_MARGIN) / 1000)}</integer>`,
      // Without limits on processor and disk, as it is others that wait for what it carries.
      "  <key>ProcessType</key>",
      "  <string>Interactive</string>",
      "  <key>Umask</key>",
      "  <integer>63</integer>",
      ...["StandardOutPath", "StandardErrorPath"].flatMap((key) =>
        logFile === undefined ? [] : [`  <key>${key}</key>`, `  ${text(logFile)}`]
      ),
      "</dict>",
      "</plist>",
      ""
    ].join("\n")
  })
