/** What a server says of a channel, and a server that lies: refused, whatever it is, before anything else is asked of it. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Ed25519 from "../../../src/crypto/Ed25519.ts"
import { none } from "../../../src/store/UpdateSettings.ts"
import type { Refusal } from "../../../src/system/release/Decision.ts"
import * as Look from "../../../src/system/release/Look.ts"
import * as Manifest from "../../../src/system/release/Manifest.ts"
import type { ReleaseFile } from "../../../src/system/release/ReleaseFile.ts"
import * as Signed from "../../../src/system/release/Signed.ts"
import * as Update from "../../../src/system/release/Update.ts"
import type { UpdateRefused, UpdateRequest } from "../../../src/system/release/Updater.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { BASE, type Exchange, folderOrigin, key, release } from "./made.ts"

const NOW = Date.parse("2027-01-31T12:00:00Z")
const LATER = NOW + 24 * 3_600_000

const installed: ReleaseFile = {
  program: "telad",
  version: "v1.0.0",
  ...Update.machine,
  channel: "stable",
  key: key.publicKey.text
}

const sources = { stable: BASE, beta: BASE }

interface Asked extends UpdateRequest {
  readonly is?: Partial<ReleaseFile>
  readonly allowDowngrade?: boolean
  readonly key?: string
}

/** What an agent of v1.0.0 makes of what is served. */
const look = (
  folder: string,
  { allowDowngrade = false, is = {}, key: other, ...asked }: Asked = {},
  exchanged: ReadonlyMap<string, Uint8Array> | Exchange = new Map()
) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(NOW)
    const about = { ...installed, ...is }
    const place = yield* Look.place(asked, { ...none, sources, key: other }, about)
    const subject = yield* Update.subjectOf(about)
    const { decision } = yield* Effect.provide(
      Look.look(place, subject, { allowDowngrade }),
      folderOrigin(folder, typeof exchanged === "function" ? exchanged : (name) => exchanged.get(name)).layer
    )
    return yield* decision
  })

const why = (
  looked: Effect.Effect<unknown, UpdateRefused | Refusal, Scope.Scope>
): Effect.Effect<string, unknown, Scope.Scope> => Effect.map(Effect.flip(looked), ({ message }) => message)

/** A channel's folder with releases in it, the last of which is the newest. */
const channel = (...releases: ReadonlyArray<Omit<Parameters<typeof release>[1], "expires" | "publishedAt">>) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    for (const each of releases) {
      yield* release(folder, { publishedAt: NOW - 1_000, expires: { head: LATER, version: LATER }, ...each })
    }
    return folder
  })

const read = (folder: string, name: string) => Fs.readFileSync(Path.join(folder, name))

