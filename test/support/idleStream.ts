/** A service that takes everything and says nothing. */
import type { ByteStream } from "../../src/transport/ByteStream.ts"

export const idleStream = (): ByteStream => ({
  write: () => true,
  end: () => {},
  reset: () => {},
  pause: () => {},
  resume: () => {},
  attach: () => {}
})
