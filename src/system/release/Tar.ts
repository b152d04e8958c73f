/**
 * Archives of releases: tar as POSIX.1-1988 has it (ustar), compressed by gzip. Written so that the same files give the
 * same bytes, whoever makes them and when. Read with mistrust, though it was signed: regular files and folders only,
 * below one folder, each once, within bounds.
 */
import * as Zlib from "node:zlib"
import * as Either from "effect/Either"
import { RELEASE_FILES, RELEASE_UNPACKED_BYTES } from "../../protocol/Limits.ts"

/** A file of an archive. */
export interface Entry {
  /** Parts between slashes, none of them `.` or `..`. */
  readonly path: string
  readonly bytes: Uint8Array
  readonly executable: boolean
}

const BLOCK = 512
const MAGIC = "ustar\u000000"
const CHECKSUM = { at: 148, length: 8 } as const

/** Where a path is cut into the fields `prefix` and `name`; undefined when it does not fit. */
const cut = (path: string): readonly [prefix: string, name: string] | undefined => {
  if (path.length <= 100) return ["", path]
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    if (at <= 155 && path.length - at - 1 <= 100) return [path.slice(0, at), path.slice(at + 1)]
  }
  return undefined
}

const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`

const checksumOf = (header: Uint8Array): number => {
  let sum = 0
  for (const [at, byte] of header.entries()) {
    // The field itself counts as spaces.
    sum += at >= CHECKSUM.at && at < CHECKSUM.at + CHECKSUM.length ? 32 : byte
  }
  return sum
}

const headerOf = ({ bytes, executable, path }: Entry, seconds: number): Uint8Array => {
  const parts = cut(path)
  if (parts === undefined) throw new RangeError(`the path is too long for an archive: ${path}`)
  const [prefix, name] = parts
  const header = Buffer.alloc(BLOCK)
  header.write(name, 0, "latin1")
  header.write(octal(executable ? 0o755 : 0o644, 8), 100, "latin1")
  header.write(octal(0, 8), 108, "latin1")
  header.write(octal(0, 8), 116, "latin1")
  header.write(octal(bytes.length, 12), 124, "latin1")
  header.write(octal(seconds, 12), 136, "latin1")
  header.write("0", 156, "latin1")
  header.write(MAGIC, 257, "latin1")
  header.write(prefix, 345, "latin1")
  header.write(`${checksumOf(header).toString(8).padStart(6, "0")}\0 `, CHECKSUM.at, "latin1")
  return header
}

/** The archive of some files, in the order of their paths; `seconds` since the epoch is the time of each. */
export const pack = (entries: ReadonlyArray<Entry>, seconds: number): Uint8Array => {
  const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const blocks = sorted.flatMap((entry) => [
    headerOf(entry, seconds),
    entry.bytes,
    Buffer.alloc((BLOCK - (entry.bytes.length % BLOCK)) % BLOCK)
  ])
  const packed = Zlib.gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]), { level: 9 })
  // The system on which it was compressed says nothing to anybody (RFC 1952: 255 is unknown).
  packed[9] = 255
  return packed
}

/** The text of a field, up to its first zero. */
const field = (header: Buffer, at: number, length: number): string => {
  const end = header.subarray(at, at + length).indexOf(0)
  return header.toString("latin1", at, end < 0 ? at + length : at + end)
}

const numberOf = (header: Buffer, at: number, length: number): number => {
  const text = field(header, at, length).trim()
  return /^[0-7]{1,11}$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
}

const isPath = (path: string): boolean =>
  /^[A-Za-z0-9_.@+-]+(?:\/[A-Za-z0-9_.@+-]+)*$/.test(path) && path.split("/").every((part) => !/^\.{1,2}$/.test(part))

/** Reads an archive that was unpressed. The other side is the end of a sentence. */
const entriesOf = (tar: Buffer): Either.Either<ReadonlyArray<Entry>, string> => {
  const entries: Array<Entry> = []
  const seen = new Set<string>()
  let at = 0
  while (at + BLOCK <= tar.length) {
    const header = tar.subarray(at, at + BLOCK)
    if (header.every((byte) => byte === 0)) break
    const size = numberOf(header, 124, 12)
    const type = field(header, 156, 1)
    const prefix = field(header, 345, 155)
    const path = `${prefix === "" ? "" : `${prefix}/`}${field(header, 0, 100)}`
    at += BLOCK
    if (numberOf(header, CHECKSUM.at, CHECKSUM.length) !== checksumOf(header) || !(size <= tar.length - at)) {
      return Either.left("is damaged")
    }
    if (type === "5" && size === 0 && isPath(path.replace(/\/$/, ""))) continue
    if (type !== "0" && type !== "") return Either.left("holds something else than files and folders")
    if (!isPath(path)) return Either.left("holds a file whose path leads elsewhere")
    if (seen.has(path)) return Either.left("holds a file twice")
    if (entries.length === RELEASE_FILES) return Either.left(`holds more than ${RELEASE_FILES} files`)
    seen.add(path)
    const executable = (numberOf(header, 100, 8) & 0o100) !== 0
    entries.push({ path, bytes: tar.subarray(at, at + size), executable })
    at += Math.ceil(size / BLOCK) * BLOCK
  }
  return Either.right(entries)
}

/** The files of an archive. Resolves, and never rejects: the other side is the end of a sentence. */
export const unpack = (archive: Uint8Array): Promise<Either.Either<ReadonlyArray<Entry>, string>> =>
  new Promise((resolve) => {
    Zlib.gunzip(archive, { maxOutputLength: RELEASE_UNPACKED_BYTES }, (error, tar) => {
      if (error === null) return resolve(entriesOf(tar))
      const isLarge = "code" in error && error.code === "ERR_BUFFER_TOO_LARGE"
      resolve(Either.left(isLarge ? `unpacks to more than ${RELEASE_UNPACKED_BYTES} bytes` : "is damaged"))
    })
  })
