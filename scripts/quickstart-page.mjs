// The page that the quickstart exposes: it says which way it came.

const escape = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const steps = (hub) => [
  ["Your browser", "opened a local port"],
  ["tela", "sealed the bytes"],
  ["telahubd", `relayed them at ${hub}, unread`],
  ["telad", "opened them and dialled"],
  ["This page", "on a port nobody exposed"]
]

const style = `
  :root { color-scheme: light dark; --ink: #16202b; --soft: #5b6b7b; --paper: #f5f7fa; --card: #fff; --line: #d7dee6; --accent: #0b7a75 }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e7edf3; --soft: #93a4b5; --paper: #0f151c; --card: #18212b; --line: #2a3744; --accent: #4fd1c5 }
  }
  * { box-sizing: border-box }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem 1rem; background: var(--paper);
    color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
  main { width: min(46rem, 100%) }
  h1 { margin: 0 0 .5rem; font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em }
  p { margin: 0 0 1.5rem; color: var(--soft) }
  ol { list-style: none; margin: 0 0 1.5rem; padding: 0 }
  li { position: relative; display: flex; gap: 1rem; align-items: baseline; margin: 0 0 .6rem; padding: .8rem 1rem .8rem 2.6rem;
    background: var(--card); border: 1px solid var(--line); border-radius: .6rem }
  li::before { content: ""; position: absolute; left: 1.1rem; top: 1.25rem; width: .55rem; height: .55rem; border-radius: 50%; background: var(--accent) }
  li + li::after { content: ""; position: absolute; left: 1.33rem; top: -2.1rem; width: .1rem; height: 3.1rem; background: var(--accent); opacity: .45 }
  strong { flex: 0 0 7.5rem }
  li span { color: var(--soft) }
  footer { color: var(--soft); font-size: .9rem }
  code { font: .9em ui-monospace, monospace }
`

/** The page, for one visit. */
export const page = ({ hub, machine, path, visits }) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>It works: Tela quickstart</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>This page came through Tela.</h1>
<p>Machine <code>${escape(machine)}</code> accepts no inbound connection. You are reading from it all the same.</p>
<ol>
${steps(escape(hub))
  .map(([name, what]) => `<li><strong>${name}</strong><span>${what}</span></li>`)
  .join("\n")}
</ol>
<footer>Visit ${visits}, <code>${escape(path)}</code>. Stop everything with Ctrl-C where you started it.</footer>
</main>
</body>
</html>
`
