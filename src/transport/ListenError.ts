/** A TCP port of this machine that could not be listened on. */
import * as Schema from "effect/Schema"

/** `code` is Node's: EADDRINUSE, EACCES, EADDRNOTAVAIL ... An empty host is every address. */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  code: Schema.String,
  host: Schema.String,
  port: Schema.Number
}) {
  override get message(): string {
    switch (this.code) {
      case "EADDRINUSE":
        return `port ${this.port} is taken`
      case "EACCES":
        return `port ${this.port} needs rights that this user lacks`
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return `this machine has no address ${this.host}`
      default:
        return `cannot listen on ${this.host || "any address"} port ${this.port} (${this.code})`
    }
  }
}

/** From what a server's `error` event says. */
export const listenError = (error: Error, address: { readonly host: string; readonly port: number }): ListenError =>
  new ListenError({
    code: "code" in error ? String(error.code) : error.message,
    host: address.host,
    port: address.port
  })
