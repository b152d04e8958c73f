/**
 * `channel` of the three programs: which release channel it follows, and what that offers (spec: cli 7.2, 7.3).
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { oneLine } from "../protocol/Printable.ts"
import * as ChannelSources from "./ChannelSources.ts"
import * as Command from "./Command.ts"
import type { Given } from "./Command.ts"
import * as Flags from "./Flags.ts"
import { ca } from "./NetworkFlags.ts"
import { print, printJson } from "./Shell.ts"
import * as Updates from "./Updates.ts"
import type { Program } from "./UpdateWork.ts"

const manifestBase = Flags.text({ name: "manifest-base", placeholder: "URL", description: "where the channel is" })

/** The four lines of what is followed. */
const status = (program: Program) => (given: Given) =>
  Effect.gen(function* () {
    const asJson = yield* given.flag(ChannelSources.json)
    const work = yield* Updates.work
    const { current, offer, place, release } = yield* work.find(program, {}, yield* work.settings(program, given))
    const found = yield* Effect.either(offer)
    const manifest = place.address ?? ""
    const state = Either.isRight(found) ? work.stateOf(found.right.version, current) : ""
    const latestVersion = Either.isRight(found) ? found.right.version.text : ""
    if (asJson) {
      return yield* printJson({
        channel: place.wanted.channel,
        manifestUrl: manifest,
        currentVersion: release.version,
        latestVersion,
        updateAvailable: state === "update available",
        ...(Either.isLeft(found) && { error: found.left.message })
      })
    }
    const latest = Either.isRight(found) ? `${latestVersion}  (${state})` : `unavailable (${found.left.message})`
    yield* print(
      [
        `  channel:         ${place.wanted.channel}`,
        `  manifest:        ${manifest || "(no source)"}`,
        `  current version: ${release.version}`,
        `  latest version:  ${oneLine(latest)}`
      ].join("\n")
    )
  })

const show = (program: Program) =>
  Command.make(
    {
      name: "show",
      summary: "show the newest release of a channel, with its files",
      flags: [...program.flags, Updates.channel, ca],
      examples: [`${program.name} channel show`, `${program.name} channel show -channel beta`]
    },
    (given) =>
      Effect.gen(function* () {
        const asked = Option.getOrUndefined(yield* given.flag(Updates.channel))
        const work = yield* Updates.work
        const found = yield* work.find(program, { channel: asked }, yield* work.settings(program, given))
        const { address, key, verified } = yield* found.offer
        const { binaries, channel, expires, publishedAt, tag, version } = verified.manifest
        const files = Object.entries(binaries).map(
          ([file, { sha256, size }]) => `  ${file.padEnd(40)} ${String(size).padStart(12)} bytes  sha256:${sha256}`
        )
        yield* print(
          [
            `Channel:   ${channel}`,
            `Version:   ${version}`,
            `Tag:       ${tag}`,
            `Published: ${publishedAt}`,
            `Expires:   ${expires}`,
            `Signed by: ${key.fingerprint}`,
            `Source:    ${address}`,
            "",
            "Binaries:",
            ...files
          ]
            .map(oneLine)
            .join("\n")
        )
      })
  )

const set = (program: Program) =>
  Command.make(
    {
      name: "set",
      summary: "follow another channel",
      flags: [...program.flags, manifestBase],
      positionals: [ChannelSources.name],
      examples: [
        `${program.name} channel set beta`,
        `${program.name} channel set stable -manifest-base ${ChannelSources.address}`
      ]
    },
    (given) =>
      Effect.gen(function* () {
        const work = yield* Updates.work
        const channel = yield* work.channelName(yield* given.word(ChannelSources.name), "<channel>")
        const base = yield* Effect.transposeOption(
          Option.map(yield* given.flag(manifestBase), (text) => work.baseAddress(text, "-manifest-base"))
        )
        const store = yield* work.writable(program, given)
        const { sources } = yield* store.change({
          channel,
          ...(Option.isSome(base) && { source: { name: channel, base: base.value } })
        })
        yield* print(`${program.name} follows ${channel} (${store.file}).`)
        if (Object.hasOwn(sources, channel)) return
        yield* print(`It has no source yet; run: ${ChannelSources.example(program, channel)}`)
      })
  )

/** The commands of one of the programs. */
export const command = (program: Program): Command.Command =>
  Command.make(
    {
      name: "channel",
      summary: "show or choose the release channel that updates come from",
      flags: [...program.flags, ChannelSources.json, ca],
      subcommands: [show(program), set(program), ChannelSources.command(program)],
      examples: [`${program.name} channel`, `${program.name} channel set stable`]
    },
    status(program)
  )
