/** Release channels of a hub: what owners upload and publish, and what everybody gets. */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import FsPromises from "node:fs/promises"
import * as Http from "node:http"
import { syncBuiltinESMExports } from "node:module"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as Ed25519 from "../../../src/crypto/Ed25519.ts"
import { signatureFile } from "../../../src/protocol/Channel.ts"
import type { MadeOptions } from "../../system/release/made.ts"
import { key, release } from "../../system/release/made.ts"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import { turn } from "../../support/turn.ts"
import { send, START, start } from "./administered.ts"
import type { Administered } from "./administered.ts"

const owner = { as: "olga" }
const DAY = 24 * 3_600_000

/** A hub that serves channels, and a folder with a release that nobody has uploaded yet. */
const hosting = (
  options: Partial<MadeOptions> = {},
  config: { readonly key?: string | undefined; readonly publicURL?: string } = {}
) =>
  Effect.gen(function* () {
    const data = yield* temporaryFolder
    const hub = yield* start({
      channels: { data, publicURL: config.publicURL, key: "key" in config ? config.key : key.publicKey.text }
    })
    const folder = yield* temporaryFolder
    const make = (more: Partial<MadeOptions> = {}) =>
      release(folder, {
        version: "v1.0.0",
        publishedAt: START,
        expires: { head: START + DAY, version: START + DAY },
        ...options,
        ...more
      })
    return { ...hub, data, folder, make, made: yield* make() }
  })

type Hosting = Effect.Effect.Success<ReturnType<typeof hosting>>

const put = (hub: Administered, name: string, bytes: Uint8Array, as = "olga", channel = "stable") =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 second")
    return yield* Effect.promise(async () => {
      const response = await fetch(`${hub.url}/api/admin/channels/files/${channel}/${name}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${as}-token` },
        body: Uint8Array.from(bytes)
      })
      const text = await response.text()
      return { status: response.status, text, json: JSON.parse(text) }
    })
  })

/** The files of a release, as they are uploaded: archives, then manifests and their signatures. */
const filesOf = ({ folder, made }: Hosting, release = made): ReadonlyArray<readonly [string, Buffer]> => {
  const manifests = [`stable-${release.version}.json`, "stable.json"].flatMap((name) => [name, signatureFile(name)])
  const archives = release.archives.map(({ name }) => `files/stable/${name}`)
  return [...archives, ...manifests].map((name) => [Path.basename(name), Fs.readFileSync(Path.join(folder, name))])
}

const upload = (hub: Hosting, release = hub.made) =>
  Effect.forEach(filesOf(hub, release), ([name, bytes]) => put(hub, name, bytes))

const publish = (hub: Hosting, tag = "v1.0.0", as = owner) =>
  send(hub, "POST", "/api/admin/channels/publish", { ...as, body: { channel: "stable", tag, baseUrl: "ignored" } })

const get = (hub: { readonly url: string }, path: string, method = "GET") =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 second")
    return yield* Effect.promise(async () => {
      const response = await fetch(`${hub.url}${path}`, { method })
      return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) }
    })
  })

/** From now on, while the scope lasts, the file system says that a folder was changed at this moment, whatever happens to it. */
const standingClock = (folder: string, at: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { stat } = FsPromises
      const moment = BigInt(at) * 1_000_000n
      const told = async (path: Fs.PathLike, options?: Fs.StatOptions) => {
        const found = await stat(path, options)
        return path === folder ? Object.assign(found, { mtimeNs: moment, ctimeNs: moment }) : found
      }
      Object.assign(FsPromises, { stat: told })
      syncBuiltinESMExports()
      return stat
    }),
    (stat) =>
      Effect.sync(() => {
        Object.assign(FsPromises, { stat })
        syncBuiltinESMExports()
      })
  )

