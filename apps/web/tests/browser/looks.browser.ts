/** Accessibility by axe-core, targets a thumb can hit, nothing wider than the screen; SCREENSHOTS=FOLDER to look at it. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { ask, type Look, launch, phone, visit } from "./phone";
import { type Site, serve } from "./site";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const LEAST_PX = 44;

let browser: Browser;
let site: Site;

beforeAll(async () => {
  // on pictures answers should be real ones
  site = await serve(inject("built"), inject(process.env.SCREENSHOTS ? "bundle" : "other"));
  browser = await launch();
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

const looks: [string, Look][] = [
  ["phone-light", {}],
  ["phone-dark", { dark: true }],
  ["wide-dark", { width: 1280, height: 800, dark: true }],
];

test.each(looks)("%s", async (name, look) => {
  const { context, page, complaints } = await phone(browser, site.url, look);
  const check = async (state: string) => {
    if (process.env.SCREENSHOTS) {
      const path = join(process.env.SCREENSHOTS, `${name}-${state}.png`);
      await page.screenshot({ path, fullPage: state !== "answer" });
    }
    expect(await findings(page), `${name} ${state}`).toEqual([]);
    expect(await page.evaluate(tooSmall, LEAST_PX), `${name} ${state}`).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
  };
  await visit(page, site.url);
  await check("start");
  await page.getByRole("button", { name: "Who stayed in orbit" }).click();
  await page.locator("#answer:visible").waitFor();
  await page.waitForTimeout(250); // the card's appearance
  await check("answer");
  await ask(page, "", "a passage of one's own");
  await check("refused");
  await page.goto(`${site.url}?bench&seconds=0`);
  await page.locator("#benchmark-screen[data-state=done]").waitFor();
  await check("benchmark");
  expect(complaints).toEqual([]);
  await context.close();
});

/** Serious and critical findings, a line each. */
async function findings(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(AXE, "utf8"));
  const results = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
  return results.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** What one presses, below so many pixels in either direction. */
function tooSmall(least: number): string[] {
  const pressed = document.querySelectorAll(
    "a, button, select, textarea, input:not([type=radio]), .chips label",
  );
  return [...pressed].flatMap((element) => {
    const { width, height } = element.getBoundingClientRect();
    return width && (width < least || height < least) ? [`${element.id} ${width} × ${height}`] : [];
  });
}
