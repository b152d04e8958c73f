// Makes releases: bundles the tool (src/cli/release) as the programs are bundled, and runs it. `release.mjs -h` says more.
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as esbuild from "esbuild"

const folder = mkdtempSync(join(tmpdir(), "tela-release-"))
try {
  const tool = join(folder, "release.cjs")
  await esbuild.build({
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    entryPoints: ["src/cli/release/main.ts"],
    outfile: tool,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    mainFields: ["module", "main"],
    external: ["bufferutil", "utf-8-validate"],
    logLevel: "warning"
  })
  const { signal, status } = spawnSync(process.execPath, [tool, ...process.argv.slice(2)], { stdio: "inherit" })
  process.exitCode = status ?? (signal === "SIGINT" ? 130 : 1)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
