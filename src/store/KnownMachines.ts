/**
 * known_machines.yaml: the fingerprint of each machine's agent, by hub and machine name, as it was at the first use. A
 * different one later is refused until a person accepts it. People may edit the file; their comments stay.
 *
 * ```yaml
 * hubs:
 *   wss://hub.example.com:
 *     barn: SHA256:...
 * ```
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Yaml from "yaml"
import { canonical } from "../protocol/HubUrl.ts"
import { CONFIG_FILE_BYTES } from "../protocol/Limits.ts"
import * as Files from "./internal/files.ts"
import { withLock } from "./internal/lock.ts"
import * as YamlFile from "./YamlFile.ts"

/** What is known of a machine's fingerprint. */
export type Known =
  { readonly _tag: "New" } | { readonly _tag: "Same" } | { readonly _tag: "Changed"; readonly pinned: string }

/** One pin. */
export interface Pin {
  readonly hub: string
  readonly machine: string
  readonly fingerprint: string
}

/** The pins of one user. Every method reads the file anew, so that several programs may use it at once. */
export interface KnownMachines {
  /** Where the pins are, for messages. */
  readonly file: string
  readonly check: (hub: string, machine: string, fingerprint: string) => Effect.Effect<Known, YamlFile.YamlFileError>
  /** Pins at first use; never replaces a pin, and says what it found. */
  readonly pin: (hub: string, machine: string, fingerprint: string) => Effect.Effect<Known, YamlFile.YamlFileError>
  /** Pins, in place of what was pinned; succeeds with the fingerprint that was replaced. */
  readonly accept: (
    hub: string,
    machine: string,
    fingerprint: string
  ) => Effect.Effect<string | undefined, YamlFile.YamlFileError>
  /** Removes a pin; succeeds with it, or undefined when there was none. */
  readonly forget: (hub: string, machine: string) => Effect.Effect<string | undefined, YamlFile.YamlFileError>
  /** All pins, in the order of the file. */
  readonly list: Effect.Effect<ReadonlyArray<Pin>, YamlFile.YamlFileError>
}

/** A fingerprint as people write it: `SHA256:` and 43 characters of base64. */
const Fingerprint = Schema.String.pipe(
  Schema.pattern(/^SHA256:[A-Za-z0-9+/]{43}$/),
  Schema.annotations({ identifier: "Fingerprint", description: "a fingerprint (SHA256:...)" })
)

const PinFile = Schema.Struct({
  hubs: YamlFile.optionalOr(
    Schema.Record({
      key: Schema.String,
      value: Schema.NullOr(Schema.Record({ key: Schema.String, value: Fingerprint }))
    }),
    {}
  )
})

const heading = `# Machines this user has connected to, and the fingerprints of their agents.
# See: tela trust show
`

const pinsOf = (file: typeof PinFile.Type): ReadonlyArray<Pin> =>
  Object.entries(file.hubs).flatMap(([hub, machines]) =>
    Object.entries(machines ?? {}).map(([machine, fingerprint]) => ({ hub: canonical(hub), machine, fingerprint }))
  )

const compare = (pins: ReadonlyArray<Pin>, hub: string, machine: string, fingerprint: string): Known => {
  const pinned = find(pins, hub, machine)?.fingerprint
  if (pinned === undefined) return { _tag: "New" }
  return pinned === fingerprint ? { _tag: "Same" } : { _tag: "Changed", pinned }
}

const find = (pins: ReadonlyArray<Pin>, hub: string, machine: string) =>
  pins.find((pin) => pin.hub === canonical(hub) && pin.machine === machine)

