/**
 * Flags and positionals, declared once: the name, the environment variable that stands in for it, what help says of it,
 * and how its value is decoded, which is @effect/cli's work.
 */
import { stripVTControlCharacters } from "node:util"
import * as Args from "@effect/cli/Args"
import * as CliConfig from "@effect/cli/CliConfig"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Terminal from "@effect/platform/Terminal"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Token from "../crypto/Token.ts"
import * as Duration from "../protocol/Duration.ts"
import { WrongUsage } from "./Failure.ts"

/** What help and the reading of the command line need to know of a flag. */
export interface FlagInfo {
  readonly name: string
  /** Shown in place of the value; undefined for a flag that takes none. */
  readonly placeholder: string | undefined
  /** Variables that stand in for it, the first one that is set. */
  readonly env: ReadonlyArray<string>
  readonly description: string
  readonly secret: boolean
}

/** A flag whose decoded value is an `A`. */
export interface Flag<A> {
  readonly info: FlagInfo
  readonly options: Options.Options<A>
}

/** A flag that may be absent. */
export type OptionalFlag<A> = Flag<Option.Option<A>>

/** A positional. */
export interface Positional<A> {
  readonly placeholder: string
  readonly args: Args.Args<A>
}

/** A value, and where it came from in a person's words: `-token`, or the name of a variable. */
export interface Sourced<A> {
  readonly value: A
  readonly source: string
}

interface Declaration {
  readonly name: string
  readonly placeholder: string
  readonly description: string
  readonly env?: string | ReadonlyArray<string>
}

const variablesOf = ({ env = [] }: Declaration): ReadonlyArray<string> => (typeof env === "string" ? [env] : env)

const info = (declaration: Declaration, secret = false): FlagInfo => ({
  name: declaration.name,
  placeholder: declaration.placeholder,
  description: declaration.description,
  env: variablesOf(declaration),
  secret
})

const sourced = (declaration: Declaration): Options.Options<Option.Option<Sourced<string>>> => {
  const { name } = declaration
  const flag = Options.map(Options.text(name), (value): Sourced<string> => ({ value, source: `-${name}` }))
  const [first, ...rest] = variablesOf(declaration).map((env) =>
    Config.map(Config.string(env), (value): Sourced<string> => ({ value, source: env }))
  )
  if (first === undefined) return Options.optional(flag)
  const variable = rest.reduce((before, next) => Config.orElse(before, () => next), first)
  return Options.optional(Options.withFallbackConfig(flag, variable))
}

const invalid = (sentence: string) => ValidationError.invalidValue(HelpDoc.p(sentence))

/** An empty variable counts as absent. An empty flag is a mistake: what it was to limit must not be without limit. */
const filled = (declaration: Declaration): Options.Options<Option.Option<Sourced<string>>> =>
  Options.mapEffect(sourced(declaration), (given) => {
    const { name, placeholder } = declaration
    if (!Option.exists(given, ({ value }) => value === "")) return Effect.succeed(given)
    return Option.exists(given, ({ source }) => source === `-${name}`)
      ? Effect.fail(invalid(`-${name} is empty: give -${name} ${placeholder}, or leave it out`))
      : Effect.succeedNone
  })

/** A text. */
export const text = (declaration: Declaration): OptionalFlag<string> => ({
  info: info(declaration),
  options: Options.map(
    filled(declaration),
    Option.map(({ value }) => value)
  )
})

/** A text that may be empty, where that means something. */
export const textOrEmpty = (declaration: Declaration): OptionalFlag<string> => ({
  info: info(declaration),
  options: Options.map(
    sourced(declaration),
    Option.map(({ value }) => value)
  )
})

/** A secret, with where it came from. Flags of this kind are wiped from the process listing (bin/launch.mjs). */
export const secret = (declaration: Declaration): OptionalFlag<Sourced<Redacted.Redacted>> => ({
  info: info(declaration, true),
  options: Options.map(
    filled(declaration),
    Option.map(({ value, source }) => ({ value: Redacted.make(value), source }))
  )
})

/** What is wrong with a text that cannot be sent as a token; `source` names it. The text itself is not repeated. */
export const notAToken = (source: string): string =>
  `${source} holds a line break or another character that no token can have; copy it again`

/** A token: a secret that can be sent as one. */
export const token = (declaration: Declaration): OptionalFlag<Sourced<Redacted.Redacted>> => {
  const { info, options } = secret(declaration)
  return {
    info,
    options: Options.mapEffect(options, (given) =>
      Option.match(given, {
        onNone: () => Effect.succeed(given),
        onSome: ({ source, value }) =>
          Token.format.test(Redacted.value(value)) ? Effect.succeed(given) : Effect.fail(invalid(notAToken(source)))
      })
    )
  }
}

