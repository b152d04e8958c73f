/**
 * A service as a unit of systemd, which may do what its program needs and no more (systemd.exec(5)). Pure.
 *
 * A system service runs as a user that systemd makes for it (DynamicUser=) and to whom it gives the service's folder
 * under /var/lib; a user of the service's name that exists is taken instead. All else is read-only to it, and homes are
 * hidden. MemoryDenyWriteExecute= is missing because V8 compiles as it runs.
 */
import * as Either from "effect/Either"
import {
  SERVICE_START_MARGIN,
  SERVICE_STOP_MARGIN,
  SERVICE_WATCHDOG,
  UPDATE_LOCK_PATIENCE
} from "../../protocol/Limits.ts"
import { check, type Definition, mark } from "./Definition.ts"
import * as Quoting from "./Quoting.ts"
import { ServiceError } from "./ServiceError.ts"

/** The program ends with this when it asks to be started again, and with this when its command line is wrong (docs/cli.md). */
const exitCodes = { restart: 75, usage: 2 }

/** systemd runs no program whose path holds these, however they are quoted. */
const isProgram = (path: string): boolean => path.startsWith("/") && !/["'\\]/.test(path)

const isHome = (path: string): boolean => /^\/(home|root|run\/user)(\/|$)/.test(path)

/** What a system service does not see unless it is told otherwise. */
export const isHidden = (path: string): boolean => isHome(path) || /^\/(var\/)?tmp(\/|$)/.test(path)

const seconds = (millis: number): number => Math.ceil(millis / 1000)

/** What systemd can keep from any service, also one of a user. */
const forAll = [
  "NoNewPrivileges=yes",
  "LockPersonality=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "RestrictNamespaces=yes",
  // systemd-notify needs AF_UNIX, and the system's resolver AF_NETLINK.
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
  "SystemCallErrorNumber=EPERM",
  "UMask=0077"
]

/** What it can keep from a service of the system only. */
const forSystem = [
  "ProtectSystem=strict",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "ProtectKernelTunables=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelLogs=yes",
  "ProtectControlGroups=yes",
  "ProtectClock=yes",
  "ProtectHostname=yes",
  "ProtectProc=invisible",
  "RemoveIPC=yes",
  "KeyringMode=private"
]

const user = ({ folder, runsAs }: Definition): ReadonlyArray<string> =>
  runsAs._tag === "Own"
    ? ["DynamicUser=yes", `StateDirectory=${Quoting.unitWord(runsAs.stateDirectory)}`, "StateDirectoryMode=0700"]
    : [
        `User=${runsAs.uid}`,
        `Group=${runsAs.gid}`,
        `${isHidden(folder) ? "BindPaths" : "ReadWritePaths"}=${Quoting.unitWord(folder)}`
      ]

const capabilities = ({ lowPorts }: Definition): ReadonlyArray<string> => {
  const kept = lowPorts ? "CAP_NET_BIND_SERVICE" : ""
  return [`AmbientCapabilities=${kept}`, `CapabilityBoundingSet=${kept}`]
}

const homes = ({ folder, readsFrom, runsAs }: Definition): ReadonlyArray<string> => {
  const needed = runsAs._tag === "Owner" ? [folder, ...readsFrom] : readsFrom
  return [
    `ProtectHome=${needed.some(isHome) ? "tmpfs" : "yes"}`,
    ...readsFrom.filter(isHidden).map((path) => `BindReadOnlyPaths=${Quoting.unitWord(path)}`)
  ]
}

/** The text of the unit; fails when systemd cannot be told what is in the definition. */
export const unit = (definition: Definition): Either.Either<string, ServiceError> => {
  const { command, description, environment, environmentFile, leavesWithin, name, program, scope } = definition
  const isSystem = scope === "system"
  const variables = Object.entries(environment).map(([key, value]) => Quoting.unitWord(`${key}=${value}`))
  const lines = [
    `# ${mark(program)}`,
    `# What is to differ goes into a file of its own: systemctl ${isSystem ? "" : "--user "}edit ${name}`,
    "",
    "[Unit]",
    `Description=${Quoting.unitText(description)}`,
    ...(isSystem ? ["Wants=network-online.target", "After=network-online.target"] : []),
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=notify",
    "# It speaks through systemd-notify, which is another process.",
    "NotifyAccess=all",
    "# After the colon $ means nothing.",
    `ExecStart=:${command.map(Quoting.unitWord).join(" ")}`,
    ...variables.map((variable) => `Environment=${variable}`),
    `EnvironmentFile=-${Quoting.unitText(environmentFile)}`,
    `WatchdogSec=${seconds(SERVICE_WATCHDOG)}`,
    "Restart=always",
    "RestartSec=1",
    `RestartForceExitStatus=${exitCodes.restart}`,
    `RestartPreventExitStatus=${exitCodes.usage}`,
    `SuccessExitStatus=${exitCodes.restart}`,
    "KillMode=mixed",
    `TimeoutStartSec=${seconds(UPDATE_LOCK_PATIENCE + SERVICE_START_MARGIN)}`,
    `TimeoutStopSec=${seconds(leavesWithin + SERVICE_STOP_MARGIN)}`,
    `SyslogIdentifier=${name}`,
    "",
    ...(isSystem ? [...user(definition), ...capabilities(definition), ...homes(definition), ...forSystem] : []),
    ...forAll,
    "",
    "[Install]",
    `WantedBy=${isSystem ? "multi-user.target" : "default.target"}`,
    ""
  ]
  return Either.flatMap(check(definition), () =>
    isProgram(command[0])
      ? Either.right(lines.join("\n"))
      : Either.left(
          new ServiceError({ problem: `systemd runs no program whose path holds quotes or backslashes: ${command[0]}` })
        )
  )
}
