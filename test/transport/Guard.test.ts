import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { network } from "../../src/transport/ClientAddress.ts"
import * as Guard from "../../src/transport/Guard.ts"

const guardOf = (perAddress: number) => {
  const guard = Guard.make({ sockets: 1_000, perAddress, timeout: 1_000 })
  return { ...guard, enter: (address: string | undefined) => guard.enter(new Net.Socket(), address, 0) }
}

describe("Guard", () => {
  it("counts an IPv6 address by its /64, whichever way it comes to be known", () => {
    const guard = guardOf(2)
    assert.isObject(guard.enter("2001:db8:0:1::1"))
    const proxied = guard.enter(undefined)
    assert(typeof proxied === "object")
    assert.isTrue(guard.attribute(proxied, "2001:db8:0:1:ffff:ffff:ffff:ffff"))
    assert.strictEqual(guard.enter("2001:db8:0:1::2"), "address")
    assert.isObject(guard.enter("2001:db8:0:2::2"))
    guard.leave(proxied)
    assert.isObject(guard.enter("2001:db8:0:1::3"))
  })
})

describe("network", () => {
  it("is the address for IPv4, and the first 64 bits for IPv6 however it is written", () => {
    for (const [address, expected] of [
      ["192.0.2.7", "192.0.2.7"],
      ["not an address", "not an address"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:0DB8:0001:0002::", "2001:db8:1:2::/64"],
      ["2001:db8::6", "2001:db8:0:0::/64"],
      ["2001:db8::2:3:4:5:6", "2001:db8:0:2::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["::1", "0:0:0:0::/64"],
      ["::", "0:0:0:0::/64"],
      ["64:ff9b:1:2:3::192.0.2.1", "64:ff9b:1:2::/64"],
      ["2001:db8::3:4:5:192.0.2.1", "2001:db8:0:3::/64"],
      ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"]
    ] as const) {
      assert.strictEqual(network(address), expected)
    }
  })
})
