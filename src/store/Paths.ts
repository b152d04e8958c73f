/**
 * Where the programs keep their files (spec: cli 0.4). Everything of one user lives in one folder, which TELA_HOME moves
 * as a whole; system-wide files live where the operating system wants them.
 */
import * as Os from "node:os"
import * as Path from "node:path"

type Env = Readonly<Record<string, string | undefined>>

/** The user's state folder: $TELA_HOME, else `~/.tela`; on Windows `%APPDATA%\tela` where APPDATA is set. */
export const stateFolder = (env: Env = process.env, platform: string = process.platform): string => {
  if (env["TELA_HOME"]) return Path.resolve(env["TELA_HOME"])
  const home = env["HOME"] || Os.homedir()
  if (platform === "win32") {
    return env["APPDATA"] ? Path.win32.join(env["APPDATA"], "tela") : Path.win32.join(home, ".tela")
  }
  return Path.join(home, ".tela")
}

/** The folder of files that belong to the machine and not to a user: $TELA_SYSTEM, else `/etc/tela` or `%ProgramData%\Tela`. */
export const systemFolder = (env: Env = process.env, platform: string = process.platform): string => {
  if (env["TELA_SYSTEM"]) return Path.resolve(env["TELA_SYSTEM"])
  return platform === "win32" ? Path.win32.join(env["ProgramData"] || "C:\\ProgramData", "Tela") : "/etc/tela"
}

/** The client's long-term key, in its state folder. */
export const clientKeyFile = (folder: string): string => Path.join(folder, "identity.key")

/** The client's pins, in its state folder. */
export const knownMachinesFile = (folder: string): string => Path.join(folder, "known_machines.yaml")

/** Tokens and pins of hubs, in the user's or the system's folder. */
export const credentialsFile = (folder: string): string => Path.join(folder, "credentials.yaml")

/** The agent's long-term key: beside its configuration, or in the state folder when it has none. */
export const agentKeyFile = (folder: string): string => Path.join(folder, "telad.key")

/** The agent's registration ids: beside its configuration, or in the state folder when it has none. */
export const agentStateFile = (folder: string): string => Path.join(folder, "telad.state")
