/** `tela admin hub channel publish`: what it refuses before it sends anything, what it sends, and what it says of a hub's refusals. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ed25519 from "../../src/crypto/Ed25519.ts"
import * as Maker from "../../src/system/release/Maker.ts"
import type * as Manifest from "../../src/system/release/Manifest.ts"
import * as Signed from "../../src/system/release/Signed.ts"
import { START, start } from "../hub/api/administered.ts"
import * as FakeHub from "../support/FakeHub.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { key, release, type MadeOptions } from "../system/release/made.ts"
import { type } from "./Runs.ts"

const DAY = 24 * 3_600_000
const COMMAND = "tela admin hub channel publish"
const TOKEN = "kim-token-0123456789"

const make = (folder: string, more: Partial<MadeOptions> = {}) =>
  release(folder, {
    version: "v1.0.0",
    publishedAt: START,
    expires: { head: START + DAY, version: START + DAY },
    ...more
  })

/** A folder with a release, a hub that remembers what it was asked, and the command. */
const setting = (answers: Readonly<Record<string, FakeHub.Answer>> = {}, more: Partial<MadeOptions> = {}) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const made = yield* make(folder, more)
    const hub = yield* FakeHub.make(answers)
    const home = yield* temporaryFolder
    const env = { TELA_HOME: home, TELA_SYSTEM: Path.join(home, "system"), TELA_TOKEN: TOKEN, TELA_HUB: hub.url }
    const archive = made.archives[0]?.name ?? ""
    return {
      folder,
      hub,
      archive,
      file: (name: string) => Path.join(folder, name),
      typed: (words = folder, line = COMMAND) => type(`${line} ${words}`, env)
    }
  })

type Setting = Effect.Effect.Success<ReturnType<typeof setting>>

const flip = (file: string): void => {
  const bytes = Fs.readFileSync(file)
  bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1
  Fs.writeFileSync(file, bytes)
}

/** Signs a manifest anew, changed. */
const resign = (file: string, change: (manifest: Manifest.Manifest) => Manifest.Manifest): void => {
  const signed = { bytes: Fs.readFileSync(file), signature: Fs.readFileSync(`${file}.sig`) }
  const verified = Signed.verify(signed, key.publicKey)
  assert(verified._tag === "Right")
  const { bytes, signature } = Signed.sign(change(verified.right.manifest), key)
  Fs.writeFileSync(file, bytes)
  Fs.writeFileSync(`${file}.sig`, signature)
}

interface Damage {
  readonly name: string
  readonly made?: Partial<MadeOptions>
  readonly damage: (setting: Setting) => void
  readonly says: RegExp
}

const archiveOf = ({ archive, file }: Setting) => file(`files/stable/${archive}`)

