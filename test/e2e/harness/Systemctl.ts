/**
 * A `systemctl` and a `systemd-notify` that only write down what they are told, for a shell of a computer on which systemd
 * seems to run. What the real one would start, a test starts itself from the unit.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { started } from "../../support/unitFile.ts"
import * as Program from "./Program.ts"
import * as Typed from "./Typed.ts"

export interface Computer {
  readonly typed: Typed.Typed
  /** Variables of every command typed there. */
  readonly env: Readonly<Record<string, string>>
  /** What `systemctl` was told since this was last asked. */
  readonly told: () => ReadonlyArray<string>
  /** What `systemd-notify` was told so far. */
  readonly notified: () => string
  /** The folder of the machine, and the text of a unit. */
  readonly system: string
  readonly unit: (name: string) => string
  /** Starts what the unit says, as systemd would: with its variables and none of ours. */
  readonly start: (
    name: string,
    env?: Readonly<Record<string, string>>
  ) => Effect.Effect<Program.Program, Program.ProgramFailed, Scope.Scope>
}

const systemctl = (folder: string) => `#!/bin/sh
echo "$@" >>'${folder}/told'
case "$*" in
  "show --property=Version"*) echo 252 ;;
  "show --property=ActiveState"*) printf 'ActiveState=inactive\\nSubState=dead\\nUnitFileState=enabled\\nMainPID=0\\n' ;;
esac
`

/** A computer with a system of its own; `replacements` as in {@link Typed.make}. */
export const make = (
  replacements: Readonly<Record<string, string>> = {}
): Effect.Effect<Computer, never, Scope.Scope> =>
  Effect.map(Typed.make(replacements), (typed) => {
    const { home } = typed
    const folder = Path.join(home, "fake")
    Fs.mkdirSync(folder)
    for (const name of ["told", "notified"]) Fs.writeFileSync(Path.join(folder, name), "")
    Fs.writeFileSync(Path.join(folder, "systemctl"), systemctl(folder), { mode: 0o755 })
    Fs.writeFileSync(
      Path.join(folder, "systemd-notify"),
      `#!/bin/sh\nprintf '%s|' "$@" >>'${folder}/notified'\necho >>'${folder}/notified'\n`,
      { mode: 0o755 }
    )
    const { PATH = "" } = typed.command("").env ?? {}
    const env = {
      PATH: `${folder}:${PATH}`,
      TELA_SYSTEM: Path.join(home, "system"),
      SYSTEMD_UNIT_PATH: Path.join(home, "units")
    }
    const read = (name: string) => Fs.readFileSync(Path.join(folder, name), "utf8")
    const unit = (name: string) => Fs.readFileSync(Path.join(home, "units", `${name}.service`), "utf8")
    return {
      typed,
      env,
      told: () => {
        const lines = read("told").split("\n").slice(0, -1)
        Fs.writeFileSync(Path.join(folder, "told"), "")
        return lines
      },
      notified: () => read("notified"),
      system: env.TELA_SYSTEM,
      unit,
      start: (name, more = {}) =>
        Effect.suspend(() => {
          const { args, command, env: variables } = started(unit(name))
          return Program.start({
            name: `ExecStart of ${name}`,
            command,
            args,
            cwd: "/",
            env: { PATH: `${folder}:/usr/bin:/bin`, NOTIFY_SOCKET: "/nowhere", ...variables, ...more }
          })
        })
    }
  })
