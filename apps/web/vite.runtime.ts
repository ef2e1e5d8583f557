import type { Plugin } from "vite";

/** Node's modules are asked for by LiteRT.js' script under Node.js only; in a browser's bundle they are empty. */
export function withoutNode(): Plugin {
  const empty = "\0without-node";
  return {
    name: "without-node",
    enforce: "pre",
    resolveId: (id, importer) =>
      id.startsWith("node:") && importer?.includes("litert_wasm") ? empty : undefined,
    load: (id) => (id === empty ? "export default {}" : undefined),
  };
}
