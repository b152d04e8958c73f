/**
 * A {@link Tunnel} of a link and a mux, not yet in a carrier. It ends with the scope.
 */
import { performance } from "node:perf_hooks"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import { LINK_STREAMS, LINK_TICK } from "../protocol/Limits.ts"
import { ResetCode, StreamReset } from "../protocol/StreamReset.ts"
import type { KeepAccount, Linger } from "./KeepBudget.ts"
import { Link } from "./Link.ts"
import { Mux } from "./Mux.ts"
import type { Incoming, Tunnel, TunnelClosed } from "./Tunnel.ts"

const cancelled = new StreamReset({ code: ResetCode.cancelled, reason: "no longer wanted" })

/** All links of the program, and the one ticker that looks at them while there is any. */
const links = new Set<Link>()
let ticker: NodeJS.Timeout | undefined

const watch = (link: Link) => {
  links.add(link)
  ticker ??= setInterval(() => {
    for (const each of links) each.tick()
  }, LINK_TICK).unref()
}

const unwatch = (link: Link) => {
  links.delete(link)
  if (links.size > 0) return
  clearInterval(ticker)
  ticker = undefined
}

export const make = (options: {
  readonly initiator: boolean
  /** What may be kept for another carrier; without it the tunnel ends with its first one. */
  readonly account: KeepAccount | undefined
  /** Memory for what is still to be delivered after its end; without it, as much as there is. */
  readonly linger?: Linger | undefined
}): Effect.Effect<{ readonly tunnel: Tunnel; readonly link: Link }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { account, initiator, linger } = options
    const closed = yield* Deferred.make<TunnelClosed>()
    // Bounded by LINK_STREAMS: the mux refuses further streams while that many are unanswered.
    const incoming = yield* Mailbox.make<Incoming, TunnelClosed>(LINK_STREAMS)
    /** Why there is no carrier, who waits to hear it, and who waits for another one. */
    let lost: TunnelClosed | undefined
    const losers = new Set<(how: TunnelClosed) => void>()
    const finders = new Set<() => void>()
    const mux = new Mux({
      initiator,
      linger,
      link: (source) => new Link({ source, now: () => performance.now(), account }),
      incoming: (stream) => void incoming.unsafeOffer(stream),
      attached: () => {
        lost = undefined
        for (const finder of finders) finder()
        finders.clear()
      },
      detached: (how) => {
        lost = how
        for (const loser of losers) loser(how)
        losers.clear()
      },
      closed: (how) => {
        unwatch(mux.link)
        incoming.unsafeDone(Exit.fail(how))
        Deferred.unsafeDone(closed, Effect.succeed(how))
      }
    })
    watch(mux.link)
    yield* Effect.addFinalizer(() => Effect.sync(() => mux.close("the program ended the session")))
    const end = Effect.flatMap(Deferred.await(closed), (how) => Effect.fail(how))
    const tunnel: Tunnel = {
      open: (target) =>
        Effect.async((resume) => {
          const stream = mux.open(target, {
            accepted: (accepted) => resume(Effect.succeed(accepted)),
            refused: (reset) => resume(Effect.fail(reset))
          })
          return Effect.sync(() => stream?.reset(cancelled))
        }),
      accept: Effect.catchTag(incoming.take, "NoSuchElementException", () => end),
      closed: Deferred.await(closed),
      detached: Effect.async((resume) => {
        if (lost !== undefined) return resume(Effect.succeed(lost))
        const loser = (how: TunnelClosed) => resume(Effect.succeed(how))
        losers.add(loser)
        return Effect.sync(() => losers.delete(loser))
      }),
      attached: Effect.async((resume) => {
        if (mux.link.isAttached) return resume(Effect.void)
        const finder = () => resume(Effect.void)
        finders.add(finder)
        return Effect.sync(() => finders.delete(finder))
      }),
      isAttached: () => mux.link.isAttached,
      close: (reason) => mux.close(reason),
      abandon: (reason) => mux.abandon(reason),
      revoke: (reason) => mux.revoke(reason),
      held: () => mux.held
    }
    return { tunnel, link: mux.link }
  })
