/**
 * `release`, for whoever makes releases of these programs: it makes one from what was built, makes the key that they are
 * signed with, and signs the newest anew before it expires.
 */
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Duration from "../../protocol/Duration.ts"
import { quoted } from "../../protocol/Printable.ts"
import { VERSION } from "../../protocol/Version.ts"
import * as Keys from "../../system/release/Keys.ts"
import * as Maker from "../../system/release/Maker.ts"
import * as ReleaseFile from "../../system/release/ReleaseFile.ts"
import * as Source from "../../system/release/Source.ts"
import * as Version from "../../system/release/Version.ts"
import * as Command from "../Command.ts"
import type { Given } from "../Command.ts"
import { WrongUsage } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import { print, Shell } from "../Shell.ts"

const key = Flags.text({
  name: "key",
  placeholder: "FILE",
  description: "private key to sign with",
  env: "TELA_RELEASE_KEY"
})
const nextKey = Flags.text({
  name: "next-key",
  placeholder: "FILE",
  description: "public key for updates of this release, if another"
})
const channel = Flags.text({ name: "channel", placeholder: "NAME", description: "default by the version: stable" })
const out = Flags.text({ name: "out", placeholder: "DIR", description: "the channel's folder, default ./release" })
const from = Flags.text({ name: "from", placeholder: "DIR", description: "what was built, default this folder" })
const programs = Flags.text({ name: "programs", placeholder: "LIST", description: "default tela,telad,telahubd" })
const targets = Flags.text({ name: "targets", placeholder: "LIST", description: "machines, linux-amd64,darwin-arm64" })
const base = Flags.text({ name: "base", placeholder: "URL", description: "where archives will be, if elsewhere" })
const expires = Flags.text({ name: "expires", placeholder: "WHEN", description: "of the newest release, default 90d" })
const published = Flags.text({ name: "published", placeholder: "TIME", description: "default now" })

/** Long enough that a holiday fits between two signatures; short enough that nobody is held back for long. */
const HEAD_LIFETIME = 90 * 24 * 3_600_000

/** A certain version is asked for by name, and may be needed long after. */
const VERSION_LIFETIME = 5 * 365 * 24 * 3_600_000

/** What runs Node.js and is common. */
const TARGETS = ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64"]

/** The channel's folder, unless another is named. */
const OUT = "release"

const wrong = (problem: string) => new WrongUsage({ message: problem })

/** A path as the person means it. */
const readPath = (given: Given, flag: Flags.OptionalFlag<string>, otherwise: string) =>
  Effect.gen(function* () {
    const { cwd } = yield* Shell
    return Path.resolve(
      cwd,
      Option.getOrElse(yield* given.flag(flag), () => otherwise)
    )
  })

const readKey = (given: Given) =>
  Effect.flatMap(Shell, ({ cwd }) => Effect.flatMap(given.required(key), (file) => Keys.load(Path.resolve(cwd, file))))

const readNextKey = (given: Given) =>
  Effect.gen(function* () {
    const { cwd } = yield* Shell
    const file = yield* given.flag(nextKey)
    return Option.isNone(file) ? undefined : yield* Keys.loadPublic(Path.resolve(cwd, file.value))
  })

/** The channel that is named, else the one that the version is made for by its form. */
const readChannel = (given: Given) =>
  Effect.gen(function* () {
    const named = yield* given.flag(channel)
    if (Option.isSome(named))
      return yield* Effect.mapError(Source.channelName(named.value), (why) => wrong(`-channel: ${why}`))
    const inferred = Either.getOrUndefined(Either.map(Version.parse(VERSION), Version.channelOf))
    return inferred ?? (yield* wrong(`${VERSION} tells no channel; give -channel NAME`))
  })

const listOf = (text: string) => text.split(",").map((part) => part.trim())

