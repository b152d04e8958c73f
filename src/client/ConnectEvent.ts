/** What a running client has to say, for a command line or another program to show. Plain data, no Effects. */

/** One bound service, as a row of "Services available:". */
export interface BoundService {
  /** The local port, on 127.0.0.1 and, where the machine has it, on ::1. */
  readonly local: number
  /** The port on the machine's side. */
  readonly remote: number
  /** The service's advertised name, or the label of its port. */
  readonly label: string
  readonly machine: string
}

export type ConnectEvent =
  /** A session stands; again, when it is not the first. */
  | {
      readonly _tag: "Connected"
      readonly machine: string
      readonly fingerprint: string
      readonly principal: string | undefined
      /** The pin was made now, at the first use: people should compare it. */
      readonly firstUse: boolean
      readonly again: boolean
      /** It goes on where the one before was, with so many connections that have waited for it. */
      readonly resumed: boolean
      readonly carried: number
    }
  /** The listeners are up; said once. */
  | { readonly _tag: "Bound"; readonly services: ReadonlyArray<BoundService> }
  /** The session ended, or could not be opened; the next try is in `retryIn` milliseconds. */
  | {
      readonly _tag: "Reconnecting"
      readonly machine: string
      readonly reason: string
      readonly retryIn: number
      /** A session ended; false when none could be opened. */
      readonly lost: boolean
      /** Connections that wait for the next one, and go on in it if it comes in time. */
      readonly waiting: number
    }
  /** The session stands, and is to go on elsewhere in `retryIn` milliseconds, because the hub is about to stop or keys are due. */
  | { readonly _tag: "Moving"; readonly machine: string; readonly retryIn: number }
  /** A local connection was reset because the other end would not, or could not, serve it. */
  | {
      readonly _tag: "StreamRefused"
      readonly machine: string
      readonly service: string
      readonly local: number
      readonly reason: string
    }
  /** A local connection is over. */
  | {
      readonly _tag: "StreamEnded"
      readonly machine: string
      readonly service: string
      readonly local: number
      /** Bytes from the local program to the service, and back. */
      readonly sent: number
      readonly received: number
      /** Why it was reset; undefined when both sides finished. */
      readonly reason: string | undefined
    }

/** Takes events as they happen; must not throw and should return at once. */
export type OnConnectEvent = (event: ConnectEvent) => void
