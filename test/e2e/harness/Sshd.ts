/**
 * A real OpenSSH server on a loopback address: its own configuration, host key and user key, an unprivileged port, and
 * the user who runs the test as the one who logs in.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { temporaryFolder } from "../../support/temporaryFolder.ts"
import * as Program from "./Program.ts"
import * as Tools from "./Tools.ts"
import { freePort } from "./Workspace.ts"

export interface Sshd {
  readonly host: string
  readonly port: number
  readonly user: string
  /** A configuration file for ssh and scp (`-F`), with the key to log in with and the host key to expect. */
  readonly clientConfig: string
  /** The same as a section for one host pattern, for a file that knows several servers. */
  readonly clientSection: (pattern: string) => string
}

/** Where a server started by root wants to find an empty folder. */
const PRIVILEGE_SEPARATION = "/run/sshd"

const privilegeSeparation = Effect.acquireRelease(
  Effect.sync(() => {
    if (process.getuid?.() !== 0 || Fs.existsSync(PRIVILEGE_SEPARATION)) return false
    Fs.mkdirSync(PRIVILEGE_SEPARATION, { mode: 0o755 })
    return true
  }),
  (made) =>
    Effect.sync(() => {
      if (made) Fs.rmSync(PRIVILEGE_SEPARATION, { recursive: true, force: true })
    })
)

const keygen = (file: string) =>
  Program.run({ command: Tools.path("ssh-keygen"), args: ["-q", "-t", "ed25519", "-N", "", "-f", file] })

/** Starts a server; it is up when this returns, and ends with the scope. */
export const start = (host = "127.0.0.1"): Effect.Effect<Sshd, Program.ProgramFailed, Scope.Scope> =>
  Effect.gen(function* () {
    yield* privilegeSeparation
    const folder = yield* temporaryFolder
    const at = (name: string) => Path.join(folder, name)
    yield* keygen(at("host_key"))
    yield* keygen(at("user_key"))
    Fs.copyFileSync(at("user_key.pub"), at("authorized_keys"))
    const port = yield* freePort(host)
    const user = Os.userInfo().username
    Fs.writeFileSync(
      at("sshd_config"),
      [
        `ListenAddress ${host}:${port}`,
        `HostKey ${at("host_key")}`,
        `AuthorizedKeysFile ${at("authorized_keys")}`,
        "PidFile none",
        "UsePAM no",
        "StrictModes no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AllowTcpForwarding yes",
        "UseDNS no",
        "MaxStartups 100",
        "MaxSessions 100",
        "Subsystem sftp internal-sftp",
        ""
      ].join("\n")
    )
    const hostKey = Fs.readFileSync(at("host_key.pub"), "utf8").trim()
    // known by an alias, because the same server is reached at one address directly and at another through a tunnel
    Fs.writeFileSync(at("known_hosts"), `the-server ${hostKey}\n`)
    const clientSection = (pattern: string) =>
      [
        `Host ${pattern}`,
        `  User ${user}`,
        `  IdentityFile ${at("user_key")}`,
        "  IdentitiesOnly yes",
        `  UserKnownHostsFile ${at("known_hosts")}`,
        "  HostKeyAlias the-server",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        "  ConnectTimeout 15",
        "  LogLevel ERROR",
        ""
      ].join("\n")
    Fs.writeFileSync(at("ssh_config"), clientSection("*"))
    const server = yield* Program.start({
      name: "sshd",
      command: Tools.path("sshd"),
      args: ["-D", "-e", "-f", at("sshd_config")]
    })
    yield* server.expect(/Server listening on/)
    return { host, port, user, clientConfig: at("ssh_config"), clientSection }
  })

/** Runs one command on a server that is reached at that local port, and hands over what it printed. */
export const ssh = (sshd: Sshd, localPort: number, command: string) =>
  Program.run({
    command: Tools.path("ssh"),
    args: ["-F", sshd.clientConfig, "-p", String(localPort), "localhost", command]
  })

/** Copies one file; `remote:` in front of a path means the server's side. `megabytes` limits how many pass in a second. */
export const scp = (sshd: Sshd, localPort: number, from: string, to: string, megabytes?: number) => {
  const limit = megabytes === undefined ? [] : ["-l", String(megabytes * 8_000)]
  const place = (path: string) => path.replace(/^remote:/, "localhost:")
  return Program.run(
    {
      command: Tools.path("scp"),
      args: ["-q", ...limit, "-F", sshd.clientConfig, "-P", String(localPort), place(from), place(to)]
    },
    megabytes === undefined ? "120 seconds" : "600 seconds"
  )
}
