/** Operating systems by the names that deployed agents and hubs use: Go's GOOS (spec: wire 2.3). */

const systems = new Map([
  ["win32", "windows"],
  ["sunos", "solaris"]
])

/** What Go calls the system that Node calls `platform`. */
export const goos = (platform: string): string => systems.get(platform) ?? platform
