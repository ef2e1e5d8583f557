import { defineConfig } from "vitest/config";
import { HEADERS } from "./headers.ts";
import { offline } from "./vite.offline.ts";

export default defineConfig({
  base: "./",
  plugins: [offline()],
  server: { headers: { ...HEADERS, "Content-Security-Policy": "" } },
  preview: { headers: HEADERS },
  worker: { format: "es" },
  test: { include: ["tests/**/*.test.ts"] },
});
