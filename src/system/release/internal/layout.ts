/** What is in a release's archive: an installation with one version ({@link file://./../Pointer.ts} has the layout). */
import * as Schema from "effect/Schema"
import * as Pointer from "../Pointer.ts"
import * as ReleaseFile from "../ReleaseFile.ts"
import type { Entry } from "../Tar.ts"

/** The time of every file in it, so that the same build gives the same bytes: 1980, the first that all archivers know. */
export const SECONDS = 315_532_800

/** What package.json says of packages. */
export const Dependencies = Schema.Record({ key: Schema.String, value: Schema.String })

/** What cannot be bundled: installed, and built, beside the versions, which share it. */
const addons: Readonly<Record<ReleaseFile.ProgramName, ReadonlyArray<string>>> = {
  tela: [],
  telad: [],
  telahubd: ["better-sqlite3"]
}

export interface Parts {
  readonly release: ReleaseFile.ReleaseFile
  readonly bundle: Uint8Array
  readonly launch: Uint8Array
  readonly select: Uint8Array
  readonly license: Uint8Array
  readonly dependencies: Readonly<Record<string, string>>
  /** The license by its name. */
  readonly spdx: string
}

const launcher = (module: string, call: string, program: string): string =>
  `#!/usr/bin/env node\nimport { ${call} } from "./${module}"\n\nawait ${call}("${program}")\n`

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`

/** The files of an archive. */
export const entries = (parts: Parts): ReadonlyArray<Entry> => {
  const { release } = parts
  const { os, program, version } = release
  const home = program
  const within = `${home}/versions/${version}`
  const text = (path: string, content: string, executable = false): Entry => ({
    path,
    bytes: Buffer.from(content),
    executable
  })
  const file = (path: string, bytes: Uint8Array): Entry => ({ path, bytes, executable: false })
  const needed = addons[program].flatMap((name) => {
    const range = parts.dependencies[name]
    return range === undefined ? [] : [[name, range] as const]
  })
  const about = { name: program, private: true, license: parts.spdx, type: "module" }
  return [
    text(`${home}/bin/${program}`, launcher("select.mjs", "select", program), true),
    ...(os === "windows" ? [text(`${home}/bin/${program}.cmd`, `@node "%~dp0${program}" %*\r\n`)] : []),
    file(`${home}/bin/select.mjs`, parts.select),
    text(
      `${home}/package.json`,
      json({
        ...about,
        ...(needed.length > 0 && {
          dependencies: Object.fromEntries(needed),
          allowScripts: Object.fromEntries(needed.map(([name]) => [name, true]))
        })
      })
    ),
    text(`${home}/${Pointer.FILE_NAME}`, `${JSON.stringify({ folder: version } satisfies Pointer.Pointer)}\n`),
    text(`${within}/bin/${program}`, launcher("launch.mjs", "launch", program), true),
    file(`${within}/bin/launch.mjs`, parts.launch),
    file(`${within}/dist/programs/${program}.cjs`, parts.bundle),
    text(`${within}/package.json`, json({ ...about, version: version.slice(1) })),
    text(`${within}/${ReleaseFile.FILE_NAME}`, json(release)),
    file(`${within}/LICENSE`, parts.license)
  ]
}
