/**
 * Builds the page once for all tests.
 *
 * BUNDLE is asked the questions of its golden.json; OTHER_BUNDLE, of another name, is the one for everything where
 * answers do not matter. Without them, those that `make counts` leaves in the runs folder. LEFT is a folder for the
 * measurement.json.
 */

import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "vite";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    built: string;
    bundle: string;
    other: string;
    left: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runs = resolve(import.meta.dirname, "../../../../runs");
  const bundle = process.env.BUNDLE ?? join(runs, "pocket/tflite");
  const other = process.env.OTHER_BUNDLE ?? join(runs, "tiny/tflite");
  await Promise.all([bundle, other].map((folder) => access(join(folder, "manifest.json"))));
  project.provide("bundle", bundle);
  project.provide("other", other);
  const folder = await mkdtemp(join(tmpdir(), "pocket-web-"));
  const built = join(folder, "built");
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production"; // Vitest's own would make it a page without its service worker
  await build({ logLevel: "error", build: { outDir: built } });
  process.env.NODE_ENV = NODE_ENV;
  project.provide("built", built);
  project.provide("left", process.env.LEFT ?? folder);
  return () => rm(folder, { recursive: true });
}
