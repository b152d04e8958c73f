/** Carriers that differ in one thing from another one. */
import type { Carrier } from "../../src/transport/Carrier.ts"

/** A carrier as plain functions, to be spread. */
export const bound = (carrier: Carrier): Carrier => ({
  get peer() {
    return carrier.peer
  },
  get buffered() {
    return carrier.buffered
  },
  get isClosed() {
    return carrier.isClosed
  },
  send: (message) => carrier.send(message),
  sendText: (message) => carrier.sendText(message),
  receive: (receiver) => carrier.receive(receiver),
  pause: () => carrier.pause(),
  resume: () => carrier.resume(),
  close: (code, reason) => carrier.close(code, reason),
  revoke: (code, reason) => carrier.revoke(code, reason),
  terminate: () => carrier.terminate()
})

/** A carrier whose first message passes, and whose later ones are under way until they are released. */
export const holding = (carrier: Carrier): { readonly late: Carrier; readonly release: () => void } => {
  const held: Array<() => void> = []
  let sent = 0
  return {
    late: {
      ...bound(carrier),
      send: (message) => {
        if (sent++ === 0) return carrier.send(message)
        held.push(() => void carrier.send(message))
        return true
      }
    },
    release: () => {
      for (const pass of held.splice(0)) pass()
    }
  }
}
