import { defineConfig } from "vitest/config";

// Threads in WebAssembly need memory that is shared, which browsers give to isolated pages only.
const isolated = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  base: "./",
  server: { headers: isolated },
  preview: { headers: isolated },
  worker: { format: "es" },
  test: { include: ["tests/**/*.test.ts"] },
});
