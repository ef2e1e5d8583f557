// npm run icons: the PNG icons from public/icons/pocket.svg. An icon that is cut to a shape gets room around it.
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const folder = new URL("public/icons/", import.meta.url);
const picture = await readFile(new URL("pocket.svg", folder), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
for (const [name, size, square] of [
  ["pocket-180.png", 180, true],
  ["pocket-192.png", 192, false],
  ["pocket-512.png", 512, false],
  ["pocket-maskable-512.png", 512, true],
]) {
  await page.setViewportSize({ width: size, height: size });
  const shown = name.includes("maskable") ? `padding: ${size * 0.1}px` : "";
  const ground = square ? "background: #14594a" : "";
  await page.setContent(
    `<body style="margin: 0; box-sizing: border-box; height: 100vh; ${shown}; ${ground}">${picture}`,
  );
  await page.screenshot({ path: new URL(name, folder).pathname, omitBackground: true });
}
await browser.close();
