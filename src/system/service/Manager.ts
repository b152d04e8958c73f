/**
 * A service manager: what each operating system has for services, as far as we need it. Of it there are three:
 * {@link file://./Systemd.ts}, {@link file://./Launchd.ts} and {@link file://./TaskScheduler.ts}.
 */
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type { Definition, ServiceScope } from "./Definition.ts"
import type { Answer, ManagerCall } from "./ManagerCall.ts"
import type { Place } from "./Place.ts"
import { ServiceError } from "./ServiceError.ts"

/** What a service manager says of a service. */
export interface ServiceState {
  readonly running: boolean
  /** Whether it starts by itself, at boot or login. */
  readonly enabled: boolean
  /** The manager's own words, one line. */
  readonly status: string
}

/** Something that is done with a service; it ends when it is done. */
type Act = Effect.Effect<void, ServiceError, ManagerCall>

export interface Manager {
  /** What people call it. */
  readonly title: string
  /** What it calls the service. */
  readonly service: string
  /** What people should know of its services, one sentence each. */
  readonly notes: ReadonlyArray<string>
  /** Whether it sets variables that people write into a file. */
  readonly readsVariables: boolean
  /** Where people read the service's log. */
  readonly log: string
  /** The text of its file. */
  readonly text: (definition: Definition) => Either.Either<string, ServiceError>
  /** How that text stands in the file. */
  readonly encoding: "utf8" | "utf16le"
  /** Fails with a sentence when it does not run here. */
  readonly available: Act
  /** Takes the file in, and lets the service start by itself from then on; does not start it now. */
  readonly register: Act
  /** Stops it, and forgets it. Its file is taken away after `leave` and before `forget`. */
  readonly leave: Act
  readonly forget: Act
  readonly start: Act
  readonly stop: Act
  readonly restart: Act
  readonly state: Effect.Effect<ServiceState, ServiceError, ManagerCall>
}

/** What a manager has to know of the service that it is asked for. */
export interface Subject {
  readonly name: string
  readonly scope: ServiceScope
  readonly place: Place
}

/** The first line that a program said on its way to failing. */
const firstLine = ({ code, stderr, stdout }: Answer): string => {
  const line = `${stderr}\n${stdout}`.split("\n").find((text) => text.trim() !== "")
  return line?.trim().replace(/\.$/, "") ?? `exit code ${code}`
}

/** A failure of a manager's program in a sentence. */
export const failed = (what: string, answer: Answer, hint?: string): ServiceError =>
  new ServiceError({ problem: `${what}: ${firstLine(answer)}${hint === undefined ? "" : `; ${hint}`}` })
