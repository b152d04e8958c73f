/** Services that tests write down for service managers, and texts that try to get out of their place. */
import type { Definition } from "../../../src/system/service/Definition.ts"

export const agent: Definition = {
  program: "telad",
  name: "telad",
  scope: "system",
  description: "Tela agent",
  command: ["/usr/bin/node", "/opt/tela/bin/telad", "-config", "/var/lib/tela/telad/telad.yaml"],
  environment: { TELA_HOME: "/var/lib/tela/telad", TELAD_SUPERVISED: "1" },
  environmentFile: "/etc/tela/telad.env",
  folder: "/var/lib/tela/telad",
  runsAs: { _tag: "Own", stateDirectory: "tela/telad" },
  leavesWithin: 10_000,
  lowPorts: false,
  readsFrom: ["/usr/bin/node", "/opt/tela"],
  logFile: undefined
}

/** A hub in a folder that somebody chose, read from a home. */
export const hub: Definition = {
  program: "telahubd",
  name: "telahubd-blue",
  scope: "system",
  description: "Tela hub (telahubd-blue)",
  command: [
    "/home/ann/.nvm/node",
    "/home/ann/my tela/bin/telahubd",
    "-config",
    "/srv/tela/telahubd-blue/telahubd.yaml"
  ],
  environment: { TELA_HOME: "/srv/tela/telahubd-blue", TELA_SYSTEM: "/srv/tela", TELAHUBD_SUPERVISED: "1" },
  environmentFile: "/srv/tela/telahubd-blue.env",
  folder: "/srv/tela/telahubd-blue",
  runsAs: { _tag: "Owner", uid: 998, gid: 997 },
  leavesWithin: 30_000,
  lowPorts: true,
  readsFrom: ["/home/ann/.nvm/node", "/home/ann/my tela"],
  logFile: undefined
}

/** An agent of one user. */
export const mine: Definition = {
  ...agent,
  scope: "user",
  command: ["/usr/bin/node", "/opt/tela/bin/telad", "-config", "/home/ann/.tela/telad/telad.yaml"],
  environment: { TELAD_SUPERVISED: "1" },
  environmentFile: "/home/ann/.tela/telad.env",
  folder: "/home/ann/.tela/telad",
  runsAs: { _tag: "Owner", uid: 1000, gid: 1000 }
}

/** Each of these means something to some service manager. */
export const hostile: ReadonlyArray<string> = [
  "with a space",
  "100%",
  "%h/%n",
  "%%",
  "$HOME and ${HOME}",
  "$$",
  "\\",
  "back\\slash\\n",
  'a "quoted" word',
  "it's",
  '"',
  "'",
  "; rm -rf /",
  "a ; ExecStartPost=/bin/true",
  "#comment",
  "-flag",
  "@:+!",
  "<string>&amp;</string>",
  "]]> --> <!--",
  "é, 日本, 🜂",
  " leads and trails ",
  "a,b=c",
  "ends in \\"
]

/** These no service manager can be told. */
export const untellable: ReadonlyArray<string> = [
  "line\nExecStartPost=/bin/true",
  "return\rback",
  "tab\there",
  "nul\0byte",
  "escape\u001b[2J",
  "next\u0085line",
  "separator\u2028line",
  "half\ud800"
]
