import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CA_FILE_BYTES } from "../../src/protocol/Limits.ts"
import * as HubNetwork from "../../src/transport/HubNetwork.ts"
import * as SystemCas from "../../src/transport/SystemCas.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

const [first = "", second = ""] = Tls.rootCertificates

describe("SystemCas", () => {
  it.scopedLive("reads the certificates of a file, with whatever stands around them", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "ca.pem")
      Fs.writeFileSync(file, `# the first\r\n${first.replaceAll("\n", "\r\n")}\r\nsubject=x\n${second}`)
      assert.lengthOf(yield* SystemCas.read(file), 2)
    })
  )

  it.scopedLive.each([
    ["", "holds no certificate; it is to hold the CA's, as PEM"],
    [
      "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n",
      "holds no certificate; it is to hold the CA's, as PEM"
    ],
    [`${first}\n${second.replace(/^MII/m, "AII")}`, "holds a certificate that is damaged; copy it again"],
    ["x".repeat(CA_FILE_BYTES + 1), `is larger than ${CA_FILE_BYTES} bytes: name a file of certificates`]
  ] as const)("names a file that is none (%#)", ([text, problem]) =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "ca.pem")
      Fs.writeFileSync(file, text)
      assert.strictEqual((yield* Effect.flip(SystemCas.read(file))).message, `${file} ${problem}`)
    })
  )

  it.scopedLive("names a file that is not there, and a folder", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const problem = (file: string) => Effect.map(Effect.flip(SystemCas.read(file)), (error) => error.problem)
      assert.strictEqual(yield* problem(Path.join(folder, "none")), "is not there")
      assert.strictEqual(yield* problem(folder), "is a folder; name a file")
    })
  )

  it.scopedLive("makes one context for a program, when it is first asked for, and again after a failure", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "ca.pem")
      const { trust } = HubNetwork.make({ SSL_CERT_FILE: file })
      assert.strictEqual((yield* Effect.flip(trust)).message, `SSL_CERT_FILE: ${file} is not there`)
      Fs.writeFileSync(file, first)
      const made = yield* trust
      assert.isDefined(made)
      Fs.rmSync(file)
      assert.strictEqual(yield* trust, made)
    })
  )
})
