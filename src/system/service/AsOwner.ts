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

/** Takes rights, which are those of root or of somebody whom root may be. */
const take = ({ gid, groups, uid }: Rights): void => {
  // Only root may choose groups, so it becomes root first, and stops being it last.
  process.seteuid?.(0)
  process.setgroups?.([...groups])
  process.setegid?.(gid)
  process.seteuid?.(uid)
}

/** Gives them back, each as far as it was taken: what root may not take it need not give back. */
const giveBack = ({ cwd, gid, groups }: Before): void => {
  const steps = [
    () => process.seteuid?.(0),
    () => process.setegid?.(gid),
    () => process.setgroups?.([...groups]),
    () => cwd !== undefined && process.chdir(cwd)
  ]
  for (const step of steps) {
    try {
      step()
    } catch {
      // It is as it was, then.
    }
  }
}

/** What root had; no folder, when it is in one that is gone. */
interface Before {
  readonly gid: number
  readonly groups: ReadonlyArray<number>
  readonly cwd: string | undefined
}

const now = (): Before => {
  const rights = { gid: process.getegid?.() ?? 0, groups: process.getgroups?.() ?? [] }
  try {
    return { ...rights, cwd: process.cwd() }
  } catch {
    return { ...rights, cwd: undefined }
  }
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
    const before = now()
    const real = yield* Placing.attempt(folder, () => Fs.realpath(folder))
    return yield* Effect.acquireUseRelease(
      Effect.try({
        try: () => {
          process.chdir(real)
          take({ ...owner, groups: [owner.gid] })
        },
        catch: () => {
          giveBack(before)
          return new ServiceError({
            problem: `${folder}: this root may not take the rights of its owner (${owner.uid})`
          })
        }
      }),
      () => use("."),
      () => Effect.sync(() => giveBack(before))
    )
  })
