import { defineConfig } from "vitest/config"
import { BaseSequencer } from "vitest/node"
import type { TestSpecification } from "vitest/node"

/** Tests that measure: they need the processor for themselves. */
const measured = ["test/e2e/{Crash,EndOfAccess,Guessing,Rolling}.test.ts", "test/**/*.many.test.ts"]

/**
 * Tests that run the real programs. The example of the docs is one of them, because it imports the package by its name,
 * which would be a second copy of all modules.
 */
const programs = ["test/{e2e,docs}/**/*.test.ts", "test/cli/{BadInput,Programs}.test.ts"]

/** What takes longest comes first, or all else would wait for it at the end. A fresh clone knows only the sizes of files. */
const longest = /\/e2e\/(?:Management|Resume)\.test\.ts$/

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const rank = ({ moduleId }: TestSpecification) => (longest.test(moduleId) ? 0 : 1)
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}

/** Waits in tests are rendezvous; a timeout here only ends a test that would hang. */
export default defineConfig({
  test: {
    // Here and not in the projects, so that it runs once.
    globalSetup: ["test/build.setup.ts"],
    // Most tests wait more than they compute. As few as many, because one that is sent away may have been given a file.
    minWorkers: 3,
    maxWorkers: 3,
    // Unit tests share their processes: to load all modules anew for each file took longer than the tests.
    poolOptions: { forks: { isolate: false } },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...programs, ...measured],
          pool: "forks",
          testTimeout: 20_000,
          hookTimeout: 20_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          name: "e2e",
          include: programs,
          exclude: measured,
          pool: "threads",
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 }
        }
      },
      {
        test: {
          name: "measured",
          include: measured,
          pool: "threads",
          // One file at a time.
          poolOptions: { threads: { singleThread: true } },
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 }
        }
      }
    ]
  }
})