const readPrograms = (given: Given) =>
  Effect.gen(function* () {
    const named = yield* given.flag(programs)
    if (Option.isNone(named)) return ReleaseFile.programs
    return yield* Effect.forEach(listOf(named.value), (name) => {
      const program = ReleaseFile.programs.find((each) => each === name)
      return program === undefined ? wrong(`-programs: ${quoted(name)} is none of them`) : Effect.succeed(program)
    })
  })

const readTargets = (given: Given) =>
  Effect.gen(function* () {
    const named = Option.match(yield* given.flag(targets), { onNone: () => TARGETS, onSome: listOf })
    return yield* Effect.forEach(named, (text) => {
      const [, os, arch] = /^([a-z0-9]+)-([a-z0-9]+)$/.exec(text) ?? []
      return os === undefined || arch === undefined
        ? wrong(`-targets: ${quoted(text)} is no machine; write it as linux-amd64`)
        : Effect.succeed({ os, arch })
    })
  })

/** When something expires, or a while after `now`. */
const readExpiry = (given: Given, now: number) =>
  Effect.flatMap(given.flag(expires), (text) =>
    Option.isNone(text)
      ? Effect.succeed(now + HEAD_LIFETIME)
      : Effect.mapError(Duration.parseExpiry(text.value, now), (why) => wrong(`-expires: ${why}`))
  )

const keyFile = Flags.argument("file")

const makeKey = Command.make(
  {
    name: "key",
    summary: "make the key that releases are signed with",
    positionals: [keyFile],
    examples: ["release key release.key"],
    notes: ["The private half is written for its owner only, and never printed."]
  },
  (given) =>
    Effect.gen(function* () {
      const { cwd } = yield* Shell
      const path = Path.resolve(cwd, yield* given.word(keyFile))
      const { fingerprint } = yield* Keys.create(path)
      yield* print(
        [
          `Private key: ${path}`,
          `Public key:  ${Keys.publicFile(path)}`,
          `Fingerprint: ${fingerprint}`,
          "",
          "Keep a copy of the private key where nobody else comes: without it no installed program takes a further update."
        ].join("\n")
      )
    })
)

const renew = Command.make(
  {
    name: "renew",
    summary: "sign the newest release of a channel anew, before it expires",
    flags: [key, channel, out, expires],
    examples: ["release renew -key release.key -channel stable"]
  },
  (given) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const options = {
        channel: yield* readChannel(given),
        out: yield* readPath(given, out, OUT),
        expires: yield* readExpiry(given, now)
      }
      const { version, expires: until } = yield* Maker.renew({ ...options, key: yield* readKey(given) })
      yield* print(`${version} is the newest of ${options.channel} until ${until}.`)
    })
)

export const root = Command.make(
  {
    name: "release",
    summary: "make a signed release of what was built",
    flags: [key, channel, out, from, programs, targets, base, expires, published, nextKey],
    subcommands: [makeKey, renew],
    examples: ["release -key release.key", "release -key release.key -channel beta -targets linux-amd64"]
  },
  (given) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const time = yield* given.flag(published)
      const folder = yield* readPath(given, out, OUT)
      const signing = yield* readKey(given)
      const head = yield* readExpiry(given, now)
      const made = yield* Maker.make({
        root: yield* readPath(given, from, "."),
        out: folder,
        key: signing,
        nextKey: yield* readNextKey(given),
        channel: yield* readChannel(given),
        programs: yield* readPrograms(given),
        targets: yield* readTargets(given),
        downloadBase: Option.getOrUndefined(yield* given.flag(base)),
        publishedAt: Option.isNone(time)
          ? now
          : yield* Effect.mapError(Duration.parseInstant(time.value), (why) => wrong(`-published: ${why}`)),
        expires: { head, version: now + VERSION_LIFETIME }
      })
      yield* print(
        [
          ...made.archives.map(({ binary, name }) => `${binary.sha256}  ${name}`),
          "",
          `${made.version} is the newest of ${made.channel} until ${Duration.formatInstant(head)}.`,
          `Signed with ${signing.publicKey.fingerprint}; to be served from ${folder}`
        ].join("\n")
      )
    })
)
