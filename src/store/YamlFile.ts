/**
 * A YAML file that a person writes, read as a value of a Schema. What is wrong is said with file, line and column; a key
 * that nobody knows is an error that names the nearest known one; a key that a deployed program knows and this one does
 * not serve yet is a warning.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Yaml from "yaml"
import { CONFIG_FILE_BYTES } from "../protocol/Limits.ts"
import * as Duration from "../protocol/Duration.ts"
import { didYouMean } from "../protocol/Nearest.ts"
import * as Files from "./internal/files.ts"

/** A duration as people write it, `2m`; in milliseconds, at most `most`. */
export const duration = (most: number): Schema.Schema<number, unknown> =>
  Schema.transformOrFail(Schema.Unknown, Schema.Number, {
    strict: true,
    decode: (value, _options, ast) => {
      const millis = typeof value === "string" ? Duration.parse(value) : Either.left("")
      return Either.isRight(millis) && millis.right <= most
        ? ParseResult.succeed(millis.right)
        : ParseResult.fail(new ParseResult.Type(ast, value))
    },
    encode: ParseResult.succeed
  }).annotations({ description: `a duration up to ${most / 60_000}m, such as 30s` })

/** The file is not there, which for some callers is a first start. */
export class YamlFileMissing extends Schema.TaggedError<YamlFileMissing>()("YamlFileMissing", { file: Schema.String }) {
  override get message(): string {
    return `${this.file}: no such file`
  }
}

/** The file cannot be used as it stands. Line and column count from 1; both are absent when the whole file is meant. */
export class YamlFileError extends Schema.TaggedError<YamlFileError>()("YamlFileError", {
  file: Schema.String,
  line: Schema.optional(Schema.Int),
  column: Schema.optional(Schema.Int),
  problem: Schema.String
}) {
  override get message(): string {
    return `${at(this)}: ${this.problem}`
  }
}

/** Something a person should know, though the file is usable: `file:line:column: text`. */
export type YamlWarning = string

type Path = ReadonlyArray<PropertyKey>

interface Position {
  readonly line: number
  readonly column: number
}

/** A file that was read and decoded. */
export interface Loaded<A> {
  readonly value: A
  readonly warnings: ReadonlyArray<YamlWarning>
  /** An error about the value at `path`, for checks that a Schema cannot make. */
  readonly problemAt: (path: Path, problem: string) => YamlFileError
}

/** How to read. */
export interface Options<A, I> {
  readonly schema: Schema.Schema<A, I>
  /**
   * Keys that are accepted with a warning and not decoded, as paths in which `*` stands for any list index or key:
   * `update`, `machines.*.shares`.
   */
  readonly notServed?: ReadonlyArray<string>
  /** Warn when others than the owner can read the file, because it holds secrets. */
  readonly secrets?: boolean
  /** CONFIG_FILE_BYTES unless given. */
  readonly maxBytes?: number
  /** Lines of the file that the lines of the text are, counted from 1, when it is only a part of it. */
  readonly lines?: ReadonlyArray<number>
}

/** An optional key; one with nothing behind its colon counts as absent. */
export const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

/** The same with a default. */
export const optionalOr = <A, I>(schema: Schema.Schema<A, I>, value: NoInfer<A>) =>
  Schema.optionalWith(schema, { nullable: true, default: () => value })

const at = (place: {
  readonly file: string
  readonly line?: number | undefined
  readonly column?: number | undefined
}) => (place.line === undefined ? place.file : `${place.file}:${place.line}:${place.column ?? 1}`)

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isList = <A>(value: A | ReadonlyArray<A>): value is ReadonlyArray<A> => Array.isArray(value)

