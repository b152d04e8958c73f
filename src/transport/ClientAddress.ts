/**
 * Whose request it is: the address of the TCP connection, or, when that is a trusted proxy, the nearest address in
 * X-Forwarded-For that is none. From anybody else that header is ignored.
 */
import { BlockList, isIP } from "node:net"

/** Tells trusted proxies from others. */
export interface ClientAddress {
  readonly isProxy: (address: string) => boolean
  /** `forwarded` is the X-Forwarded-For header, if there is one. */
  readonly of: (address: string, forwarded: string | undefined) => string
}

const MAPPED = "::ffff:"

/** An IPv4 address that a dual-stack socket shows in IPv6 clothes, as IPv4. */
export const plain = (address: string): string =>
  address.startsWith(MAPPED) && isIP(address.slice(MAPPED.length)) === 4 ? address.slice(MAPPED.length) : address

/**
 * Whom an address stands for when sockets are counted: an IPv4 address itself, an IPv6 address its /64, which is the least
 * that one customer has (RFC 6177); or its /48, which is the most.
 */
export const network = (address: string, bits: 48 | 64 = 64): string => {
  if (isIP(address) !== 6) return address
  const [bare = ""] = address.split("%")
  const [before = "", after] = bare.split("::")
  const head = before === "" ? [] : before.split(":")
  const tail = after === undefined || after === "" ? [] : after.split(":")
  // An IPv4 address at the end takes the place of two groups.
  const tailGroups = tail.length + (tail.at(-1)?.includes(".") === true ? 1 : 0)
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tailGroups) }, () => "0")
  const groups = [...head, ...zeros, ...tail].slice(0, bits / 16)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/${bits}`
}

/** Whether a text is an address or a range of addresses: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`. */
export const isRange = (text: string): boolean => {
  const [address = "", bits, ...more] = text.split("/")
  const version = isIP(address)
  if (version === 0 || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

/** `ranges` are addresses or CIDR ranges, each of which {@link isRange} accepts. */
export const make = (ranges: ReadonlyArray<string>): ClientAddress => {
  const trusted = new BlockList()
  for (const range of ranges) {
    const [address = "", bits] = range.split("/")
    const family = isIP(address) === 6 ? "ipv6" : "ipv4"
    if (bits === undefined) trusted.addAddress(address, family)
    else trusted.addSubnet(address, Number(bits), family)
  }
  const isProxy = (address: string) =>
    ranges.length > 0 && isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")

  return {
    isProxy,
    of: (address, forwarded) => {
      if (!isProxy(address)) return address
      const hops = (forwarded ?? "").split(",").map((hop) => plain(hop.trim()))
      return hops.findLast((hop) => isIP(hop) !== 0 && !isProxy(hop)) ?? address
    }
  }
}
