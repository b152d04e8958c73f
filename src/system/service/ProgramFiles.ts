/**
 * The files of the program that is to be a service: which command line starts it, what it is read from, and whether a
 * user of its own could read that.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { ServiceError } from "./ServiceError.ts"
import { isHidden } from "./Unit.ts"

/** A program as it was started. */
export interface Started {
  /** Node's own binary. */
  readonly node: string
  /** What Node was given before the script. */
  readonly nodeArgs: ReadonlyArray<string>
  readonly script: string
}

export interface ProgramFiles {
  /** Starts the program; arguments follow. */
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly readsFrom: ReadonlyArray<string>
  /** The files of it that are read first; who can read these can most likely read the others. */
  readonly files: ReadonlyArray<string>
}

const realpath = (path: string): Effect.Effect<string> => Effect.promise(() => Fs.realpath(path).catch(() => path))

/** The folder with all that a script needs: where its package is, and the packages beside it. */
const rootOf = (script: string): string => {
  const parts = script.split(Path.sep)
  const at = parts.indexOf("node_modules")
  return at > 0 ? parts.slice(0, at + 1).join(Path.sep) : Path.dirname(Path.dirname(script))
}

/** The bundle that a launcher in bin loads. */
const bundleOf = (script: string): string =>
  Path.join(Path.dirname(Path.dirname(script)), "dist/programs", `${Path.basename(script)}.cjs`)

/**
 * How the program is started again. A link stays a link, so that what it leads to can be replaced, unless what it leads to
 * is hidden from services and has to be shown to them as it is.
 */
export const find = ({ node, nodeArgs, script }: Started): Effect.Effect<ProgramFiles> =>
  Effect.gen(function* () {
    const [realNode, realScript] = yield* Effect.all([realpath(node), realpath(script)])
    return {
      command: [
        isHidden(realNode) ? realNode : node,
        ...nodeArgs,
        isHidden(realScript) ? realScript : Path.resolve(script)
      ],
      readsFrom: [realNode, rootOf(realScript)],
      files: [realNode, realScript, bundleOf(realScript)]
    }
  })

/** How a copy in the service's own folder is started, which nobody else need be able to read. */
export const ofCopy = ({ node, nodeArgs }: Started, script: string): Effect.Effect<ProgramFiles> =>
  Effect.map(realpath(node), (realNode) => ({
    command: [isHidden(realNode) ? realNode : node, ...nodeArgs, script],
    readsFrom: [realNode],
    files: [realNode]
  }))

/** Every folder from the root of the file system to a path, and the path itself. */
const upTo = (path: string): ReadonlyArray<string> => {
  const parent = Path.dirname(path)
  return parent === path ? [path] : [...upTo(parent), path]
}

const OTHERS_READ = 0o004
const OTHERS_ENTER = 0o001

/**
 * The first file or folder on the way to a file that keeps other users out; undefined when none does, or
 * the file is not there. Those above `from` do not count.
 */
export const barrier = (file: string, from = "/"): Effect.Effect<string | undefined> =>
  Effect.promise(async () => {
    const real = await Fs.realpath(file).catch(() => file)
    for (const each of upTo(real)) {
      if (each.length < from.length) continue
      const stat = await Fs.stat(each).catch(() => undefined)
      if (stat === undefined) return undefined
      const needed = stat.isDirectory() ? OTHERS_ENTER : OTHERS_READ
      if ((stat.mode & needed) === 0) return each
    }
    return undefined
  })

/** Fails when a user of the service's own could not read the program; what is hidden is shown to it without its parents. */
export const readableByOthers = ({ files, readsFrom }: ProgramFiles): Effect.Effect<void, ServiceError> =>
  Effect.forEach(
    files,
    (file) =>
      Effect.gen(function* () {
        const shown = readsFrom.find((path) => isHidden(path) && (file === path || file.startsWith(`${path}/`)))
        const closed = yield* barrier(file, shown)
        if (closed === undefined) return
        return yield* new ServiceError({
          problem: `${closed} keeps out the service's own user, who has to read ${file}; run: chmod -R o+rX ${closed}`
        })
      }),
    { discard: true }
  )