/** `machines[0].ports`, as a person would write it. */
const written = (path: Path): string =>
  path.map((key, i) => (typeof key === "number" ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`)).join("")

/** Reads and decodes a file. */
export const read = <A, I>(
  file: string,
  options: Options<A, I>
): Effect.Effect<Loaded<A>, YamlFileMissing | YamlFileError> =>
  Effect.gen(function* () {
    const { text, exposed } = yield* Effect.mapError(
      Files.readText(file, options.maxBytes ?? CONFIG_FILE_BYTES),
      ({ code, problem }) => (code === "ENOENT" ? new YamlFileMissing({ file }) : new YamlFileError({ file, problem }))
    )
    const loaded = yield* decode(file, text, options)
    if (!exposed || options.secrets !== true) return loaded
    const warning = `${file}: other users can read this file, and it holds secrets; run: chmod 600 ${file}`
    return { ...loaded, warnings: [warning, ...loaded.warnings] }
  })

/** Decodes the text of a file; `file` only names it in errors. */
export const decode = <A, I>(
  file: string,
  text: string,
  options: Options<A, I>
): Either.Either<Loaded<A>, YamlFileError> => {
  const lines = new Yaml.LineCounter()
  const document = Yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: options.lines?.[line - 1] ?? Math.max(1, line), column: Math.max(1, col) }
  }
  const error = (position: Position | undefined, problem: string) => new YamlFileError({ file, ...position, problem })

  const [broken] = document.errors
  if (broken !== undefined) return Either.left(error(positionOf(broken.pos[0]), firstSentence(broken.message)))
  const parsed = Either.try({
    try: (): unknown => document.toJS({ maxAliasCount: 100 }),
    catch: () => error(undefined, "too many aliases")
  })
  if (Either.isLeft(parsed)) return Either.left(parsed.left)
  const content = parsed.right ?? {}

  const positionAt = (path: Path): Position | undefined => {
    const offset = offsetOf(document.contents, path)
    return offset === undefined ? undefined : positionOf(offset)
  }
  const warnings: Array<YamlWarning> = []
  for (const pattern of options.notServed ?? []) {
    for (const path of removeMatching(content, pattern.split("."))) {
      const place = at({ file, ...positionAt(path) })
      warnings.push(`${place}: "${written(path)}" is not served by this version and has no effect`)
    }
  }
  const notServed = (options.notServed ?? []).map((pattern) => pattern.split("."))
  const result = Schema.decodeUnknownEither(options.schema, { onExcessProperty: "error", errors: "all" })(content)
  if (Either.isRight(result)) {
    const problemAt = (path: Path, problem: string) => error(positionAt(path), problem)
    return Either.right({ value: result.right, warnings, problemAt })
  }
  const problems = problemsOf(result.left.issue, [], notServed)
    .map((problem) => ({ ...problem, position: positionAt(problem.path) }))
    .sort(
      (a, b) => Number(a.isMissing === true) - Number(b.isMissing === true) || order(a.position) - order(b.position)
    )
  const [first] = problems
  return Either.left(error(first?.position, first?.problem ?? "not what this file should hold"))
}

const order = (position: Position | undefined): number =>
  position === undefined ? 0 : position.line * 1e6 + position.column

const firstSentence = (text: string): string => text.split("\n")[0]?.trim() ?? text

/** The offset of the key (or list item) at `path`, or of the nearest place above it that the file has. */
const offsetOf = (root: unknown, path: Path): number | undefined => {
  let node = root
  let offset = Yaml.isNode(root) ? root.range?.[0] : undefined
  for (const key of path) {
    if (Yaml.isMap(node)) {
      const pair = node.items.find(
        (item) => String(Yaml.isScalar(item.key) ? item.key.value : item.key) === String(key)
      )
      if (pair === undefined) return offset
      if (Yaml.isNode(pair.key)) offset = pair.key.range?.[0] ?? offset
      node = pair.value
    } else if (Yaml.isSeq(node) && typeof key === "number") {
      node = node.items[key]
      if (Yaml.isNode(node)) offset = node.range?.[0] ?? offset
    } else return offset
  }
  return offset
}

/** Takes what the pattern names out of a plain value, and says where it was. */
const removeMatching = (value: unknown, pattern: ReadonlyArray<string>, above: Path = []): ReadonlyArray<Path> => {
  const [key, ...rest] = pattern
  if (key === undefined) return []
  if (Array.isArray(value)) {
    return key === "*" ? value.flatMap((item, i) => removeMatching(item, rest, [...above, i])) : []
  }
  if (!isRecord(value)) return []
  const keys = key === "*" ? Object.keys(value) : key in value ? [key] : []
  return keys.flatMap((name) => {
    if (rest.length > 0) return removeMatching(value[name], rest, [...above, name])
    delete value[name]
    return [[...above, name]]
  })
}

interface Problem {
  readonly path: Path
  readonly problem: string
  /** A key is not there: it may stand there misspelt, which says more, and is another problem. */
  readonly isMissing?: boolean
}

type Patterns = ReadonlyArray<ReadonlyArray<string>>

/** The last names of the patterns that apply at `path`: known too, when a misspelt key is to be explained. */
const notServedAt = (path: Path, patterns: Patterns): ReadonlyArray<string> =>
  patterns
    .filter(
      (pattern) =>
        pattern.length === path.length + 1 && path.every((key, i) => ["*", String(key)].includes(pattern[i] ?? ""))
    )
    .map((pattern) => pattern.at(-1) ?? "")

const keysOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  switch (ast._tag) {
    case "TypeLiteral":
      return ast.propertySignatures.map((property) => String(property.name))
    case "Transformation":
    case "Refinement":
      return keysOf(ast.from)
    default:
      return []
  }
}

const problemsOf = (
  issue: ParseResult.ParseIssue,
  path: Path,
  patterns: Patterns,
  known: ReadonlyArray<string> = []
): ReadonlyArray<Problem> => {
  switch (issue._tag) {
    case "Pointer": {
      const deeper = isList(issue.path) ? [...path, ...issue.path] : [...path, issue.path]
      return problemsOf(issue.issue, deeper, patterns, known)
    }
    case "Unexpected": {
      const key = String(path.at(-1))
      const candidates = [...known, ...notServedAt(path.slice(0, -1), patterns)]
      return [{ path, problem: `unknown key "${key}"${didYouMean(key, candidates)}` }]
    }
    case "Missing":
      return [{ path, problem: `${written(path)} is missing`, isMissing: true }]
    case "Composite": {
      const issues: ReadonlyArray<ParseResult.ParseIssue> = isList(issue.issues) ? issue.issues : [issue.issues]
      const found = issues.map((each) => problemsOf(each, path, patterns, keysOf(issue.ast)))
      if (issue.ast._tag !== "Union") return found.flat()
      // Of a choice, the member that got furthest is the one that was meant.
      const depth = (problems: ReadonlyArray<Problem>) => Math.max(0, ...problems.map((each) => each.path.length))
      const best = found.reduce((deepest, each) => (depth(each) > depth(deepest) ? each : deepest))
      const described = issue.ast.annotations[SchemaAST.DescriptionAnnotationId] !== undefined
      return described && depth(best) === path.length ? [mismatch(issue, path)] : best
    }
    case "Refinement":
      return issue.kind === "From" ? problemsOf(issue.issue, path, patterns, known) : [mismatch(issue, path)]
    case "Transformation":
      return issue.kind === "Transformation" ? [mismatch(issue, path)] : problemsOf(issue.issue, path, patterns, known)
    default:
      return [mismatch(issue, path)]
  }
}

const mismatch = (issue: ParseResult.ParseIssue & { readonly ast: SchemaAST.AST }, path: Path): Problem => {
  return {
    path,
    problem: `${written(path) || "the file"}: expected ${wanted(issue.ast)}, got ${shown(issue.actual, path)}`
  }
}

const wanted = (ast: SchemaAST.AST): string => {
  const described = ast.annotations[SchemaAST.DescriptionAnnotationId]
  if (typeof described === "string") return described
  if (ast._tag === "TypeLiteral") return "a map"
  return ast._tag === "TupleType" ? "a list" : String(ast)
}

/** What stands there instead; never the value of a key that may hold a secret. */
const shown = (actual: unknown, path: Path): string => {
  if (actual === null || actual === undefined) return "nothing"
  if (Array.isArray(actual)) return "a list"
  if (typeof actual === "object") return "a map"
  if (path.some((key) => /token|secret|key/i.test(String(key)))) return `a ${typeof actual}`
  return typeof actual === "string" ? JSON.stringify(actual.slice(0, 60)) : String(actual)
}