const damages: ReadonlyArray<Damage> = [
  {
    name: "is not there",
    damage: ({ folder }) => Fs.rmSync(folder, { recursive: true }),
    says: /tela-test-\w+ is missing$/m
  },
  {
    name: "is a file",
    damage: ({ folder }) => {
      Fs.rmSync(folder, { recursive: true })
      Fs.writeFileSync(folder, "")
    },
    says: /is no folder/
  },
  {
    name: "is another one",
    damage: ({ file, folder }) => {
      for (const name of Fs.readdirSync(folder)) Fs.rmSync(file(name), { recursive: true })
      Fs.writeFileSync(file("package.json"), "{}")
    },
    says: /has no release; name the folder that npm run release has written/
  },
  {
    name: "lacks the newest's signature",
    damage: ({ file }) => Fs.rmSync(file("stable.json.sig")),
    says: /stable\.json\.sig is missing; make the release again/
  },
  {
    name: "lacks the version's manifest",
    damage: ({ file }) => Fs.rmSync(file("stable-v1.0.0.json")),
    says: /stable-v1\.0\.0\.json is missing/
  },
  {
    name: "lacks the version's signature",
    damage: ({ file }) => Fs.rmSync(file("stable-v1.0.0.json.sig")),
    says: /stable-v1\.0\.0\.json\.sig is missing/
  },
  {
    name: "has a signature that is cut",
    damage: ({ file }) => Fs.truncateSync(file("stable.json.sig"), 63),
    says: /stable\.json\.sig is no signature/
  },
  {
    name: "has a signature that is too long",
    damage: ({ file }) => Fs.appendFileSync(file("stable.json.sig"), "\n"),
    says: /stable\.json\.sig has more than 64 bytes/
  },
  {
    name: "has a manifest that is none",
    damage: ({ file }) => Fs.writeFileSync(file("stable.json"), "{}"),
    says: /stable\.json is signed, but no manifest/
  },
  {
    name: "has a manifest that is too large",
    damage: ({ file }) => Fs.writeFileSync(file("stable.json"), Buffer.alloc(1024 * 1024 + 1)),
    says: /stable\.json has more than 1048576 bytes/
  },
  {
    name: "lacks an archive",
    damage: (setting) => Fs.rmSync(archiveOf(setting)),
    says: /files\/stable\/telad-v1\.0\.0-\S+\.tar\.gz is missing/
  },
  {
    name: "has an archive of another size",
    damage: (setting) => Fs.appendFileSync(archiveOf(setting), "x"),
    says: /\.tar\.gz has \d+ bytes, and \d+ by the signed manifest/
  },
  {
    name: "has an archive of another digest",
    damage: (setting) => flip(archiveOf(setting)),
    says: /is not the telad-v1\.0\.0-\S+\.tar\.gz of the signed manifest \(another SHA-256\)/
  },
  {
    name: "has a newest that has expired",
    made: { expires: { head: -1_000, version: START } },
    damage: () => {},
    says: /stable\.json: the manifest of head stable v1\.0\.0 has expired; sign it anew/
  },
  {
    name: "has a version that has expired",
    made: { expires: { head: START, version: -1_000 } },
    damage: () => {},
    says: /stable-v1\.0\.0\.json: the manifest of version stable v1\.0\.0 has expired/
  },
  {
    name: "has one manifest in place of the other",
    damage: ({ file }) => {
      for (const end of ["", ".sig"]) Fs.copyFileSync(file(`stable-v1.0.0.json${end}`), file(`stable.json${end}`))
    },
    says: /a manifest is of version stable v1\.0\.0, where that of head stable v1\.0\.0 is expected/
  },
  {
    name: "has manifests that differ",
    damage: ({ archive, file }) =>
      resign(file("stable.json"), (manifest) => ({
        ...manifest,
        binaries: { [archive]: { sha256: "0".repeat(64), size: 1 } }
      })),
    says: /stable\.json and stable-v1\.0\.0\.json in \S+ name different files/
  },
  {
    name: "has its archives nowhere",
    made: { downloadBase: "archives/" },
    damage: () => {},
    says: /the release has its files in "archives\/", and a hub in files\/stable\//
  }
]

describe("a folder of which nothing is sent", () => {
  it.scoped.each(damages.map((damage) => [damage.name, damage] as const))("%s", ([, { damage, made, says }]) =>
    Effect.gen(function* () {
      const world = yield* setting({}, made)
      damage(world)
      const { code, stderr, stdout } = yield* world.typed()
      assert.match(stderr, says)
      assert.match(stderr, /^tela: [^\n]*\n$/)
      assert.deepStrictEqual([code, stdout, world.hub.asked], [1, "", []])
    })
  )

  it.scoped("is named wrongly on the command line", () =>
    Effect.gen(function* () {
      const { folder, hub, typed } = yield* setting()
      yield* make(folder, { channel: "beta" })
      for (const [words, code, says] of [
        ["", 2, /<folder> is missing/],
        ["''", 2, /<folder> is empty/],
        [folder, 2, /has releases of several channels \(beta, stable\): give -channel NAME/],
        [`${folder} -channel nope`, 1, /nope\.json is missing/],
        [`${folder} -channel a.b`, 2, /-channel: "a\.b" is no channel/],
        [`${folder} -channel beta -version one`, 2, /-version: /],
        [`${folder} -channel beta -version v2.0.0`, 1, /beta-v2\.0\.0\.json is missing/],
        [`${folder} -channel beta -hub nowhere:0:0`, 2, /-hub: /]
      ] as const) {
        const ran = yield* typed(words)
        assert.match(ran.stderr, says, words)
        assert.strictEqual(ran.code, code, words)
      }
      assert.deepStrictEqual(hub.asked, [])
    })
  )
})

