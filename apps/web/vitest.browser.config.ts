import { defineConfig } from "vitest/config";

/** The built page in a real browser: npm run test:browser. */
export default defineConfig({
  test: {
    include: ["tests/browser/*.browser.ts"],
    globalSetup: "tests/browser/build.ts",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
