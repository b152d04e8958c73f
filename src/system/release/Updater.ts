/**
 * How a running program is updated from afar: what the management actions `update`, `update-status`, `update-channel` and
 * `channel-sources-*` do (spec: wire 7.3, hub-api 1.16, 1.17). Only what is signed with the key of the installed release is
 * ever installed, whoever asks; an older version never, since whoever asks from afar may be a hub that lies.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Why an update was not begun, or a channel not changed; nothing has changed. The message says what to do. */
export class UpdateRefused extends Data.TaggedError("UpdateRefused")<{
  /**
   * `invalid`: the request makes no sense (400). `refused`: it may not be done, or there is nothing to do it with (409).
   * `busy`: an update is under way (409). `unreachable`: the channel cannot be read, or not be believed (502).
   * `unwritable`: it could not be stored (500).
   */
  readonly kind: "invalid" | "refused" | "busy" | "unreachable" | "unwritable"
  readonly message: string
}> {}

/** What is asked for. An absent or empty version, and `latest`, is the head of the channel. */
export interface UpdateRequest {
  readonly version?: string | undefined
  /** Another channel than the configured one, this time only. */
  readonly channel?: string | undefined
  /** Another base address of the channel than its source, this time only. */
  readonly base?: string | undefined
}

/** What will be done. `message` is the sentence of the deployed programs: `updating to vX` or `already running vX`. */
export interface UpdateBegun {
  readonly version: string
  /** False when that version runs already. */
  readonly begun: boolean
  readonly message: string
}

/** What became of the last update: it goes on, waits for a restart, runs on trial, failed, or was rolled back. */
export interface LastUpdate {
  readonly version: string
  readonly state: "downloading" | "installing" | "installed" | "on-trial" | "failed" | "rolled-back"
  /** A sentence for people: how far it is, or why it failed. */
  readonly text: string
}

/** The channel, and whether it has something newer. */
export interface UpdateStatus {
  readonly channel: string
  /** Empty when the channel has no source. */
  readonly manifestUrl: string
  readonly currentVersion: string
  /** Empty when the channel could not be read; `error` says why. */
  readonly latestVersion: string
  readonly updateAvailable: boolean
  /** Base addresses by channel. */
  readonly sources: Readonly<Record<string, string>>
  readonly error?: string
  /** Absent when there was none since the program was installed, and when what came of it runs and has been proved. */
  readonly last?: LastUpdate
}

/** A channel, and where its manifest is; empty when it has no source. */
export interface ChannelAnswer {
  readonly channel: string
  readonly manifestUrl: string
}

/** The updates of this program. */
export class Updater extends Context.Tag("tela/system/release/Updater")<
  Updater,
  {
    /** Asks the channel, within UPDATE_MANIFEST_TIMEOUT; what cannot be found out is said in `error`. */
    readonly status: Effect.Effect<UpdateStatus>
    /**
     * Succeeds when the release is known to be signed, newer, and for this program and machine. The download, the install
     * and the restart follow on their own; `status.last` and the log say what became of them.
     */
    readonly update: (request: UpdateRequest) => Effect.Effect<UpdateBegun, UpdateRefused>
    readonly channel: Effect.Effect<ChannelAnswer, UpdateRefused>
    /** Stores the channel, and a base address for it when one is given. Without either nothing changes. */
    readonly setChannel: (request: {
      readonly channel?: string | undefined
      readonly base?: string | undefined
    }) => Effect.Effect<ChannelAnswer, UpdateRefused>
    readonly sources: Effect.Effect<Readonly<Record<string, string>>, UpdateRefused>
    /** Stores a base address, and succeeds with it in the form in which it is kept. */
    readonly setSource: (name: string, base: string) => Effect.Effect<string, UpdateRefused>
    /** Succeeds with whether there was one. */
    readonly removeSource: (name: string) => Effect.Effect<boolean, UpdateRefused>
  }
>() {}

/** For a program that cannot be updated from here: part of another one, or not installed from a release. */
export const layerUnavailable = (currentVersion: string, message: string): Layer.Layer<Updater> => {
  const refused = new UpdateRefused({ kind: "refused", message })
  return Layer.succeed(Updater, {
    status: Effect.succeed({
      channel: "",
      manifestUrl: "",
      currentVersion,
      latestVersion: "",
      updateAvailable: false,
      sources: {},
      error: message
    }),
    update: () => refused,
    channel: refused,
    setChannel: () => refused,
    sources: refused,
    setSource: () => refused,
    removeSource: () => refused
  })
}
