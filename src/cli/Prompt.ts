/**
 * Asks the person at the terminal: for a secret, which is not shown as it is typed, and whether something is meant. What
 * is asked goes to stderr, so that stdout holds results only.
 */
import { StringDecoder } from "node:string_decoder"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { PROMPT_BYTES } from "../protocol/Limits.ts"
import { Failed } from "./Failure.ts"

const tooLong = new Failed({ message: `what was typed is longer than ${PROMPT_BYTES} bytes` })

/** What one read of the input means: the line is over (with what it holds), given up, or goes on. */
type Taken = { readonly _tag: "Line"; readonly text: string } | { readonly _tag: "Quit" } | undefined

/** Reads stdin until `take` has enough; the end of the input ends the line. */
const read = (take: (text: string) => Taken): Effect.Effect<string, Failed> =>
  Effect.async<string, Failed>((resume) => {
    const { stdin } = process
    const decoder = new StringDecoder("utf8")
    let bytes = 0
    const finish = (result: Effect.Effect<string, Failed>) => {
      stdin.off("data", onData).off("end", onEnd).off("error", onEnd)
      stdin.pause()
      resume(result)
    }
    const use = (taken: Taken) => {
      if (taken !== undefined) finish(taken._tag === "Line" ? Effect.succeed(taken.text) : Effect.interrupt)
    }
    const onData = (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > PROMPT_BYTES) finish(tooLong)
      else use(take(decoder.write(chunk)))
    }
    const onEnd = () => use(take("\n"))
    stdin.on("data", onData).on("end", onEnd).on("error", onEnd)
    stdin.resume()
    return Effect.sync(() => finish(Effect.interrupt))
  })

/** One line as it arrives from a pipe, or from a terminal that edits and echoes by itself. */
const line = Effect.suspend(() => {
  let held = ""
  return read((text) => {
    held += text
    const end = held.search(/[\r\n]/)
    return end === -1 ? undefined : { _tag: "Line", text: held.slice(0, end) }
  })
})

/** One line from a terminal in raw mode, where every key is ours to interpret and nothing is shown. */
const hiddenLine = Effect.suspend(() => {
  let held: Array<string> = []
  return read((text) => {
    for (const key of text) {
      if (key === "\r" || key === "\n" || key === "\u0004") return { _tag: "Line", text: held.join("") }
      if (key === "\u0003") return { _tag: "Quit" }
      if (key === "\u007f" || key === "\b") held.pop()
      else if (key === "\u0015") held = []
      else held.push(key)
    }
    return undefined
  })
})

/** Gives up when the terminal goes away, which would otherwise end the program where it stands. */
const hungUp = Effect.async<never>((resume) => {
  const giveUp = () => resume(Effect.interrupt)
  process.once("SIGHUP", giveUp)
  return Effect.sync(() => process.off("SIGHUP", giveUp))
})

/** Asks for a secret. From a pipe it is the first line, and nothing is asked. */
export const secret = (question: string): Effect.Effect<Redacted.Redacted, Failed> =>
  Effect.suspend(() => {
    const { stderr, stdin } = process
    if (!stdin.isTTY) return line
    const asked = Effect.acquireUseRelease(
      Effect.sync(() => {
        // In this order, so that nothing typed at the question is shown.
        stdin.setRawMode(true)
        stderr.write(question)
      }),
      () => hiddenLine,
      () =>
        Effect.sync(() => {
          stdin.setRawMode(false)
          stderr.write("\n")
        })
    )
    // In this order, so that it is heeded when the terminal changes.
    return Effect.raceFirst(hungUp, asked)
  }).pipe(Effect.map((text) => Redacted.make(text.trim())))

/** Whether something is meant; without a question, `unasked` where nobody can answer. */
export const confirm = (question: string, unasked = true): Effect.Effect<boolean, Failed> =>
  Effect.suspend(() => {
    if (!process.stdin.isTTY) return Effect.succeed(unasked)
    process.stderr.write(`${question} [y/N] `)
    return Effect.map(line, (answer) => /^y(es)?$/i.test(answer.trim()))
  })
