import { defineConfig } from "vitest/config";
import { withoutNode } from "./vite.runtime.ts";

// Threads in WebAssembly need memory that is shared, which browsers give to isolated pages only.
const isolated = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  base: "./",
  server: { headers: isolated },
  preview: { headers: isolated },
  // A file that is not there is not there: no page in its place, which a bundle's reader would take for a file.
  appType: "mpa",
  worker: { format: "es", plugins: () => [withoutNode()] },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 60_000 },
});