describe("a channel", () => {
  it.scoped("offers what is newer, and says so of what is not", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const newer = yield* look(folder)
      assert(newer._tag === "Install")
      assert.strictEqual(newer.candidate.file, `telad-v1.1.0-${Update.machine.os}-${Update.machine.arch}.tar.gz`)
      assert.strictEqual((yield* look(folder, { version: "latest" }))._tag, "Install")
      const same = yield* look(folder, { is: { version: "v1.1.0" } })
      assert.strictEqual(same._tag, "Current")
    })
  )

  it.scoped("has each of its versions, an older one for whoever insists", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v0.9.0" }, { version: "v0.9.1" }, { version: "v1.1.0" })
      const wanted = yield* look(folder, { version: "v0.9.1", allowDowngrade: true })
      assert(wanted._tag === "Install")
      assert.strictEqual(wanted.candidate.version.text, "v0.9.1")
      assert.match(yield* why(look(folder, { version: "0.9.1" })), /v0\.9\.1 is older than v1\.0\.0/)
      assert.match(yield* why(look(folder, { version: "v7.0.0" })), /stable-v7\.0\.0\.json: there is no such file/)
      assert.match(yield* why(look(folder, { version: "newest" })), /"newest" is no version/)
    })
  )

  it.scoped("does not offer one release that comes before another for newer, whatever it is called", () =>
    Effect.gen(function* () {
      for (const [there, here] of [
        ["v1.3.0-rc1", "v1.3.0-rc2"],
        ["v1.3.0-alpha.5", "v1.3.0-beta.1"],
        ["v1.3.0-rc.9", "v1.3.0-rc.10"],
        ["v1.3.0-rc.1", "v1.3.0"]
      ] as const) {
        const folder = yield* channel({ version: there })
        const is = { version: here }
        assert.include(yield* why(look(folder, { is })), `${there} is older than ${here}`)
        assert.include(yield* why(look(folder, { is, version: there })), `${there} is older than ${here}`)
        assert.strictEqual((yield* look(folder, { is, version: there, allowDowngrade: true }))._tag, "Install")
        const forth = yield* channel({ version: here })
        assert.strictEqual((yield* look(forth, { is: { version: there } }))._tag, "Install")
      }
    })
  )

  it.scoped("is asked only where somebody has said that it is", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const said = yield* why(look(folder, { channel: "nightly" }))
      assert.match(said, /nightly has no source; run: telad channel sources set nightly https:/)
      assert.match(yield* why(look(folder, { channel: "../x" })), /is no channel/)
      for (const base of ["http://releases.test", "ftp://releases.test", "https://me@releases.test", "releases"]) {
        assert.match(yield* why(look(folder, { base })), /write it as https:/, base)
      }
      const moved = yield* look(folder, { base: `${BASE}/stable.json` })
      assert.strictEqual(moved._tag, "Install")
    })
  )

  it.scoped("counts for nothing when it is signed with another key, whoever's that is", () =>
    Effect.gen(function* () {
      const other = Ed25519.generate()
      const folder = yield* channel({ version: "v1.1.0", key: other })
      assert.match(yield* why(look(folder)), /is not signed with the key of this release \(SHA256:/)
      assert.strictEqual((yield* look(folder, { key: other.publicKey.text }))._tag, "Install")
      assert.match(yield* why(look(folder, { key: "none" })), /update\.key is no Ed25519 public key/)
      assert.match(yield* why(look(folder, { is: { key: "" } })), /was not installed from a release/)
    })
  )

  it.scoped("counts for nothing with any byte changed, of the manifest or its signature", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const signed = { bytes: read(folder, "stable.json"), signature: read(folder, "stable.json.sig") }
      const flips = FastCheck.sample(FastCheck.integer({ min: 1, max: 255 }), signed.bytes.length)
      const flipped = (bytes: Uint8Array, at: number) => {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ (flips[at] ?? 1)
        return changed
      }
      assert.isTrue(Either.isRight(Signed.verify(signed, key.publicKey)))
      for (const at of signed.bytes.keys()) {
        const changed = { ...signed, bytes: flipped(signed.bytes, at) }
        assert.isTrue(Either.isLeft(Signed.verify(changed, key.publicKey)), `manifest, byte ${at}`)
      }
      for (const at of signed.signature.keys()) {
        const changed = { ...signed, signature: flipped(signed.signature, at) }
        assert.isTrue(Either.isLeft(Signed.verify(changed, key.publicKey)), `signature, byte ${at}`)
      }
      for (const [name, bytes] of [
        ["stable.json", signed.bytes],
        ["stable.json.sig", signed.signature]
      ] as const) {
        for (const wrong of [
          flipped(bytes, 0),
          flipped(bytes, 63),
          bytes.subarray(1),
          bytes.subarray(0, -1),
          Buffer.alloc(0)
        ]) {
          assert.match(yield* why(look(folder, {}, new Map([[name, wrong]]))), /is not signed with the key/)
        }
      }
      assert.match(
        yield* why(look(folder, {}, new Map([["stable.json.sig", Buffer.alloc(65)]]))),
        /larger than 64 bytes/
      )
    })
  )

  it.scoped("without a signature is none", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      Fs.rmSync(Path.join(folder, "stable.json.sig"))
      assert.match(yield* why(look(folder)), /stable\.json\.sig: there is no such file/)
    })
  )

  it.scoped("is asked once more when it was replaced in between", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const sig = read(folder, "stable.json.sig")
      yield* release(folder, { version: "v1.2.0", publishedAt: NOW, expires: { head: LATER, version: LATER } })
      let asked = 0
      // The first answer has the signature of the release before.
      const once = (name: string) => (name === "stable.json.sig" && ++asked === 1 ? sig : undefined)
      assert.strictEqual((yield* look(folder, {}, once))._tag, "Install")
      assert.strictEqual(asked, 2)
    })
  )

  it.scoped("has expired from its moment on", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* release(folder, { version: "v1.1.0", expires: { head: NOW, version: NOW + 1_000 } })
      assert.match(yield* why(look(folder)), /expired at 2027-01-31T12:00:00Z/)
      assert.strictEqual((yield* look(folder, { version: "v1.1.0" }))._tag, "Install")
    })
  )

  it.scoped("cannot show one release for another, nor an old one as the newest", () =>
    Effect.gen(function* () {
      const folder = yield* channel(
        { version: "v1.1.0" },
        { version: "v1.2.0" },
        { version: "v1.3.0", channel: "beta" }
      )
      const instead = (name: string, of: string) =>
        new Map([
          [name, read(folder, of)],
          [`${name}.sig`, read(folder, `${of}.sig`)]
        ])
      const old = instead("stable.json", "stable-v1.1.0.json")
      assert.match(yield* why(look(folder, {}, old)), /is the manifest of v1\.1\.0 alone/)
      const head = instead("stable-v1.1.0.json", "stable.json")
      assert.match(yield* why(look(folder, { version: "v1.1.0" }, head)), /is the newest release, not the manifest/)
      const other = instead("stable-v1.1.0.json", "stable-v1.2.0.json")
      assert.match(yield* why(look(folder, { version: "v1.1.0" }, other)), /is v1\.2\.0, not v1\.1\.0/)
      const beta = instead("stable.json", "beta.json")
      assert.match(yield* why(look(folder, {}, beta)), /of the channel beta, not of stable/)
    })
  )

  it.scoped("of another program or machine has nothing for this one", () =>
    Effect.gen(function* () {
      const folder = yield* channel({
        version: "v1.1.0",
        programs: ["tela"],
        targets: [{ os: "plan9", arch: "mips" }]
      })
      assert.match(yield* why(look(folder)), /v1\.1\.0 has no "telad-v1\.1\.0-.*\.tar\.gz"/)
      assert.match(yield* why(look(folder, { is: { program: "tela" } })), /v1\.1\.0 has no "tela-v1\.1\.0-/)
    })
  )

  it.scoped("is bounded, and what is signed but makes no sense is refused", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const large = new Map([["stable.json", Buffer.alloc(1024 * 1024 + 1)]])
      assert.match(yield* why(look(folder, {}, large)), /larger than/)
      const signed = (text: string) => {
        const bytes = Buffer.from(text)
        return new Map([
          ["stable.json", bytes],
          ["stable.json.sig", Buffer.from(Ed25519.sign(key, bytes))]
        ])
      }
      const good = JSON.parse(read(folder, "stable.json").toString())
      for (const wrong of [
        "",
        "[]",
        "{",
        JSON.stringify({ ...good, kind: undefined }),
        JSON.stringify({ ...good, expires: undefined }),
        JSON.stringify({ ...good, expires: "soon" }),
        JSON.stringify({ ...good, version: "1.1.0" }),
        JSON.stringify({ ...good, channel: "Stable" }),
        JSON.stringify({ ...good, binaries: {} }),
        JSON.stringify({ ...good, binaries: { "../x": { sha256: "0".repeat(64), size: 1 } } }),
        JSON.stringify({ ...good, binaries: { x: { sha256: "0".repeat(63), size: 1 } } }),
        JSON.stringify({ ...good, binaries: { x: { sha256: "0".repeat(64), size: 0 } } })
      ]) {
        assert.match(yield* why(look(folder, {}, signed(wrong))), /is signed, but no manifest/, wrong)
      }
      const more = signed(JSON.stringify({ ...good, unheardOf: [1], tag: "any" }))
      assert.strictEqual((yield* look(folder, {}, more))._tag, "Install")
    })
  )
})

describe("a signed manifest", () => {
  it.scoped("is what OpenSSL takes for one", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const { execFileSync } = yield* Effect.promise(() => import("node:child_process"))
      const keyFile = Path.join(folder, "release.pub")
      Fs.writeFileSync(keyFile, Ed25519.publicPem(key.publicKey))
      const files = ["-in", Path.join(folder, "stable.json"), "-sigfile", Path.join(folder, "stable.json.sig")]
      const said = execFileSync("openssl", ["pkeyutl", "-verify", "-pubin", "-inkey", keyFile, "-rawin", ...files])
      assert.match(said.toString(), /Verified Successfully/)
    })
  )

  it.scoped("goes into one file and comes out of it", () =>
    Effect.gen(function* () {
      const folder = yield* channel({ version: "v1.1.0" })
      const signed = { bytes: read(folder, "stable.json"), signature: read(folder, "stable.json.sig") }
      const split = Signed.split(Signed.join(signed))
      assert(split !== undefined)
      const { manifest } = Either.getOrThrow(Signed.verify(split, key.publicKey))
      assert.deepStrictEqual(Buffer.from(Manifest.write(manifest)), signed.bytes)
      assert.isUndefined(Signed.split(Buffer.alloc(64)))
    })
  )
})
