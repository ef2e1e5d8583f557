import { defineConfig } from "vite";
import { withoutNode } from "../../vite.runtime.ts";

/** The engine is built as the app builds it; its page and service worker are left out. */
export default defineConfig({
  base: "./",
  appType: "mpa",
  publicDir: false,
  logLevel: "warn",
  worker: { format: "es", plugins: () => [withoutNode()] },
});
