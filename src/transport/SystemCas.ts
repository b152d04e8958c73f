/**
 * The certificate authorities that connections to hubs trust: those that Node brings, those of the system, those that
 * SSL_CERT_FILE and NODE_EXTRA_CA_CERTS name, and those that a person names. Node has a function for the system's only
 * from 22.15 on; before, the bundles of the usual systems are read.
 */
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CA_FILE_BYTES } from "../protocol/Limits.ts"

/** A file of certificates that cannot be used; the message names it. */
export class CaFileError extends Schema.TaggedError<CaFileError>()("CaFileError", {
  file: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.file} ${this.problem}`
  }
}

/** Where the systems keep their bundle: Debian, Fedora, openSUSE, Alpine and the BSDs, RHEL. The first that is there counts. */
const bundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
]

const problems = new Map([
  ["ENOENT", "is not there"],
  ["ENOTDIR", "is not there"],
  ["EACCES", "may not be read by this user"],
  ["EISDIR", "is a folder; name a file"]
])

const problemOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return "cannot be read"
  const code = "code" in cause ? String(cause.code) : ""
  return problems.get(code) ?? `cannot be read: ${cause.message}`
}

/** The certificates of a PEM file of at most CA_FILE_BYTES, one text each, not looked into. */
const certificatesIn = (file: string): Effect.Effect<ReadonlyArray<string>, CaFileError> =>
  Effect.gen(function* () {
    const text = yield* Effect.tryPromise({
      try: async () => {
        const handle = await Fs.open(file, "r")
        try {
          const { size } = await handle.stat()
          const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(size, CA_FILE_BYTES) + 1), 0)
          return bytesRead > CA_FILE_BYTES ? undefined : buffer.toString("latin1", 0, bytesRead)
        } finally {
          await handle.close()
        }
      },
      catch: (cause) => new CaFileError({ file, problem: problemOf(cause) })
    })
    if (text === undefined) {
      return yield* new CaFileError({
        file,
        problem: `is larger than ${CA_FILE_BYTES} bytes: name a file of certificates`
      })
    }
    return text.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END [A-Z0-9 ]+-----/g) ?? []
  })

/** The certificates of a file that somebody names. Each must be one: what is passed over here is missed much later. */
export const read = (file: string): Effect.Effect<ReadonlyArray<string>, CaFileError> =>
  Effect.gen(function* () {
    const certificates = yield* certificatesIn(file)
    if (certificates.length === 0) {
      return yield* new CaFileError({ file, problem: "holds no certificate; it is to hold the CA's, as PEM" })
    }
    yield* Effect.try({
      try: () => certificates.map((text) => new X509Certificate(text)),
      catch: () => new CaFileError({ file, problem: "holds a certificate that is damaged; copy it again" })
    })
    return certificates
  })

/** What Node tells of the system, where it can. */
const askNode = (): ReadonlyArray<string> => {
  if (!("getCACertificates" in Tls) || typeof Tls.getCACertificates !== "function") return []
  const answer: unknown = Tls.getCACertificates("system")
  return Array.isArray(answer) ? answer.filter((each) => typeof each === "string") : []
}

/** The system's certificates; none where there is no bundle that can be read. */
const ofSystem: Effect.Effect<ReadonlyArray<string>> = Effect.suspend(() => {
  const known = askNode()
  if (known.length > 0) return Effect.succeed(known)
  return Effect.orElseSucceed(Effect.firstSuccessOf(bundles.map(certificatesIn)), () => [])
})

/** Variables that name a file each, of what is trusted in place of the system's bundle and beside everything. */
const ofVariable = (env: Readonly<Record<string, string | undefined>>, name: string) => {
  const file = env[name]
  if (!file) return Effect.succeed(undefined)
  return Effect.mapError(read(file), ({ problem }) => new CaFileError({ file: `${name}: ${file}`, problem }))
}

/**
 * What TLS connections are made with: all of the above and `extra`, each certificate once. It takes some 40 ms, most of
 * it for reading 150 certificates, and serves all connections of a program.
 */
export const secureContext = (
  env: Readonly<Record<string, string | undefined>>,
  extra: ReadonlyArray<string>
): Effect.Effect<Tls.SecureContext, CaFileError> =>
  Effect.gen(function* () {
    const system = (yield* ofVariable(env, "SSL_CERT_FILE")) ?? (yield* ofSystem)
    // Node trusts these by itself only where nobody says what else to trust.
    const added = (yield* ofVariable(env, "NODE_EXTRA_CA_CERTS")) ?? []
    const all = new Map(
      [...Tls.rootCertificates, ...system, ...added, ...extra].map((pem) => [pem.replace(/\s/g, ""), pem])
    )
    return Tls.createSecureContext({ ca: [...all.values()] })
  })
