/** Chromium as a phone sees the page, with everything noted that it should not do. */

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

export type Look = { width?: number; height?: number; dark?: boolean };

export type Phone = {
  context: BrowserContext;
  page: Page;
  /** Console errors and warnings, exceptions that nobody caught. */
  complaints: string[];
  /** Addresses that are not the site's. */
  foreign: string[];
};

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** LiteRT.js asks for a GPU even where it is told to use none. */
const NO_GPU = /WebGPU|GPU adapter/;

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/** A new profile with nothing kept, on a phone of 360 × 740 unless told otherwise. */
export async function phone(browser: Browser, url: string, look: Look = {}): Promise<Phone> {
  const { width = 360, height = 740, dark = false } = look;
  const context = await browser.newContext({
    viewport: { width, height },
    deviceScaleFactor: 2,
    hasTouch: width < 600,
    isMobile: width < 600,
    colorScheme: dark ? "dark" : "light",
    acceptDownloads: true,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  const foreign: string[] = [];
  page.on("console", (message) => {
    if (/error|warning/.test(message.type()) && !NO_GPU.test(message.text())) {
      complaints.push(`${message.type()}: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  context.on("request", (request) => {
    if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) {
      foreign.push(request.url());
    }
  });
  return { context, page, complaints, foreign };
}

/** Opens the page and waits until the model is ready, or refused. */
export async function visit(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await settled(page);
}

export async function settled(page: Page): Promise<void> {
  await page.locator("#model:visible, #alert:not(:empty)").first().waitFor({ timeout: 30_000 });
}

/** Puts a passage and a question in, as a reader would, and asks. */
export async function ask(page: Page, question: string, passage?: string): Promise<void> {
  if (passage !== undefined) {
    await write(page, passage);
  }
  await page.locator("#question").fill(question);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator("#answer:visible, #alert:not(:empty)").first().waitFor({ timeout: 30_000 });
}

/** Puts in a passage of the reader's own. */
export async function write(page: Page, passage: string): Promise<void> {
  await page.getByLabel("Your own").check();
  const edit = page.getByRole("button", { name: "Edit" });
  if (await edit.isVisible()) {
    await edit.click();
  }
  await page.locator("#passage").fill(passage);
}

/** The answer that is shown, and what is marked in the passage. */
export async function shown(page: Page): Promise<{ text: string; marked: string }> {
  const text = (await page.locator("#answer-text").textContent()) ?? "";
  return { text, marked: (await page.locator("#reading mark").textContent()) ?? "" };
}
