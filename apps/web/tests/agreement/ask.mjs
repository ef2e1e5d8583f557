/**
 * node tests/agreement/ask.mjs CHROMIUM BUNDLE QUESTIONS ANSWERS
 *
 * Builds the engine as the app is built, opens BUNDLE with it in a headless CHROMIUM, asks every question of
 * QUESTIONS ([{id, question, passage}, …]) and writes what it said to ANSWERS.
 */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { build, preview } from "vite";

const QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const [executable, bundle, questions, answers] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "pocket-web-"));
const settings = {
  root: import.meta.dirname,
  configFile: join(import.meta.dirname, "vite.config.ts"),
  build: { outDir: join(folder, "dist"), emptyOutDir: true },
};
let server;
let browser;
try {
  await build(settings);
  cpSync(bundle, join(folder, "dist", "model"), { recursive: true });
  server = await preview({ ...settings, preview: { port: 0, host: "127.0.0.1" } });
  browser = await chromium.launch({
    executablePath: executable,
    chromiumSandbox: false,
    args: [...QUIET, "--disable-component-update", "--disable-sync"],
  });
  const page = await browser.newPage();
  const errors = [];
  page.on("console", (message) => errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(server.resolvedUrls.local[0]);
  const started = performance.now();
  const model = await page.evaluate(() => window.opened);
  const opened = performance.now() - started;
  const said = [];
  for (const { id, question, passage } of JSON.parse(readFileSync(questions, "utf8"))) {
    said.push({ id, ...(await page.evaluate(([q, p]) => window.ask(q, p), [question, passage])) });
  }
  const times = {};
  for (const length of model.lengths) {
    times[length] = await page.evaluate((n) => window.time(n, 20), length);
  }
  writeFileSync(
    answers,
    JSON.stringify({ model, opened, times, browser: browser.version(), errors, answers: said }),
  );
} catch (error) {
  console.error(`error: ${error.message.replace(/^page.evaluate: (Refused: |Error: )?/, "").split("\n")[0]}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
}
