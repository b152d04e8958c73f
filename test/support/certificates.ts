/** Certificates for tests, made by openssl: a CA of one's own, and what it vouches for. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { temporaryFolder } from "./temporaryFolder.ts"

export interface Certificates {
  readonly folder: string
  /** The file of the CA, whose name is "Example Inspection CA". */
  readonly ca: string
  /** The certificate and key of a server, for the names that were asked for. */
  readonly cert: Buffer
  readonly key: Buffer
}

/** `names` as openssl takes them, such as `DNS:hub.test,IP:127.0.0.1`. */
export const make = (names: string): Effect.Effect<Certificates, never, Scope.Scope> =>
  Effect.map(temporaryFolder, (folder) => {
    const openssl = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { cwd: folder, stdio: "ignore" })
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    const subject = "/O=Example/CN=Example Inspection CA"
    openssl("req", "-x509", ...key, "-subj", subject, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", ...key, "-subj", "/CN=server", "-keyout", "key.pem", "-out", "csr.pem")
    const file = (name: string) => Path.join(folder, name)
    Fs.writeFileSync(file("names"), `subjectAltName=${names}\n`)
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    openssl("x509", "-req", "-in", "csr.pem", ...signed, "-days", "2", "-out", "cert.pem")
    return {
      folder,
      ca: file("ca.pem"),
      cert: Fs.readFileSync(file("cert.pem")),
      key: Fs.readFileSync(file("key.pem"))
    }
  })
