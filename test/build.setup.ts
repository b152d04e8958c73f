/** Bundles the programs before the tests, so that what is tested is what stands in src. */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

export default (): void => {
  const script = fileURLToPath(new URL("../scripts/build.mjs", import.meta.url))
  execFileSync(process.execPath, [script, "--programs"], { stdio: "inherit" })
}
