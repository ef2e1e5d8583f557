/** The benchmark: what it writes is left for device_bench to read. */

import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch, phone, visit } from "./phone";
import { type Site, serve } from "./site";

let browser: Browser;
let site: Site;

beforeAll(async () => {
  site = await serve(inject("built"), inject("other"));
  browser = await launch();
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

const state = (page: Page) => page.locator("#benchmark-screen").getAttribute("data-state");

test("by its address: warmed up, ten seconds, downloaded", async () => {
  const { context, page, complaints } = await phone(browser, site.url);
  const saved = page.waitForEvent("download", { timeout: 60_000 });
  await page.goto(`${site.url}?bench&seconds=10&download`);
  await page.getByText(/\d+ runs, \d+ %/).waitFor();
  const download = await saved;
  expect(download.suggestedFilename()).toBe("measurement.json");
  const file = join(inject("left"), "measurement.json");
  await copyFile(await download.path(), file);
  const record = JSON.parse(await readFile(file, "utf8"));
  const [program] = record.programs;
  expect(program.samples_ns.length).toBeGreaterThanOrEqual(50);
  expect(program.samples_ns.length % 8).toBe(0);
  const seconds = program.samples_ns.reduce((sum: number, sample: number) => sum + sample, 0) / 1e9;
  expect(seconds).toBeLessThan(60);
  expect(record.made).toMatchObject({ cross_origin_isolated: true, automated: true });
  expect(await page.locator("#histogram rect").count()).toBe(32);
  expect(complaints).toEqual([]);
  await context.close();
});

test("what cannot be measured is said", async () => {
  const manifest = JSON.parse(await readFile(join(inject("other"), "manifest.json"), "utf8"));
  const { context, page } = await phone(browser, site.url);
  await page.goto(`${site.url}?bench&length=7`);
  await expect.poll(() => state(page), { timeout: 20_000 }).toBe("failed");
  expect(await page.getByRole("alert").textContent()).toBe(
    `the program takes ${manifest.lengths.fixed.join(", ")} tokens, not 7`,
  );
  await context.close();
});

test("it can be cancelled, and started again", async () => {
  const { context, page } = await phone(browser, site.url);
  await visit(page, site.url);
  await page.getByRole("link", { name: "Benchmark" }).click();
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText(/\d+ runs/).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Start" }).waitFor();
  expect(await page.locator("#result").isVisible()).toBe(false);
  expect(await page.getByRole("alert").textContent()).toBe("");
  await context.close();
});
