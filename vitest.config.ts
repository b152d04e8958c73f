import { defineConfig } from "vitest/config"

/** Tests that run the real programs, and those that measure: they need the processor for themselves. */
const serial = ["test/e2e/**/*.test.ts", "test/cli/{BadInput,Programs}.test.ts", "test/**/*.many.test.ts"]

/** Waits in tests are rendezvous; a timeout here only ends a test that would hang. */
export default defineConfig({
  test: {
    // Here and not in the projects, so that it runs once.
    globalSetup: ["test/build.setup.ts"],
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: serial,
          testTimeout: 20_000,
          hookTimeout: 20_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          name: "e2e",
          include: serial,
          // One file at a time.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
