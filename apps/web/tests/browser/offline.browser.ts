/** After the first visit the page needs no network, and what is deployed anew replaces what was kept. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, inject, test } from "vitest";
import { ask, launch, type Phone, phone, settled, shown, visit } from "./phone";
import { type Site, serve } from "./site";

const QUESTION = "Who stayed in orbit around the Moon?";

let browser: Browser;
let site: Site;
let reader: Phone;

beforeAll(async () => {
  browser = await launch();
});

afterAll(() => browser.close());

afterEach(async () => {
  await reader.context.close();
  await site.close();
});

async function firstVisit(bundle: string, headers = true): Promise<void> {
  site = await serve(inject("built"), bundle, headers);
  reader = await phone(browser, site.url);
  await visit(reader.page, site.url);
  await reader.page.getByText("Works offline").waitFor();
}

async function again(): Promise<void> {
  await reader.page.reload();
  await settled(reader.page);
}

const alert = () => reader.page.getByRole("alert").textContent();
const name = () => reader.page.locator("#model-name").textContent();
const models = () =>
  reader.page.evaluate(async () => (await caches.keys()).filter((key) => key.startsWith("model-")).length);

test("without a network it loads, answers and measures", async () => {
  await firstVisit(inject("bundle"));
  const { page } = reader;
  await ask(page, QUESTION);
  const { text } = await shown(page);
  site.isDown = true;
  await again();
  await ask(page, QUESTION);
  expect(await shown(page)).toEqual({ text, marked: text });
  await page.goto(`${site.url}?bench&seconds=0`);
  await page.locator("#benchmark-screen[data-state=done]").waitFor();
  expect(await alert()).toBe("");
});

test("a second visit fetches nothing but what tells whether there is something new", async () => {
  await firstVisit(inject("other"));
  site.asked.length = 0;
  await again();
  expect(site.asked.filter((file) => file !== "offline.js")).toEqual(["model/manifest.json"]);
  expect(reader.complaints).toEqual([]);
});

const nameIn = async (bundle: string): Promise<string> =>
  JSON.parse(await readFile(join(bundle, "manifest.json"), "utf8")).name;

test("another model that is deployed replaces the one that was kept", async () => {
  const [before, after] = [await nameIn(inject("other")), await nameIn(inject("bundle"))];
  expect(after).not.toBe(before);
  await firstVisit(inject("other"));
  expect(await name()).toContain(before);
  site.bundle = inject("bundle");
  await again();
  expect(await name()).toContain(after);
  await reader.page.getByText("Works offline").waitFor();
  expect(await models()).toBe(1);
  site.isDown = true;
  await again();
  expect(await name()).toContain(after);
});

test("a bad model that is deployed is refused, and the good one is still there without a network", async () => {
  await firstVisit(inject("other"));
  const manifest = await readFile(join(inject("other"), "manifest.json"), "utf8");
  site.changed.set(
    "model/manifest.json",
    new TextEncoder().encode(manifest.replace('"stride": ', '"stride": 1')),
  );
  await again();
  expect(await alert()).toBe("manifest.json was altered; make the bundle again");
  site.isDown = true;
  await again();
  expect(await alert()).toBe("");
  expect(await name()).toContain(await nameIn(inject("other")));
});

test("a new version waits until it is asked for, and then is there whole", async () => {
  await firstVisit(inject("other"));
  const { page } = reader;
  const built = (file: string) => readFile(join(inject("built"), file), "utf8");
  const bytes = (text: string) => new TextEncoder().encode(text);
  site.changed.set(
    "offline.js",
    bytes((await built("offline.js")).replace(/page-[0-9a-f]{16}/g, "page-0123456789abcdef")),
  );
  site.changed.set(
    "index.html",
    bytes((await built("index.html")).replace("<title>Pocket", "<title>Pocket anew")),
  );
  await again();
  expect(await page.title()).toBe("Pocket");
  await page.getByText("There is a new version.").waitFor();
  await page.getByRole("button", { name: "Load it" }).click();
  await expect.poll(() => page.title(), { timeout: 15_000 }).toBe("Pocket anew");
  await settled(page);
  const pages = () =>
    page.evaluate(async () => (await caches.keys()).filter((key) => key.startsWith("page-")));
  expect(await pages()).toEqual(["page-0123456789abcdef"]);
  site.isDown = true;
  await again();
  expect(await page.title()).toBe("Pocket anew");
  expect(await name()).toContain(await nameIn(inject("other")));
});

test("on a host that sends no headers the service worker isolates the page", async () => {
  await firstVisit(inject("other"), false);
  expect(await reader.page.evaluate(() => crossOriginIsolated)).toBe(true);
  expect(reader.complaints).toEqual([]);
});
