/** A reader asks: the answers are Python's, at their place, and the page stays a page while it works. */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import samples from "../../../samples.json";
import { ask, launch, type Phone, phone, shown, visit, write } from "./phone";
import { type Site, serve } from "./site";

type Case = { question: string; passage: string; answer: { text: string; start: number; end: number } };

const LONG = 50_000;
/** So many times, no model is done before it can be cancelled. */
const LONGER = 8;
const PAGE_LIMIT = 1_500_000;

let browser: Browser;
let site: Site;
let reader: Phone;

beforeAll(async () => {
  site = await serve(inject("built"), inject("bundle"));
  browser = await launch();
  reader = await phone(browser, site.url);
  await visit(reader.page, site.url);
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

test("the model is described by its manifest", async () => {
  const manifest = JSON.parse(await readFile(join(inject("bundle"), "manifest.json"), "utf8"));
  const bytes = Object.values<{ size_bytes: number }>(manifest.files).reduce(
    (sum, file) => sum + file.size_bytes,
    0,
  );
  const said = await reader.page.locator("#model").textContent();
  expect(said).toContain(`${manifest.name} · tflite · int8`);
  expect(said).toContain(`${(bytes / 1e6).toFixed(1)} MB`);
  expect(said).toContain(`F1 ${manifest.metrics.f1.toFixed(1)} on ${manifest.metrics.questions} questions`);
});

test("answers and their places are Python's", async () => {
  const golden: { cases: Case[] } = JSON.parse(await readFile(join(inject("bundle"), "golden.json"), "utf8"));
  expect(golden.cases.length).toBeGreaterThan(5);
  for (const { question, passage, answer } of golden.cases) {
    await ask(reader.page, question, passage);
    expect(await shown(reader.page)).toEqual({ text: answer.text, marked: answer.text });
    const before = await reader.page
      .locator("#reading")
      .evaluate((reading) => reading.firstChild?.textContent ?? "");
    expect([...before].length).toBe(answer.start);
    expect(await reader.page.locator("#reading").textContent()).toBe(passage);
  }
});

test("an answer behind accents, Chinese characters and emoji is marked where it stands", async () => {
  const { page } = reader;
  await page.getByLabel(samples[2]?.title ?? "").check();
  await page.getByRole("button", { name: "What is the nose" }).click();
  await page.locator("#answer:visible").waitFor();
  const { text, marked } = await shown(page);
  expect(text).not.toBe("");
  expect(marked).toBe(text);
  expect(await page.locator("#reading").textContent()).toBe(samples[2]?.passage);
  await expect.poll(() => page.locator("#announcement").textContent()).toContain(`Answer: ${text}`);
});

test("what cannot be asked is refused in the alert, with the contract's sentence", async () => {
  const { page } = reader;
  await ask(page, "", "Some text.");
  const alert = page.getByRole("alert");
  expect(await alert.textContent()).toBe("the question is empty; ask something");
  await ask(page, "Who?", " \n ");
  expect(await alert.textContent()).toBe("the passage is empty; give some text");
  await ask(page, "Who?", "\u200b");
  expect(await alert.textContent()).toBe("the passage holds no readable text");
  await ask(page, "Who built the mill?", "Agnès Rennie built the mill.");
  expect(await alert.textContent()).toBe("");
});

test("50,000 characters: windows are counted, the page stays responsive, and it can be cancelled", async () => {
  const { page } = reader;
  const passage = samples.map((sample) => sample.passage).join("\n\n");
  const long = passage.repeat(Math.ceil(LONG / passage.length)).slice(0, LONG);
  await write(page, long.repeat(LONGER));
  await page.locator("#question").fill("Who worked out the waggle dance?");
  await page.evaluate(() => {
    const seen = { gap: 0, last: performance.now(), began: performance.now() };
    Object.assign(globalThis, { seen });
    setInterval(() => {
      seen.gap = Math.max(seen.gap, performance.now() - seen.last);
      seen.last = performance.now();
    }, 10);
  });
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.getByText(/Window \d+ of \d\d/).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Ask", exact: true }).waitFor();
  expect(await page.locator("#answer").isVisible()).toBe(false);
  await write(page, long);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator("#answer:visible").waitFor();
  const { text, marked } = await shown(page);
  expect(marked).toBe(text);
  expect(Number(await page.locator("#windows").textContent())).toBeGreaterThan(30);
  expect(await page.locator("#reading mark").evaluate(outOfSight)).toEqual([]);
  const { gap, took } = await page.evaluate(() => {
    const { seen } = globalThis as unknown as { seen: { gap: number; began: number } };
    return { gap: seen.gap, took: performance.now() - seen.began };
  });
  console.log(
    `50,000 characters: the longest pause of the page was ${gap.toFixed(0)} ms of ${took.toFixed(0)}`,
  );
  // a page that does the work itself stands still for nearly all of it; other work on the machine is no pause of ours
  expect(gap).toBeLessThan(took / 2);
});

test("everything works by keyboard, and the focus is always seen", async () => {
  const { context, page, complaints } = await phone(browser, site.url, { width: 1024 });
  await visit(page, site.url);
  const focused: string[] = [];
  const tab = async (until: string) => {
    for (let step = 0; step < 20; step += 1) {
      await page.keyboard.press("Tab");
      const { name, isOutlined } = await page.evaluate(() => {
        const active = document.activeElement as HTMLElement;
        const outlined = active.matches('input[type="radio"]') ? active.closest("label") : active;
        const { outlineStyle } = getComputedStyle(outlined ?? active);
        const name =
          active === document.body ? "" : active.id || active.textContent?.trim() || active.tagName;
        return { name, isOutlined: outlineStyle !== "none" };
      });
      if (!name) {
        continue; // round the end of the page
      }
      expect(isOutlined, name).toBe(true);
      focused.push(name);
      if (name === until) {
        return;
      }
    }
    throw new Error(`${until} is not reached: ${focused}`);
  };
  await tab("INPUT");
  await page.keyboard.press("ArrowDown");
  await tab("question");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("When did von Frisch receive the Nobel Prize?");
  await page.keyboard.press("Enter");
  await page.locator("#answer:visible").waitFor();
  const { text, marked } = await shown(page);
  expect(marked).toBe(text);
  expect(samples[1]?.passage).toContain(text);
  await tab("reading");
  await page.reload();
  await tab("Benchmark");
  await page.keyboard.press("Enter");
  await tab("start");
  expect(complaints).toEqual([]);
  await context.close();
});

test("the page weighs little beside its runtime", async () => {
  const names = new Set(site.asked.filter((name) => !name.startsWith("model/")));
  const sizes = new Map<string, number>();
  for (const name of names) {
    sizes.set(name, (await stat(join(inject("built"), name || "index.html"))).size);
  }
  const sum = (wasm: boolean) =>
    [...sizes].reduce((bytes, [name, size]) => bytes + (name.endsWith(".wasm") === wasm ? size : 0), 0);
  console.log(
    `page: ${(sum(false) / 1e6).toFixed(2)} MB in ${sizes.size} files, WebAssembly ${(sum(true) / 1e6).toFixed(1)} MB`,
  );
  expect(sum(false)).toBeLessThan(PAGE_LIMIT);
  expect([...names].filter((name) => name.endsWith(".wasm"))).toHaveLength(1);
});

test("nobody complained in the console, and nothing was asked of anybody else", async () => {
  expect(reader.complaints).toEqual([]);
  expect(reader.foreign).toEqual([]);
});

test("the browser itself refuses connections to other places", async () => {
  const { page } = reader;
  const outcome = await page.evaluate(() =>
    fetch("http://localhost:9/").then(
      () => "went through",
      () => "refused",
    ),
  );
  const broken = new Promise<string>((resolve) => {
    page.once("console", (message) => resolve(message.text()));
  });
  await page.evaluate(() => void fetch("http://localhost:9/").catch(() => {}));
  expect(outcome).toBe("refused");
  expect(await broken).toContain("Content Security Policy");
});

/** The edges that a mark lies beyond: of its passage, of the screen. */
function outOfSight(mark: Element): string[] {
  const box = mark.getBoundingClientRect();
  const around = mark.parentElement?.getBoundingClientRect() ?? box;
  const edges = {
    above: around.top - box.top,
    below: box.bottom - around.bottom,
    screen: box.bottom - innerHeight,
  };
  return Object.entries(edges).flatMap(([name, beyond]) => (beyond > 1 ? [`${name} by ${beyond} px`] : []));
}
