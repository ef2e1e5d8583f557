/** A bundle that is not what it should be is refused with the contract's sentence, and never used. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { ask, launch, type Phone, phone, settled, visit } from "./phone";
import { type Site, serve } from "./site";

let browser: Browser;
let site: Site;
let reader: Phone;
let manifest: string;
let program: string;

beforeAll(async () => {
  browser = await launch();
  manifest = await readFile(join(inject("other"), "manifest.json"), "utf8");
  program = JSON.parse(manifest).program;
});

afterAll(() => browser.close());

beforeEach(async () => {
  site = await serve(inject("built"), inject("other"));
  reader = await phone(browser, site.url);
});

afterEach(async () => {
  await reader.context.close();
  await site.close();
});

async function flipped(name: string): Promise<Uint8Array> {
  const bytes = await readFile(join(inject("other"), name));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  return bytes;
}

const edited = (from: string | RegExp, to: string) => new TextEncoder().encode(manifest.replace(from, to));
const said = () => reader.page.getByRole("alert").textContent();

const task = '"task": "question-answering"';

test.each<[string, () => Promise<[string, Uint8Array | null]>, () => string]>([
  [
    "an altered program",
    async () => [program, await flipped(program)],
    () => `${program} was altered; make the bundle again`,
  ],
  ["a missing file", async () => ["vocab.txt", null], () => "vocab.txt is missing; make the bundle again"],
  [
    "no manifest",
    async () => ["manifest.json", null],
    () => "it has no manifest.json, so it is not a bundle",
  ],
  [
    "a newer format",
    async () => ["manifest.json", edited('"format": 1', '"format": 2')],
    () => "it has format 2, newer than the 1 this software reads; update the software",
  ],
  [
    "another task",
    async () => ["manifest.json", edited(task, '"task": "regression"')],
    () => 'its task is "regression", and "question-answering" is wanted',
  ],
  [
    "an altered manifest",
    async () => ["manifest.json", edited('"stride": ', '"stride": 1')],
    () => "manifest.json was altered; make the bundle again",
  ],
])("%s is refused", async (_, change, sentence) => {
  const [name, bytes] = await change();
  site.changed.set(`model/${name}`, bytes);
  await visit(reader.page, site.url);
  expect(await said()).toBe(sentence());
  expect(await reader.page.locator("#model").isVisible()).toBe(false);
  await ask(reader.page, "Who built the mill?", "Agnès Rennie built the mill.");
  expect(await said()).toBe(sentence());
  expect(await reader.page.locator("#answer").isVisible()).toBe(false);
  const kept = await reader.page.evaluate(async () =>
    (await caches.keys()).filter((name) => name.startsWith("model-")),
  );
  expect(kept).toEqual([]);
});

test("a bundle that was altered on the way is used once it is whole again", async () => {
  site.changed.set(`model/${program}`, await flipped(program));
  await visit(reader.page, site.url);
  expect(await said()).toContain("was altered");
  site.changed.clear();
  await reader.page.reload();
  await settled(reader.page);
  expect(await said()).toBe("");
});

test("a kept copy that was damaged on the device is refused, dropped and fetched again", async () => {
  const { page } = reader;
  await visit(page, site.url);
  await page.getByText("Works offline").waitFor();
  await page.evaluate(async (file) => {
    const name = (await caches.keys()).find((key) => key.startsWith("model-")) ?? "";
    await (await caches.open(name)).put(`model/${file}`, new Response("damaged"));
  }, program);
  await page.reload();
  await settled(page);
  expect(await said()).toBe(`${program} was altered; make the bundle again`);
  await page.reload();
  await settled(page);
  expect(await said()).toBe("");
});
