import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type { Definition } from "../../../src/system/service/Definition.ts"
import { task } from "../../../src/system/service/Task.ts"
import { hostile, mine, untellable } from "./definitions.ts"

const definition: Definition = {
  ...mine,
  command: [
    "C:\\Program Files\\nodejs\\node.exe",
    "C:\\Users\\ann\\tela\\bin\\telad",
    "-config",
    "C:\\Users\\ann\\AppData\\Roaming\\tela\\telad\\telad.yaml"
  ],
  folder: "C:\\Users\\ann\\AppData\\Roaming\\tela\\telad"
}

const text = (made: Definition, user = "OFFICE\\ann"): string => Either.getOrThrow(task(made, user))

const elementOf = (xml: string, name: string): string =>
  (new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? "")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&")

/** A command line as programs on Windows take it apart (CommandLineToArgvW). */
const wordsOf = (line: string): ReadonlyArray<string> => {
  const words: Array<string> = []
  let word = ""
  let isOpen = false
  let isQuoted = false
  for (let at = 0; at < line.length; at++) {
    const slashes = /^\\*/.exec(line.slice(at))?.[0].length ?? 0
    if (slashes > 0) {
      at += slashes
      const isEscape = line[at] === '"'
      word += "\\".repeat(isEscape ? Math.floor(slashes / 2) : slashes)
      isOpen = true
      if (isEscape && slashes % 2 === 1) word += '"'
      else at--
    } else if (line[at] === '"') {
      isQuoted = !isQuoted
      isOpen = true
    } else if (/\s/.test(line[at] ?? "") && !isQuoted) {
      if (isOpen) words.push(word)
      word = ""
      isOpen = false
    } else {
      word += line[at]
      isOpen = true
    }
  }
  return isOpen ? [...words, word] : words
}

const tags = (xml: string): ReadonlyArray<string> => xml.match(/<[^>]*>/g) ?? []

describe("Task", () => {
  it("telad.xml", () => {
    const golden = Fs.readFileSync(new URL("golden/telad.xml", import.meta.url), "utf8")
    // Windows ends lines with two characters; the file in the repository does not.
    assert.strictEqual(text(definition).replaceAll("\r\n", "\n"), golden)
    assert.strictEqual(text(definition).split("\n").length, text(definition).split("\r\n").length)
  })

  it.each(hostile.filter((word) => !word.includes("%")))("%j stays one word wherever it stands", (word) => {
    const made = text({ ...definition, command: [word, word, "-config", `C:\\${word}`, ""], folder: word }, word)
    assert.deepStrictEqual(wordsOf(elementOf(made, "Command")), [word])
    assert.deepStrictEqual(wordsOf(elementOf(made, "Arguments")), [word, "-config", `C:\\${word}`, ""])
    assert.strictEqual(elementOf(made, "UserId"), word)
    assert.strictEqual(elementOf(made, "WorkingDirectory"), word)
    assert.deepStrictEqual(tags(made), tags(text(definition)), "no element came in")
  })

  it.each([...untellable, "100%", "%TEMP%"])("%j is refused", (word) => {
    for (const made of [
      { ...definition, command: [word] as const },
      { ...definition, command: ["node", word] as const },
      { ...definition, folder: word }
    ]) {
      assert.isTrue(Either.isLeft(task(made, "ann")))
    }
  })
})
