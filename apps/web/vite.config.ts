import { defineConfig } from "vitest/config";
import { HEADERS } from "./headers.ts";
import { offline } from "./vite.offline.ts";
import { withoutNode } from "./vite.runtime.ts";

export default defineConfig({
  base: "./",
  plugins: [offline()],
  // without the policy: what Vite serves while one develops has styles in its scripts
  server: { headers: { ...HEADERS, "Content-Security-Policy": "" } },
  preview: { headers: HEADERS },
  // A file that is not there is not there: no page in its place, which a bundle's reader would take for a file.
  appType: "mpa",
  worker: { format: "es", plugins: () => [withoutNode()] },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 60_000 },
});
