/** What `tela admin hub channel publish` does, step by step. Nothing is sent before the whole release has been checked. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { HubError } from "../../../../client/HubError.ts"
import { httpOrigin } from "../../../../protocol/HubUrl.ts"
import { channelsPath } from "../../../../protocol/HubApi.ts"
import { oneLine } from "../../../../protocol/Printable.ts"
import * as ReleaseFolder from "../../../../system/release/ReleaseFolder.ts"
import * as Source from "../../../../system/release/Source.ts"
import * as Version from "../../../../system/release/Version.ts"
import { Failed, WrongUsage } from "../../../Failure.ts"
import { quarters } from "../../../Quarters.ts"
import { note, print, Shell } from "../../../Shell.ts"
import type { Admin } from "../AdminFlags.ts"

/** Which release of a folder is meant; the newest of its only channel unless said otherwise. */
export interface Asked {
  readonly channel: string | undefined
  readonly version: string | undefined
}

const checked = (text: string | undefined, flag: string, parse: (text: string) => Either.Either<string, string>) =>
  text === undefined
    ? Effect.succeed(undefined)
    : Either.mapLeft(parse(text), (why) => new WrongUsage({ message: `${flag}: ${why}` }))

/** Checks what stands on the command line. */
export const readAsked = ({ channel, version }: Asked): Effect.Effect<Asked, WrongUsage> =>
  Effect.all({
    channel: checked(channel, "-channel", Source.channelName),
    version: checked(version, "-version", (text) => Either.map(Version.parse(text), ({ text: is }) => is))
  })

/** The release of a folder. */
export const read = (
  folder: string,
  { channel, version }: Asked
): Effect.Effect<ReleaseFolder.Release, ReleaseFolder.NoRelease | WrongUsage> =>
  Effect.gen(function* () {
    const there = yield* ReleaseFolder.channelsIn(folder)
    if (channel === undefined && there.length > 1) {
      return yield* new WrongUsage({
        message: `${folder} has releases of several channels (${there.join(", ")}): give -channel NAME`
      })
    }
    return yield* ReleaseFolder.open(folder, { channel: channel ?? there.join(), version })
  })

/** The archives that the hub does not have yet. */
export const look = (
  admin: Admin,
  { archives, channel }: ReleaseFolder.Release
): Effect.Effect<ReadonlyArray<ReleaseFolder.ReleasedFile>, Failed> =>
  Effect.filter(archives, ({ name, sha256 }) =>
    Effect.gen(function* () {
      const there = yield* admin
        .patient((api, headers) => api.publishing.uploaded({ headers, path: { channel, file: name } }))
        .pipe(
          // It has none, or is too old to say.
          Effect.catchIf(
            ({ kind }) => kind === "not-found",
            () => Effect.succeed(undefined)
          ),
          Effect.mapError(admin.explain)
        )
      if (there === undefined) return true
      if (there.sha256 === sha256) return false
      return yield* new Failed({
        message: `${admin.hub} has ${name} with other contents, and somebody may have it; raise the version`
      })
    })
  )

const sizeOf = (files: ReadonlyArray<ReleaseFolder.ReleasedFile>): number =>
  files.reduce((sum, { size }) => sum + size, 0)

const titleOf = ({ channel, isNewest, version }: ReleaseFolder.Release): string =>
  `${channel} ${version}${isNewest ? "" : ", beside the newest"}`

/** Says what would be sent. */
export const describe = (
  { hub }: Admin,
  release: ReleaseFolder.Release,
  missing: ReadonlyArray<ReleaseFolder.ReleasedFile>
): Effect.Effect<void, never, Shell> => {
  const { archives, elsewhere, manifests } = release
  const lines = archives.map((file) => `  ${file.name}  ${missing.includes(file) ? `${file.size} bytes` : "is there"}`)
  return print(
    [
      oneLine(`Would send to ${hub}, and publish ${titleOf(release)}:`),
      ...(elsewhere === undefined ? lines : [oneLine(`  no archives, which are at ${elsewhere}`)]),
      ...manifests.map(({ bytes, name }) => `  ${name}  ${bytes.length} bytes`),
      "Nothing was sent."
    ].join("\n")
  )
}

/** What a person is told when a file did not get there; the rest has. */
const explain = (admin: Admin, error: HubError): Failed => {
  const { message } = admin.explain(error)
  const again = error.kind === "unreachable" ? "; nothing is published; the same command again sends the rest" : ""
  return new Failed({ message: `${message}${again}` })
}

/** Sends archives, and then the manifests, which count for nothing until they are published. */
export const send = (
  admin: Admin,
  release: ReleaseFolder.Release,
  missing: ReadonlyArray<ReleaseFolder.ReleasedFile>
): Effect.Effect<void, Failed, Shell> =>
  Effect.gen(function* () {
    const shell = yield* Shell
    const { archives, channel, elsewhere, manifests } = release
    const upload = (name: string, bytes: Stream.Stream<Uint8Array, unknown>, size: number) =>
      Effect.mapError(
        admin.send({ bytes, size }, (api, headers) =>
          api.publishing.upload({ headers, path: { channel, file: name }, payload: new Uint8Array() })
        ),
        (error) => explain(admin, error)
      )
    if (elsewhere !== undefined) yield* note(oneLine(`The archives are at ${elsewhere}, and are not sent`))
    if (missing.length < archives.length) {
      yield* note(`${archives.length - missing.length} of ${archives.length} archives are there already`)
    }
    const size = sizeOf(missing)
    const told = quarters(`Sending ${titleOf(release)}`, shell.note)
    let sent = 0
    for (const file of missing) {
      yield* note(`Sending ${file.name} (${file.size} bytes)`)
      const counted = Stream.tap(ReleaseFolder.bytesOf(file), (bytes) => {
        sent += bytes.length
        return told(sent, size)
      })
      yield* upload(file.name, counted, file.size)
    }
    yield* Effect.forEach(manifests, ({ bytes, name }) => upload(name, Stream.make(bytes), bytes.length), {
      discard: true
    })
  })

/** Makes it what everybody gets, and says where. */
export const publish = (admin: Admin, release: ReleaseFolder.Release): Effect.Effect<void, Failed, Shell> =>
  Effect.gen(function* () {
    const { channel, version } = release
    // The hub reads all archives once more.
    yield* Effect.mapError(
      admin.patient((api, headers) => api.publishing.publish({ headers, payload: { channel, tag: version } })),
      admin.explain
    )
    yield* print(
      [
        oneLine(`${admin.hub}: published ${titleOf(release)}`),
        `It is followed with: tela channel sources set ${channel} ${httpOrigin(admin.hub)}${channelsPath}`
      ].join("\n")
    )
  })