describe("a release channel", () => {
  it.scoped("is uploaded and published by an owner, and had by everybody", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const [archive] = hub.made.archives
      assert(archive !== undefined)
      const uploaded = yield* upload(hub)
      assert.deepStrictEqual(
        uploaded.map(({ status }) => status),
        [200, 200, 200, 200, 200]
      )
      const file = Path.join(hub.data, "files/stable", archive.name)
      assert.deepStrictEqual(uploaded[0]?.json, {
        ok: true,
        channel: "stable",
        name: archive.name,
        size: archive.binary.size,
        path: file
      })
      // Nobody sees any of it before it is published.
      for (const path of [
        "stable.json",
        "stable.json.sig",
        `files/stable/${archive.name}`,
        "files/stable/stable.json"
      ]) {
        assert.strictEqual((yield* get(hub, `/channels/${path}`)).status, 404, path)
      }
      const published = yield* publish(hub)
      assert.strictEqual(published.status, 200, published.text)
      assert.deepStrictEqual(published.json, {
        ok: true,
        channel: "stable",
        tag: "v1.0.0",
        publishedAt: "2027-01-31T12:00:00Z",
        downloadBase: "files/stable/",
        binaries: { [archive.name]: archive.binary },
        manifestPath: Path.join(hub.data, "published/stable/stable.json.signed")
      })

      for (const name of ["stable.json", "stable.json.sig", "stable-v1.0.0.json", "stable-v1.0.0.json.sig"]) {
        const { bytes, headers, status } = yield* get(hub, `/channels/${name}`)
        assert.strictEqual(status, 200)
        assert.isTrue(bytes.equals(Fs.readFileSync(Path.join(hub.folder, name))), name)
        assert.strictEqual(headers.get("cache-control"), "no-cache")
        assert.strictEqual(headers.get("access-control-allow-origin"), "*")
      }
      const had = yield* get(hub, `/channels/files/stable/${archive.name}`)
      assert.isTrue(had.bytes.equals(Fs.readFileSync(file)))
      assert.strictEqual(had.headers.get("content-length"), String(archive.binary.size))
      assert.strictEqual(had.headers.get("cache-control"), "public, max-age=31536000, immutable")
      const head = yield* get(hub, `/channels/files/stable/${archive.name}`, "HEAD")
      assert.deepStrictEqual([head.status, head.bytes.length], [200, 0])
      assert.strictEqual(head.headers.get("content-length"), String(archive.binary.size))

      const about = yield* send(hub, "GET", "/channels/")
      assert.deepStrictEqual(about.json, { service: "telahubd-channels", version: "v1.2.3" })
      const records = yield* hub.audit.list({ limit: 10 })
      assert.containsSubset(
        records.find(({ action }) => action === "channel-publish"),
        { actor: "olga", outcome: "ok", detail: "stable v1.0.0" }
      )
      assert.strictEqual(records.filter(({ action }) => action === "channel-upload").length, 5)
    })
  )

  it.scoped("goes on in the next run of the hub", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* upload(hub)
      yield* publish(hub)
      const again = yield* start({ channels: { data: hub.data, publicURL: undefined, key: key.publicKey.text } })
      assert.strictEqual((yield* get(again, "/channels/stable.json")).status, 200)
      // What was signed with a key that is not the hub's any more is not served.
      const other = Ed25519.generate().publicKey.text
      const changed = yield* start({ channels: { data: hub.data, publicURL: undefined, key: other } })
      assert.strictEqual((yield* get(changed, "/channels/stable.json")).status, 404)
    })
  )

  it.scoped("is not served with what somebody did to its folder", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* upload(hub)
      yield* publish(hub)
      const published = Path.join(hub.data, "published/stable/stable.json.signed")
      const bytes = Fs.readFileSync(published)
      bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1
      Fs.rmSync(published)
      Fs.writeFileSync(published, bytes)
      assert.strictEqual((yield* get(hub, "/channels/stable.json")).status, 404)
      assert.strictEqual((yield* get(hub, "/channels/stable-v1.0.0.json")).status, 200)
    })
  )

  it.scoped("is served as it is, also where a file system's clock has not moved since the change before", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const head = Effect.map(get(hub, "/channels/stable.json"), ({ bytes, status }) =>
        status === 200 ? String(JSON.parse(bytes.toString())["version"]) : String(status)
      )
      const file = Path.join(hub.data, "published/stable/stable.json.signed")
      for (const ago of [0, 3_600_000]) {
        yield* standingClock(Path.dirname(file), Date.now() - ago)
        const version = ago === 0 ? "v1.0.0" : "v1.1.0"
        const next = ago === 0 ? hub.made : yield* hub.make({ version, publishedAt: START + 1_000 })
        yield* upload(hub, next)
        yield* head
        assert.strictEqual((yield* publish(hub, version)).status, 200)
        assert.strictEqual(yield* head, version)
      }
      // By hand, and at this moment.
      yield* standingClock(Path.dirname(file), Date.now())
      assert.strictEqual(yield* head, "v1.1.0")
      const away = `${file}.away`
      Fs.renameSync(file, away)
      assert.strictEqual(yield* head, "404")
      Fs.renameSync(away, file)
      assert.strictEqual(yield* head, "v1.1.0")
    })
  )

  it.scoped("keeps its earlier releases, and goes forward only", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* upload(hub)
      yield* publish(hub)
      const before = filesOf(hub)
      const next = yield* hub.make({ version: "v1.1.0", publishedAt: START + 1_000 })
      yield* upload(hub, next)
      assert.strictEqual((yield* publish(hub, "v1.1.0")).status, 200)
      assert.match((yield* get(hub, "/channels/stable.json")).bytes.toString(), /"version": "v1\.1\.0"/)
      assert.strictEqual((yield* get(hub, "/channels/stable-v1.0.0.json")).status, 200)
      assert.strictEqual((yield* get(hub, `/channels/files/stable/${hub.made.archives[0]?.name}`)).status, 200)
      // The owner's token alone, with what was public all the time, does not bring the old one back.
      for (const [name, bytes] of before) yield* put(hub, name, bytes)
      const back = yield* publish(hub, "v1.0.0")
      assert.strictEqual(back.status, 409)
      assert.match(back.text, /v1\.0\.0 was made before v1\.1\.0/)
      assert.match((yield* get(hub, "/channels/stable.json")).bytes.toString(), /"version": "v1\.1\.0"/)
    })
  )

  it.scoped("takes nothing from who is no owner, before a byte is read", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const [name, bytes] = filesOf(hub)[0] ?? ["", Buffer.alloc(0)]
      for (const [as, status] of [
        ["adam", 403],
        ["alice", 403],
        ["past", 401],
        ["nobody", 401]
      ] as const) {
        assert.strictEqual((yield* put(hub, name, bytes, as)).status, status, as)
        assert.strictEqual((yield* publish(hub, "v1.0.0", { as })).status, status, as)
      }
      assert.isFalse(Fs.existsSync(Path.join(hub.data, "files")))
      const denied = (yield* hub.audit.list({ limit: 20 })).filter(({ action }) => action === "admin-denied")
      assert.isAtLeast(denied.length, 4)
      for (const as of ["adam", "alice"]) {
        assert.strictEqual(
          (yield* send(hub, "GET", `/api/admin/channels/files/stable/${name}`, { as })).status,
          403,
          as
        )
      }
    })
  )

  it.scoped("tells its owner what was uploaded, so that it need not be sent again", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const [archive] = hub.made.archives
      const path = `/api/admin/channels/files/stable/${archive?.name}`
      assert.strictEqual((yield* send(hub, "GET", path, owner)).status, 404)
      yield* upload(hub)
      const there = yield* send(hub, "GET", path, owner)
      assert.deepStrictEqual(
        [there.status, there.json],
        [200, { channel: "stable", name: archive?.name, size: archive?.binary.size, sha256: archive?.binary.sha256 }]
      )
      assert.strictEqual((yield* send(hub, "GET", "/api/admin/channels/files/sta.ble/x", owner)).status, 400)
    })
  )

  it.scoped("has an earlier release beside its newest", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const next = yield* hub.make({ version: "v1.1.0", publishedAt: START + 1_000 })
      const earlier = filesOf(hub).filter(([name]) => name.includes("v1.0.0"))
      assert.strictEqual(earlier.length, 3)
      for (const [name, bytes] of earlier) yield* put(hub, name, bytes)
      assert.match((yield* publish(hub, "v1.0.0")).text, /stable\.json was not uploaded/)
      yield* upload(hub, next)
      // Without a newest there is nothing beside which it could be.
      assert.match(
        (yield* publish(hub, "v1.0.0")).text,
        /is of head stable v1\.1\.0, where that of head stable v1\.0\.0/
      )
      assert.strictEqual((yield* get(hub, "/channels/stable-v1.0.0.json")).status, 404)
      assert.strictEqual((yield* publish(hub, "v1.1.0")).status, 200)
      const beside = yield* publish(hub, "v1.0.0")
      assert.deepStrictEqual([beside.status, beside.json["tag"]], [200, "v1.0.0"])
      assert.strictEqual((yield* get(hub, "/channels/stable-v1.0.0.json")).status, 200)
      assert.strictEqual((yield* get(hub, `/channels/files/stable/${hub.made.archives[0]?.name}`)).status, 200)
      assert.match((yield* get(hub, "/channels/stable.json")).bytes.toString(), /"version": "v1\.1\.0"/)
      // It needs as much as any other.
      const other = Ed25519.sign(Ed25519.generate(), earlier[1]?.[1] ?? Buffer.alloc(0))
      yield* put(hub, "stable-v1.0.0.json.sig", other)
      assert.strictEqual((yield* publish(hub, "v1.0.0")).status, 422)
    })
  )

  it.scoped("is not published without what it needs", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const why = (tag = "v1.0.0") =>
        Effect.map(publish(hub, tag), ({ json, status }) => [status, String(json["error"])] as const)
      assert.deepStrictEqual(yield* why(), [409, "stable-v1.0.0.json was not uploaded"])
      const [archive, ...manifests] = filesOf(hub)
      for (const [name, bytes] of manifests) yield* put(hub, name, bytes)
      assert.deepStrictEqual(yield* why(), [409, `${archive?.[0]} was not uploaded`])
      yield* put(hub, archive?.[0] ?? "", Buffer.from("another file"))
      assert.deepStrictEqual(yield* why(), [422, `${archive?.[0]} is not what the signed manifest says`])
      assert.deepStrictEqual((yield* why("v1"))[0], 400)
      assert.deepStrictEqual((yield* why("v2.0.0"))[0], 409)
      assert.strictEqual((yield* get(hub, "/channels/stable.json")).status, 404)
    })
  )

  it.scoped("is not published when a manifest is signed with another key, changed, or another than it says", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* upload(hub)
      const good = new Map(filesOf(hub))
      const refused = (names: ReadonlyArray<readonly [string, Uint8Array]>, status: number, why: RegExp) =>
        Effect.gen(function* () {
          for (const [name, bytes] of names) yield* put(hub, name, bytes)
          const answer = yield* publish(hub)
          assert.strictEqual(answer.status, status, answer.text)
          assert.match(String(answer.json["error"]), why)
          assert.strictEqual((yield* get(hub, "/channels/stable.json")).status, 404)
          for (const [name] of names) yield* put(hub, name, good.get(name) ?? Buffer.alloc(0))
        })
      const head = good.get("stable.json") ?? Buffer.alloc(0)
      const changed = Buffer.from(head)
      changed[3] = (changed[3] ?? 0) ^ 1
      yield* refused([["stable.json", changed]], 422, /^stable\.json is not signed with channels\.key \(SHA256:/)
      yield* refused([["stable.json.sig", Buffer.alloc(64)]], 422, /is not signed/)
      const other = Ed25519.sign(Ed25519.generate(), head)
      yield* refused([["stable.json.sig", other]], 422, /is not signed/)
      // The head in place of the version, and the other way round.
      const swap = (to: string, from: string) =>
        [
          [to, good.get(from) ?? head],
          [`${to}.sig`, good.get(`${from}.sig`) ?? head]
        ] as const
      yield* refused(swap("stable.json", "stable-v1.0.0.json"), 422, /is of version stable v1\.0\.0, where/)
      yield* refused(swap("stable-v1.0.0.json", "stable.json"), 422, /is of head stable v1\.0\.0, where/)
      assert.strictEqual((yield* publish(hub)).status, 200)
    })
  )

  it.scoped("is not published when it has expired", () =>
    Effect.gen(function* () {
      const hub = yield* hosting({ expires: { head: START + 1, version: START + DAY } })
      yield* upload(hub)
      const answer = yield* publish(hub)
      assert.deepStrictEqual(
        [answer.status, String(answer.json["error"])],
        [422, "the manifest of head stable v1.0.0 has expired; sign it anew"]
      )
    })
  )

  it.scoped("is published without its files when those are elsewhere, and not when they are said to be", () =>
    Effect.gen(function* () {
      const elsewhere = yield* hosting({ downloadBase: "https://dl.example.net/tela/" })
      for (const [name, bytes] of filesOf(elsewhere).slice(1)) yield* put(elsewhere, name, bytes)
      assert.strictEqual((yield* publish(elsewhere)).status, 200)
      const publicURL = "https://hub.example.com/channels/"
      const here = yield* hosting({ downloadBase: `${publicURL}files/stable` }, { publicURL })
      for (const [name, bytes] of filesOf(here).slice(1)) yield* put(here, name, bytes)
      assert.match((yield* publish(here)).text, /was not uploaded/)
      const nowhere = yield* hosting({ downloadBase: "archives/" })
      yield* upload(nowhere)
      assert.match((yield* publish(nowhere)).text, /has its files in \\"archives\/\\"/)
    })
  )

  it.scoped("needs the key that releases are signed with", () =>
    Effect.gen(function* () {
      const hub = yield* hosting({}, { key: undefined })
      yield* upload(hub)
      assert.match((yield* publish(hub)).text, /channels\.key is missing in telahubd\.yaml/)
      const broken = yield* Effect.flip(start({ channels: { data: hub.data, publicURL: undefined, key: "x" } }))
      assert.match(String(broken), /channels\.key is no Ed25519 public key/)
    })
  )

  it.scoped("has archives that never change under their name", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const [name, bytes] = filesOf(hub)[0] ?? ["", Buffer.alloc(0)]
      assert.strictEqual((yield* put(hub, name, bytes)).status, 200)
      assert.strictEqual((yield* put(hub, name, bytes)).status, 200)
      const other = yield* put(hub, name, Buffer.from("other"))
      assert.strictEqual(other.status, 409)
      assert.match(other.text, /is there with other contents/)
      assert.isTrue(Fs.readFileSync(Path.join(hub.data, "files/stable", name)).equals(bytes))
      assert.deepStrictEqual(Fs.readdirSync(Path.join(hub.data, "incoming")), [])
    })
  )
})

