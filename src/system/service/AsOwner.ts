/**
 * Work in a service's folder with the rights of whoever owns it. What that one may have laid there, links that lead
 * elsewhere for instance, then leads nobody to what is not theirs, root included.
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Placing from "./Placing.ts"
import { ServiceError } from "./ServiceError.ts"

interface Rights {
  readonly uid: number
  readonly gid: number
  readonly groups: ReadonlyArray<number>
}

const set = ({ gid, groups, uid }: Rights): void => {
  // Only root may choose groups, so it becomes root first, or stops being it last.
  process.seteuid?.(0)
  process.setgroups?.([...groups])
  process.setegid?.(gid)
  process.seteuid?.(uid)
}

/**
 * Does it, and is given the folder's path. Root takes the owner's rights for so long, and goes into the folder: its owner
 * need not be able to come there. Nothing else may run meanwhile, since the rights are those of the whole process.
 */
export const within = <A, E, R>(
  folder: string,
  use: (path: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | ServiceError, R> =>
  Effect.gen(function* () {
    const owner = yield* Placing.ownerOf(folder)
    if (process.geteuid?.() !== 0 || owner.uid === 0) return yield* use(folder)
    const before = { uid: 0, gid: process.getegid?.() ?? 0, groups: process.getgroups?.() ?? [], cwd: process.cwd() }
    const real = yield* Placing.attempt(folder, () => Fs.realpath(folder))
    const restore = () => {
      set(before)
      process.chdir(before.cwd)
    }
    return yield* Effect.acquireUseRelease(
      Effect.try({
        try: () => {
          process.chdir(real)
          set({ ...owner, groups: [owner.gid] })
        },
        catch: () => {
          restore()
          return new ServiceError({
            problem: `${folder}: this root may not take the rights of its owner (${owner.uid})`
          })
        }
      }),
      () => use("."),
      () => Effect.sync(restore)
    )
  })
