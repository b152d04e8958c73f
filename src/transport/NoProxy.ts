/**
 * Which hosts NO_PROXY keeps from the proxy. There is no standard for it; read is what curl, Go and Python's requests
 * agree on, and the forms that only some of them know.
 */
import { BlockList, isIP } from "node:net"

/** An entry `10.0.0.0/8` or `fd00::/8`, or an address, which is a network of its own. */
const inNetwork = (entry: string, address: string): boolean => {
  const [network = "", prefix, ...more] = entry.split("/")
  const family = isIP(network)
  const most = family === 4 ? 32 : 128
  const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
  if (family === 0 || bits < 0 || bits > most || more.length > 0 || isIP(address) !== family) return false
  const kind = family === 4 ? "ipv4" : "ipv6"
  const list = new BlockList()
  list.addSubnet(network, bits, kind)
  return list.check(address, kind)
}

const withoutEndDot = (name: string): string => name.replace(/\.$/, "")

/** An entry `example.com`, `.example.com` or `*.example.com`: the name itself, and all below it. */
const inDomain = (entry: string, host: string): boolean => {
  const domain = withoutEndDot(entry.replace(/^\*?\./, ""))
  const name = withoutEndDot(host)
  return domain !== "" && isIP(host) === 0 && (name === domain || name.endsWith(`.${domain}`))
}

/** Host and port of an entry: `[::1]:8080`, `[::1]`, `example.com:8080`; all else is a host alone. */
const split = (entry: string): readonly [host: string, port: string | undefined] => {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? []
  return [bracketed ?? plain ?? entry, port]
}

/** Whether the host is this machine, which a proxy cannot mean. */
export const isLoopback = (host: string): boolean =>
  inDomain("localhost", host) || ["127.0.0.0/8", "::1", "::ffff:127.0.0.0/104"].some((each) => inNetwork(each, host))

/**
 * Whether `list`, as NO_PROXY has it (entries between commas or spaces), names the host. `host` is lower case, an address
 * of IPv6 without brackets.
 */
export const covers = (list: string, host: string, port: number): boolean =>
  list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === "*") return true
      const [name, only] = split(entry)
      if (only !== undefined && Number(only) !== port) return false
      return inNetwork(name, host) || inDomain(name, host)
    })
