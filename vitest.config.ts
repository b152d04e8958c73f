import { defineConfig } from "vitest/config"

/** Waits in tests are rendezvous; a timeout here only ends a test that would hang. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/bench/**"],
          globalSetup: ["test/build.setup.ts"],
          testTimeout: 20_000,
          hookTimeout: 20_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          globalSetup: ["test/build.setup.ts"],
          // One file at a time: these tests measure and need the processor for themselves.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