/** A hub that hosts channels, and a folder with a release of them. */
const hosting = (more: Partial<MadeOptions> = {}, channels = true) =>
  Effect.gen(function* () {
    const data = yield* temporaryFolder
    const config = { data, publicURL: undefined, key: key.publicKey.text }
    const hub = yield* start(channels ? { channels: config } : {})
    const url = hub.url.replace("http", "ws")
    const folder = yield* temporaryFolder
    const made = yield* make(folder, more)
    const home = yield* temporaryFolder
    const typed = (words = "", as = "olga") =>
      type(`${COMMAND} ${folder} -hub ${url} -token ${as}-token ${words}`, { TELA_HOME: home })
    const get = (path: string) =>
      Effect.promise(async () => {
        const response = await fetch(`${hub.url}/channels/${path}`)
        return { status: response.status, text: await response.text() }
      })
    const files = () => (Fs.existsSync(Path.join(data, "files")) ? Fs.readdirSync(Path.join(data, "files/stable")) : [])
    return { ...hub, address: url, data, folder, made, archive: made.archives[0]?.name ?? "", typed, get, files }
  })

describe("a release", () => {
  it.scoped("is sent and published; what is there is not sent again", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const size = hub.made.archives[0]?.binary.size
      const dry = yield* hub.typed("-dry-run")
      assert.deepStrictEqual([dry.code, dry.stderr, hub.files()], [0, "", []])
      assert.strictEqual(
        dry.stdout.replaceAll(/ {2}\d+ bytes/g, "  N bytes"),
        [
          `Would send to ${hub.address}, and publish stable v1.0.0:`,
          ...[hub.archive, "stable-v1.0.0.json", "stable-v1.0.0.json.sig", "stable.json", "stable.json.sig"].map(
            (name) => `  ${name}  N bytes`
          ),
          "Nothing was sent.",
          ""
        ].join("\n")
      )

      const published = yield* hub.typed()
      assert.strictEqual(
        published.stdout,
        [
          `${hub.address}: published stable v1.0.0`,
          `It is followed with: tela channel sources set stable ${hub.url}/channels`,
          ""
        ].join("\n")
      )
      assert.strictEqual(
        published.stderr,
        `Sending ${hub.archive} (${size} bytes)\nSending stable v1.0.0: 100 % of ${size} bytes\n`
      )
      assert.strictEqual(published.code, 0)
      assert.strictEqual(
        (yield* hub.get("stable.json")).text,
        Fs.readFileSync(Path.join(hub.folder, "stable.json"), "utf8")
      )
      assert.isTrue(
        Fs.readFileSync(Path.join(hub.data, "files/stable", hub.archive)).equals(
          Fs.readFileSync(Path.join(hub.folder, "files/stable", hub.archive))
        )
      )

      assert.include((yield* hub.typed("-dry-run")).stdout, `  ${hub.archive}  is there\n`)
      const again = yield* hub.typed()
      assert.deepStrictEqual([again.code, again.stderr], [0, "1 of 1 archives are there already\n"])
    })
  )

  it.scoped("that was signed anew is published again", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* hub.typed()
      yield* Maker.renew({ out: hub.folder, channel: "stable", key, expires: START + 9 * DAY })
      const { code, stderr } = yield* hub.typed()
      assert.deepStrictEqual([code, stderr], [0, "1 of 1 archives are there already\n"])
      assert.include((yield* hub.get("stable.json")).text, `"expires": "2027-02-09T12:00:00Z"`)
    })
  )

  it.scoped("that is not the newest is published beside it", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* make(hub.folder, { version: "v1.1.0", publishedAt: START + 1_000 })
      const alone = yield* hub.typed("-version v1.0.0")
      assert.deepStrictEqual([alone.code, alone.stdout], [1, ""])
      assert.match(alone.stderr, /stable\.json was not uploaded\n$/)
      assert.strictEqual((yield* hub.typed()).code, 0)
      const beside = yield* hub.typed("-version 1.0.0")
      assert.match(beside.stdout, /: published stable v1\.0\.0, beside the newest\n/)
      assert.strictEqual((yield* hub.get("stable-v1.0.0.json")).status, 200)
      assert.match((yield* hub.get("stable.json")).text, /"version": "v1\.1\.0"/)
    })
  )

  it.scoped("has archives elsewhere, which are not sent", () =>
    Effect.gen(function* () {
      const hub = yield* hosting({ downloadBase: "https://dl.example.net/tela/" })
      Fs.rmSync(Path.join(hub.folder, "files"), { recursive: true })
      assert.include((yield* hub.typed("-dry-run")).stdout, "  no archives, which are at https://dl.example.net/tela\n")
      const { code, stderr } = yield* hub.typed()
      assert.deepStrictEqual([code, stderr], [0, "The archives are at https://dl.example.net/tela, and are not sent\n"])
      assert.notInclude(hub.files(), hub.archive)
    })
  )
})