/** A path as it stands here: fetch would resolve it first. */
const raw = (hub: { readonly url: string }, method: string, path: string, body?: Buffer) =>
  Effect.async<number>((resume) => {
    const { hostname, port } = new URL(hub.url)
    const headers = { authorization: "Bearer olga-token", ...(body && { "content-length": body.length }) }
    const request = Http.request({ hostname, port, method, path, headers, agent: false }, (response) => {
      response.resume()
      response.on("end", () => resume(Effect.succeed(response.statusCode ?? 0)))
    })
    request.on("error", () => resume(Effect.succeed(0)))
    request.end(body)
  })

describe("names of channels and files", () => {
  it.scoped("lead nowhere else", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      yield* upload(hub)
      yield* publish(hub)
      const outside = Path.join(hub.data, "..", "outside")
      const names = [
        "stable/..%2f..%2f..%2foutside",
        "..%2f..%2foutside/x",
        "stable/%2e%2e",
        "../../outside",
        "stable/../../outside",
        "stable/.hidden",
        "stable/a%00b",
        "stable/a%5cb",
        "Stable/x",
        "sta.ble/x",
        "stable/",
        "stable/a/b",
        "/x",
        `stable/${"x".repeat(300)}`
      ]
      for (const name of names) {
        yield* TestClock.adjust("2 seconds")
        const written = yield* raw(hub, "PUT", `/api/admin/channels/files/${name}`, Buffer.from("x"))
        assert.include([400, 404, 405], written, name)
        const read = yield* raw(hub, "GET", `/channels/files/${name}`)
        assert.include([400, 404, 405], read, name)
      }
      for (const name of [
        "..",
        "%2e%2e%2fstable.json",
        ".json",
        "stable.JSON",
        "published/stable/stable.json.signed",
        "stable.json.signed",
        "stable-v9.9.9.json",
        "files",
        "files/",
        "files/stable",
        "files/stable/"
      ]) {
        yield* TestClock.adjust("2 seconds")
        assert.include([400, 404], yield* raw(hub, "GET", `/channels/${name}`), name)
      }
      assert.isFalse(Fs.existsSync(outside))
      assert.deepStrictEqual(Fs.readdirSync(hub.data).toSorted(), ["files", "incoming", "published"])
      assert.deepStrictEqual(Fs.readdirSync(Path.join(hub.data, "files")), ["stable"])
    })
  )
})

