/** Builds the page once for all tests. Where bundles are: POCKET_BUNDLE, TINY_BUNDLE, or the runs folder. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "vite";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    built: string;
    pocket: string;
    tiny: string;
    /** Where tests leave what is looked at afterwards: screenshots, measurement.json. */
    left: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "pocket-web-"));
  const built = join(folder, "built");
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production"; // Vitest's own would make it a page without its service worker
  await build({ logLevel: "error", build: { outDir: built } });
  process.env.NODE_ENV = NODE_ENV;
  const runs = resolve(import.meta.dirname, "../../../../runs");
  project.provide("built", built);
  project.provide("pocket", process.env.POCKET_BUNDLE ?? join(runs, "pocket/tflite"));
  project.provide("tiny", process.env.TINY_BUNDLE ?? join(runs, "tiny/tflite"));
  project.provide("left", process.env.LEFT ?? folder);
  return () => rm(folder, { recursive: true });
}
