/**
 * The flag that says whom a program trusts on its way to hubs. It is read before the command runs, as the variables for
 * proxies and certificates are, because every connection that the command makes goes by it.
 */
import * as Path from "node:path"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HubNetwork from "../transport/HubNetwork.ts"
import { WrongUsage } from "./Failure.ts"
import * as Flags from "./Flags.ts"

/** For the commands that talk to hubs. */
export const ca = Flags.text({
  name: "ca",
  placeholder: "FILE",
  description: "CA certificates to trust too, PEM",
  env: "TELA_CA"
})

/** The network of a command that takes `flags`, in a process with that environment and folder. */
export const network = Effect.fnUntraced(function* (
  flags: ReadonlyArray<Flags.FlagInfo>,
  given: ReadonlyMap<string, string>,
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> }
): Effect.fn.Return<Context.Tag.Service<typeof HubNetwork.HubNetwork>, WrongUsage> {
  const named = flags.includes(ca.info) ? yield* Flags.decodeFlag(ca, given.get("ca")) : Option.none()
  if (Option.isNone(named)) return HubNetwork.make(env)
  const SystemCas = yield* Effect.promise(() => import("../transport/SystemCas.ts"))
  const cas = yield* Effect.mapError(
    SystemCas.read(Path.resolve(cwd, named.value)),
    ({ message }) => new WrongUsage({ message: `${given.has("ca") ? "-ca" : "TELA_CA"}: ${message}` })
  )
  return HubNetwork.make(env, cas)
})