describe("an upload", () => {
  it.scoped("of many megabytes passes", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const bytes = Crypto.randomBytes(9_000_000)
      const taken = yield* put(hub, "large.bin", bytes)
      assert.deepStrictEqual([taken.status, taken.json.size], [200, bytes.length])
      assert.isTrue(Fs.readFileSync(Path.join(hub.data, "files/stable/large.bin")).equals(bytes))
    })
  )

  it.scoped("that is larger than a hub takes, or breaks off, leaves nothing", () =>
    Effect.gen(function* () {
      const hub = yield* hosting()
      const { hostname, port } = new URL(hub.url)
      const status = yield* Effect.async<number>((resume) => {
        const request = Http.request(
          {
            hostname,
            port,
            method: "PUT",
            path: "/api/admin/channels/files/stable/stable.json",
            headers: { authorization: "Bearer olga-token" },
            agent: false
          },
          (response) => {
            response.resume()
            resume(Effect.succeed(response.statusCode ?? 0))
          }
        )
        request.on("error", () => {})
        // A manifest is bounded by less than an archive, which makes the same test shorter.
        request.end(Buffer.alloc(1024 * 1024 + 1))
      })
      assert.strictEqual(status, 413)
      const request = Http.request({
        hostname,
        port,
        method: "PUT",
        path: "/api/admin/channels/files/stable/half.tar.gz",
        headers: { authorization: "Bearer olga-token", "content-length": "1000000" },
        agent: false
      })
      request.on("error", () => {})
      request.write(Buffer.alloc(200_000))
      const incoming = Path.join(hub.data, "incoming")
      while (Fs.readdirSync(incoming).length === 0) yield* turn
      request.destroy()
      while (Fs.readdirSync(incoming).length > 0) yield* turn
      assert.isFalse(Fs.existsSync(Path.join(hub.data, "files/stable")))
    })
  )
})

describe("a hub without channels", () => {
  it.scoped("serves and takes none", () =>
    Effect.gen(function* () {
      const hub = yield* start()
      for (const path of ["/channels", "/channels/stable.json", "/channels/files/stable/x"]) {
        assert.strictEqual((yield* send(hub, "GET", path)).status, 404, path)
      }
      assert.strictEqual((yield* put(hub, "x.tar.gz", Buffer.from("x"))).status, 409)
      const body = { channel: "stable", tag: "v1.0.0" }
      assert.strictEqual((yield* send(hub, "POST", "/api/admin/channels/publish", { ...owner, body })).status, 409)
    })
  )
})
