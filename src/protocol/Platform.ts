/** Operating systems by the names that deployed agents and hubs use: Go's GOOS (spec: wire 2.3). */

const systems = new Map([
  ["win32", "windows"],
  ["sunos", "solaris"]
])

/** What Go calls the system that Node calls `platform`. */
export const goos = (platform: string): string => systems.get(platform) ?? platform

const processors = new Map([
  ["x64", "amd64"],
  ["ia32", "386"],
  ["mipsel", "mipsle"],
  // Node has one name for both byte orders, and for Linux only a little-endian build.
  ["ppc64", "ppc64le"]
])

/** What Go calls the processor that Node calls `arch`. */
export const goarch = (arch: string): string => processors.get(arch) ?? arch
