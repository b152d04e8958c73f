import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type { Definition } from "../../../src/system/service/Definition.ts"
import { plist } from "../../../src/system/service/Plist.ts"
import { agent, hostile, mine, untellable } from "./definitions.ts"

const daemon: Definition = {
  ...agent,
  command: ["/usr/local/bin/node", "/usr/local/lib/tela/bin/telad", "-config", "/etc/tela/telad/telad.yaml"],
  environment: { TELA_HOME: "/etc/tela/telad", TELAD_SUPERVISED: "1" },
  folder: "/etc/tela/telad",
  runsAs: { _tag: "Owner", uid: 0, gid: 0 },
  logFile: "/var/log/telad.log"
}

const golden = (name: string): string => Fs.readFileSync(new URL(`golden/${name}`, import.meta.url), "utf8")

const text = (definition: Definition): string => Either.getOrThrow(plist(definition))

const unescaped = (xml: string): string =>
  xml
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&")

const strings = (xml: string): ReadonlyArray<string> =>
  [...xml.matchAll(/<(?:string|key)>([^<]*)<\/(?:string|key)>/g)].map(([, value = ""]) => unescaped(value))

const tags = (xml: string): ReadonlyArray<string> => xml.match(/<[^>]*>/g) ?? []

describe("Plist", () => {
  it.each([
    ["com.tela.telad.daemon.plist", daemon],
    ["com.tela.telad.agent.plist", { ...mine, logFile: "/Users/ann/Library/Logs/tela/telad.log" }]
  ] as const)("%s", (name, definition) => {
    assert.strictEqual(text(definition), golden(name))
  })

  it.each(hostile)("%j stays one string wherever it stands", (word) => {
    const made = text({
      ...daemon,
      command: [word, `/opt/${word}`, word],
      environment: { TELA_HOME: word, TELAD_SUPERVISED: "1" },
      folder: `/etc/${word}`,
      logFile: `/var/log/${word}`
    })
    const found = strings(made)
    assert.deepStrictEqual(found.slice(found.indexOf("ProgramArguments") + 1).slice(0, 3), [word, `/opt/${word}`, word])
    assert.deepStrictEqual(found.slice(found.indexOf("TELA_HOME") + 1)[0], word)
    assert.deepStrictEqual(found.slice(found.indexOf("WorkingDirectory") + 1)[0], `/etc/${word}`)
    assert.strictEqual(found.filter((each) => each === `/var/log/${word}`).length, 2)
    assert.deepStrictEqual(tags(made), tags(text({ ...daemon, command: ["a", "b", "c"] })), "no element came in")
  })

  it.each(untellable)("%j is refused", (word) => {
    for (const definition of [
      { ...daemon, command: ["/usr/bin/node", word] as const },
      { ...daemon, folder: word },
      { ...daemon, logFile: word },
      { ...daemon, environment: { TELA_HOME: word } },
      { ...daemon, name: `telad-${word}` }
    ]) {
      assert.isTrue(Either.isLeft(plist(definition)))
    }
  })
})