/** A whole number from `least` to `most`. */
export const integer = (
  declaration: Declaration & { readonly least: number; readonly most: number }
): OptionalFlag<number> => ({
  info: info(declaration),
  options: Options.mapEffect(sourced(declaration), (given) => {
    if (Option.isNone(given)) return Effect.succeed(Option.none<number>())
    const { value, source } = given.value
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
    return number >= declaration.least && number <= declaration.most
      ? Effect.succeed(Option.some(number))
      : Effect.fail(invalid(`${source} is a number from ${declaration.least} to ${declaration.most}, not "${value}"`))
  })
})

/** A duration such as 30s or 2m, in milliseconds, at most `most`. */
export const duration = (declaration: Declaration & { readonly most: number }): OptionalFlag<number> => ({
  info: info(declaration),
  options: Options.mapEffect(sourced(declaration), (given) => {
    if (Option.isNone(given)) return Effect.succeed(Option.none<number>())
    const { value, source } = given.value
    const { most } = declaration
    return Either.match(Duration.parse(value), {
      onLeft: (problem) => Effect.fail(invalid(`${source}: ${problem}`)),
      onRight: (millis) =>
        millis <= most
          ? Effect.succeed(Option.some(millis))
          : Effect.fail(invalid(`${source} is at most ${most / 60_000}m, not ${value}`))
    })
  })
})

/** One of some words; `otherwise` when it is not given, and `empty`, if there is one, when it is given and empty. */
export const choice = <const A extends string>(
  declaration: Declaration & { readonly choices: ReadonlyArray<A>; readonly otherwise: A; readonly empty?: A }
): Flag<A> => ({
  info: info(declaration),
  options: Options.mapEffect(sourced(declaration), (given) => {
    if (Option.isNone(given)) return Effect.succeed(declaration.otherwise)
    const { value, source } = given.value
    const found = value === "" ? declaration.empty : declaration.choices.find((word) => word === value)
    return found === undefined
      ? Effect.fail(invalid(`${source} is one of ${declaration.choices.join(", ")}, not "${value}"`))
      : Effect.succeed(found)
  })
})

/** A flag without value; false when it is not given. */
export const toggle = (name: string, description: string): Flag<boolean> => ({
  info: { name, placeholder: undefined, env: [], description, secret: false },
  options: Options.boolean(name, { ifPresent: true })
})

/** A positional that must be there. */
export const argument = (placeholder: string): Positional<string> => ({
  placeholder,
  args: Args.text({ name: placeholder })
})

/** A positional that may be absent. */
export const optionalArgument = (placeholder: string): Positional<Option.Option<string>> => ({
  placeholder: `${placeholder}?`,
  args: Args.optional(Args.text({ name: placeholder }))
})

/** The value of a flag without which the command makes no sense. */
export const required = <A>(flag: OptionalFlag<A>, value: Option.Option<A>): Effect.Effect<A, WrongUsage> => {
  const { env, name, placeholder } = flag.info
  const variable = env.length === 0 ? "" : `, or set ${env.join(" or ")}`
  return Option.match(value, {
    onNone: () => new WrongUsage({ message: `-${name} is missing: give -${name} ${placeholder ?? ""}${variable}` }),
    onSome: Effect.succeed
  })
}

/** No file, folder or terminal is touched while values are decoded. */
const environment = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Layer.succeed(Terminal.Terminal, {
    columns: Effect.succeed(80),
    rows: Effect.succeed(24),
    isTTY: Effect.succeed(false),
    readInput: Mailbox.make<Terminal.UserInput>(),
    readLine: Effect.fail(new Terminal.QuitException()),
    display: () => Effect.void
  })
)

const config = CliConfig.make({ isCaseSensitive: true })

const usageError = (error: ValidationError.ValidationError): WrongUsage =>
  new WrongUsage({ message: stripVTControlCharacters(HelpDoc.toAnsiText(error.error)).replace(/\s+/g, " ").trim() })

/** How @effect/cli wants a flag: one dash before a letter, two before a word. */
const dashed = (name: string): string => `${name.length === 1 ? "-" : "--"}${name}`

/** Decodes one flag from what was given for it, else from its environment variable. */
export const decodeFlag = <A>(flag: Flag<A>, given: string | undefined): Effect.Effect<A, WrongUsage> =>
  Options.processCommandLine(flag.options, given === undefined ? [] : [dashed(flag.info.name), given], config).pipe(
    Effect.map(([, , value]) => value),
    Effect.mapError(usageError),
    Effect.provide(environment)
  )

/** Decodes one positional. */
export const decodePositional = <A>(
  positional: Positional<A>,
  given: string | undefined
): Effect.Effect<A, WrongUsage> =>
  Args.validate(positional.args, given === undefined ? [] : [given], config).pipe(
    Effect.map(([, value]) => value),
    Effect.mapError(() => new WrongUsage({ message: `<${positional.placeholder}> is missing` })),
    Effect.provide(environment)
  )