/** The pins in a file. It is made at the first pin. */
export const make = (file: string): KnownMachines => {
  const options = { schema: PinFile }

  const list = YamlFile.read(file, options).pipe(
    Effect.map((loaded) => pinsOf(loaded.value)),
    Effect.catchTag("YamlFileMissing", () => Effect.succeed<ReadonlyArray<Pin>>([]))
  )

  /** Reads, lets `change` edit the document, and writes it back whole, while no other program does the same. */
  const update = <A>(change: (pins: ReadonlyArray<Pin>, document: Yaml.Document) => A) =>
    withLock(
      file,
      Effect.gen(function* () {
        const text = yield* Files.readText(file, CONFIG_FILE_BYTES).pipe(
          Effect.map((read) => read.text),
          Effect.catchIf(
            (problem) => problem.code === "ENOENT",
            () => Effect.succeed(heading)
          )
        )
        const pins = pinsOf((yield* YamlFile.decode(file, text, options)).value)
        const document: Yaml.Document = Yaml.parseDocument(text)
        const result = change(pins, document)
        const changed = String(document)
        if (changed !== text) yield* Files.replace(file, changed)
        return result
      })
    ).pipe(
      Effect.catchTag(
        "FileProblem",
        ({ problem }) => new YamlFile.YamlFileError({ file, problem: `cannot be written: ${problem}` })
      )
    )

  /** The key under which the file has this hub, in whatever spelling. */
  const hubKey = (document: Yaml.Document, hub: string): string => {
    const hubs = document.get("hubs")
    const keys = Yaml.isMap(hubs) ? hubs.items.map((item) => String(item.key)) : []
    return keys.find((key) => canonical(key) === canonical(hub)) ?? canonical(hub)
  }

  const set = (document: Yaml.Document, hub: string, machine: string, fingerprint: string) => {
    const path = ["hubs", hubKey(document, hub)]
    // An empty key holds null, inside which nothing can be set.
    if (!Yaml.isMap(document.getIn(["hubs"]))) document.setIn(["hubs"], document.createNode({}))
    if (!Yaml.isMap(document.getIn(path))) document.setIn(path, document.createNode({}))
    document.setIn([...path, machine], fingerprint)
  }

  return {
    file,
    list,
    check: (hub, machine, fingerprint) => Effect.map(list, (pins) => compare(pins, hub, machine, fingerprint)),
    pin: (hub, machine, fingerprint) =>
      update((pins, document) => {
        const known = compare(pins, hub, machine, fingerprint)
        if (known._tag === "New") set(document, hub, machine, fingerprint)
        return known
      }),
    accept: (hub, machine, fingerprint) =>
      update((pins, document) => {
        set(document, hub, machine, fingerprint)
        return find(pins, hub, machine)?.fingerprint
      }),
    forget: (hub, machine) =>
      update((pins, document) => {
        const pin = find(pins, hub, machine)
        if (pin !== undefined) document.deleteIn(["hubs", hubKey(document, hub), machine])
        return pin?.fingerprint
      })
  }
}

/** Pins that live no longer than the process; for tests and embedders that keep their own. */
export const memory = (): KnownMachines => {
  let pins: ReadonlyArray<Pin> = []
  const remove = (hub: string, machine: string) => {
    const pin = find(pins, hub, machine)
    pins = pins.filter((other) => other !== pin)
    return pin?.fingerprint
  }
  const put = (hub: string, machine: string, fingerprint: string) => {
    const replaced = remove(hub, machine)
    pins = [...pins, { hub: canonical(hub), machine, fingerprint }]
    return replaced
  }
  return {
    file: "memory",
    list: Effect.sync(() => pins),
    check: (hub, machine, fingerprint) => Effect.sync(() => compare(pins, hub, machine, fingerprint)),
    pin: (hub, machine, fingerprint) =>
      Effect.sync(() => {
        const known = compare(pins, hub, machine, fingerprint)
        if (known._tag === "New") put(hub, machine, fingerprint)
        return known
      }),
    accept: (hub, machine, fingerprint) => Effect.sync(() => put(hub, machine, fingerprint)),
    forget: (hub, machine) => Effect.sync(() => remove(hub, machine))
  }
}
