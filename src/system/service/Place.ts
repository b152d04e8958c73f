/**
 * Where a service keeps what belongs to it, by operating system (spec: cli 0.4, 5.9). Pure.
 *
 * Its folder holds configuration, key and state together, and nobody else's: it is the one that the service writes.
 */
import * as Os from "node:os"
import * as Path from "node:path"
import * as Paths from "../../store/Paths.ts"
import type { RunsAs, ServiceProgram, ServiceScope } from "./Definition.ts"
import { label } from "./Plist.ts"

type Env = Readonly<Record<string, string | undefined>>

/** Which service is meant, on which computer. */
export interface Which {
  readonly program: ServiceProgram
  readonly name: string
  readonly scope: ServiceScope
  readonly env: Env
  /** Node's name of the operating system. */
  readonly platform: string
}

/** Where it is. */
export interface Place {
  readonly folder: string
  /** The configuration in it. */
  readonly configFile: string
  /** What the service manager reads. */
  readonly definitionFile: string
  /** Variables for the service that people set. */
  readonly environmentFile: string
  /** Where its log goes, if the service manager keeps none. */
  readonly logFile: string | undefined
  /** Where a hub's commands look for its file, if that is elsewhere: a link there leads to the configuration. */
  readonly link: string | undefined
  /** The folder under /var/lib that systemd gives to the service's own user. */
  readonly stateDirectory: string | undefined
}

const home = (env: Env): string => env["HOME"] || Os.homedir()

const pathOf = (platform: string): Path.PlatformPath => (platform === "win32" ? Path.win32 : Path)

/** systemd reads units from here; SYSTEMD_UNIT_PATH is its own variable for it. */
const unitFolder = ({ env, scope }: Which): string => {
  const [given] = (env["SYSTEMD_UNIT_PATH"] ?? "").split(":")
  if (given) return given
  if (scope === "system") return "/etc/systemd/system"
  return Path.join(env["XDG_CONFIG_HOME"] || Path.join(home(env), ".config"), "systemd/user")
}

const definitionFile = (which: Which, folder: string): string => {
  const { env, name, platform, scope } = which
  if (platform === "win32") return Path.win32.join(folder, `${name}.xml`)
  if (platform !== "darwin") return Path.join(unitFolder(which), `${name}.service`)
  const library = scope === "system" ? "/Library/LaunchDaemons" : Path.join(home(env), "Library/LaunchAgents")
  return Path.join(library, `${label(name)}.plist`)
}

/** Where a service is, or is to be. */
export const of = (which: Which): Place => {
  const { env, name, platform, program, scope } = which
  const path = pathOf(platform)
  const isSystem = scope === "system"
  const systemFolder = Paths.systemFolder(env, platform)
  // A folder that somebody chose belongs to whom they give it to; the usual one systemd looks after.
  const isOwn = isSystem && platform === "linux" && !env["TELA_SYSTEM"]
  const above = isSystem ? systemFolder : Paths.stateFolder(env, platform)
  const folder = isOwn ? `/var/lib/tela/${name}` : path.join(above, name)
  const configFile = path.join(folder, `${program}.yaml`)
  const logs = isSystem ? "/var/log" : Path.join(home(env), "Library/Logs/tela")
  return {
    folder,
    configFile,
    definitionFile: definitionFile(which, folder),
    environmentFile: path.join(above, `${name}.env`),
    logFile: platform === "darwin" ? path.join(logs, `${name}.log`) : undefined,
    link: isSystem && name === "telahubd" ? path.join(systemFolder, "telahubd.yaml") : undefined,
    stateDirectory: isOwn ? `tela/${name}` : undefined
  }
}

/** Whose rights a service has that is to be at a place; `owner` is the owner of its folder where systemd makes none. */
export const runsAs = (place: Place, owner: { readonly uid: number; readonly gid: number }): RunsAs =>
  place.stateDirectory === undefined
    ? { _tag: "Owner", uid: owner.uid, gid: owner.gid }
    : { _tag: "Own", stateDirectory: place.stateDirectory }
