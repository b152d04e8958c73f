/** Where a test's programs live: the checkout they are started from, and loopback ports that nobody uses. */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

/** The checkout this file, or the bundle it was put into, belongs to. */
export const repositoryRoot: string = (() => {
  let folder = Path.dirname(fileURLToPath(import.meta.url))
  while (!Fs.existsSync(Path.join(folder, "package.json"))) {
    const parent = Path.dirname(folder)
    if (parent === folder) throw new Error("no package.json above this file")
    folder = parent
  }
  return folder
})()

/**
 * A port that was free a moment ago on that loopback address, for programs that cannot choose one themselves (sshd,
 * PostgreSQL).
 */
export const freePort = (host = "127.0.0.1"): Effect.Effect<number> =>
  Effect.async<number>((resume) => {
    const server = Net.createServer()
    server.listen(0, host, () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      server.close(() => resume(Effect.succeed(port)))
    })
  })
