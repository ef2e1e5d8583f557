/** Builds the service worker last, when all files that it has to keep are there. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build, type Plugin } from "vite";
import { PAGE_POLICY } from "./headers.ts";

/** The runtime comes in variants of ten megabytes, of which a browser needs one: kept when first used. */
const isRuntime = (name: string) => name.endsWith(".wasm") || name.includes("litert_wasm");

export function offline(): Plugin {
  let out = "";
  return {
    name: "offline",
    apply: "build",
    configResolved(config) {
      out = resolve(config.root, config.build.outDir);
    },
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content: PAGE_POLICY },
        injectTo: "head-prepend",
      },
    ],
    async closeBundle() {
      const found = await readdir(out, { recursive: true, withFileTypes: true });
      const names = found
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(out.length + 1))
        .filter((name) => !name.startsWith("model/") && name !== "offline.js")
        .sort();
      const hash = createHash("sha256");
      for (const name of names) {
        hash.update(`${name}\n`).update(await readFile(join(out, name)));
      }
      await build({
        configFile: false,
        publicDir: false,
        logLevel: "warn",
        define: {
          BUILD: JSON.stringify(hash.digest("hex").slice(0, 16)),
          PAGE_FILES: JSON.stringify(names.filter((name) => !isRuntime(name) && name !== "index.html")),
          RUNTIME_FILES: JSON.stringify(names.filter(isRuntime)),
        },
        build: {
          outDir: out,
          emptyOutDir: false,
          rolldownOptions: {
            input: resolve(import.meta.dirname, "src/offline/worker.ts"),
            output: { entryFileNames: "offline.js", format: "iife" },
          },
        },
      });
    },
  };
}