describe("a hub that refuses a release", () => {
  const refused = (hub: Effect.Effect.Success<ReturnType<typeof hosting>>, says: RegExp, as?: string) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* hub.typed("", as)
      assert.match(stderr, says)
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.strictEqual((yield* hub.get("stable.json")).status, 404)
    })

  it.scoped("does so to who is no owner, before anything is sent", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const says =
        /^tela: \S+ refused: only an owner may choose what code hubs and agents run; the token came from -token\n$/
      yield* refused(hub, says, "adam")
      yield* refused(hub, /^tela: \S+ refused the token: .*came from -token\n$/, "nobody")
      assert.deepStrictEqual(hub.files(), [])
    })
  )

  it.scoped("does so when it hosts no channels", () =>
    Effect.flatMap(hosting({}, false), (hub) =>
      refused(
        hub,
        /^tela: \S+: this hub serves no channels; set channels: enabled: true in telahubd\.yaml, and restart it\n$/
      )
    )
  )

  it.scoped("does so when another key has signed", () =>
    Effect.flatMap(hosting({ key: Ed25519.generate() }), (hub) =>
      refused(hub, /\ntela: \S+: stable-v1\.0\.0\.json is not signed with channels\.key \(SHA256:\S+\)\n$/)
    )
  )

  it.scoped("does so when it has an archive of that name, before anything is sent", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      Fs.mkdirSync(Path.join(hub.data, "files/stable"), { recursive: true })
      Fs.writeFileSync(Path.join(hub.data, "files/stable", hub.archive), "another")
      yield* refused(
        hub,
        /^tela: \S+ has \S+\.tar\.gz with other contents, and somebody may have it; raise the version\n$/
      )
      assert.deepStrictEqual(hub.files(), [hub.archive])
    })
  )

  it.scoped.each([
    [413, { error: "x.tar.gz is larger than 9 bytes", maxSize: "9" }, /: x\.tar\.gz is larger than 9 bytes\n$/],
    [507, { error: "no space is left for x; make room" }, / could not do it, .*: no space is left for x; make room\n$/],
    [503, { error: "other uploads are under way" }, / could not do it, .*: other uploads are under way\n$/],
    [302, {}, /something in between answered/]
  ] as const)("with HTTP %s", ([status, body, says]) =>
    Effect.gen(function* () {
      const { archive } = yield* setting()
      const { hub, typed } = yield* setting({
        [`PUT /api/admin/channels/files/stable/${archive}`]: { status, body }
      })
      const { code, stderr, stdout } = yield* typed()
      assert.match(stderr, says)
      assert.match(stderr, /\ntela: [^\n]*\n$/)
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.deepStrictEqual(
        hub.asked.map(({ method }) => method),
        ["GET", "PUT"]
      )
    })
  )
})
