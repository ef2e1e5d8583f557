/**
 * node tests/runtimes/measure.mjs CHROMIUM TFLITE-BUNDLE ONNX-BUNDLE [ROUNDS]
 *
 * LiteRT.js beside ONNX Runtime Web, as npm gives them, in headless CHROMIUM: bytes of WebAssembly, milliseconds to
 * load and of a window, signal to noise against the logits that Python recorded in each bundle's golden.json. They
 * take turns; of each the quietest round is shown. First: npm install --no-save onnxruntime-web@1.30.0
 */

import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, resolve } from "node:path";
import { chromium } from "playwright-core";

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const PACKAGES = resolve(import.meta.dirname, "../../node_modules");
const PAGE = `<!doctype html><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"@litertjs/wasm-utils": "/packages/@litertjs/wasm-utils/dist/index.js"}}</script>`;
const [executable, tflite, onnx, rounds = "3"] = process.argv.slice(2);
const ROOTS = { tests: import.meta.dirname, packages: PACKAGES, tflite, onnx };
const WAYS = [
  { what: "LiteRT.js", bundle: "tflite", wasm: "@litertjs/core/wasm/litert_wasm_internal" },
  {
    what: "LiteRT.js, 2 threads",
    bundle: "tflite",
    wasm: "@litertjs/core/wasm/litert_wasm_threaded_internal",
  },
  {
    what: "LiteRT.js without relaxed SIMD",
    bundle: "tflite",
    wasm: "@litertjs/core/wasm/litert_wasm_compat_internal",
  },
  { what: "ONNX Runtime Web", bundle: "onnx", wasm: "onnxruntime-web/dist/ort-wasm-simd-threaded" },
  {
    what: "ONNX Runtime Web, 2 threads",
    bundle: "onnx",
    wasm: "onnxruntime-web/dist/ort-wasm-simd-threaded",
  },
].map((way) => ({ ...way, threads: way.what.includes("2 threads") ? 2 : 1 }));

const server = createServer(async (request, response) => {
  const [root, ...names] = new URL(request.url, "http://localhost").pathname.slice(1).split("/");
  const bytes = ROOTS[root] ? await readFile(join(ROOTS[root], ...names)).catch(() => null) : PAGE;
  response.writeHead(bytes === null ? 404 : 200, {
    "Content-Type": ROOTS[root] ? (TYPES[extname(names.at(-1))] ?? "application/octet-stream") : "text/html",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  });
  response.end(bytes);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const browser = await chromium.launch({
  executablePath: executable,
  chromiumSandbox: false,
  args: ["--disable-gpu", "--disable-background-networking"],
});
const found = new Map(WAYS.map(({ what }) => [what, []]));
for (let round = 0; round < Number(rounds); round++) {
  for (const way of WAYS) {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    found
      .get(way.what)
      .push(await page.evaluate(async (given) => (await import("/tests/page.mjs")).measure(given), way));
    await page.close();
  }
}
console.log(`Chromium ${browser.version()}, quietest of ${rounds} rounds in turns; ms are medians`);
for (const { what, wasm } of WAYS) {
  const results = found.get(what);
  const [{ sqnr }] = results;
  const { size } = await stat(join(PACKAGES, `${wasm}.wasm`));
  const least = (read) => Math.min(...results.map(read)).toFixed(0);
  const windows = Object.keys(results[0].times).map(
    (length) => `${length}: ${least(({ times }) => times[length])}`,
  );
  console.log(
    `${what}: ${(size / 1e6).toFixed(1)} MB of WebAssembly, loads in ${least(({ load }) => load)} ms, ` +
      `a window of ${windows.join(", ")} ms, ${sqnr.toFixed(1)} dB`,
  );
}
await browser.close();
server.close();
