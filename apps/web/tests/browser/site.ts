/** A web server with the built page and a bundle, whose files a test can change, take away, or all at once. */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { HEADERS } from "../../headers";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

export type Site = {
  url: string;
  /** The folder that is served as `model/`. */
  bundle: string;
  /** Path below the site → other bytes; null: not there. */
  changed: Map<string, Uint8Array | null>;
  /** Paths that were asked for. */
  asked: string[];
  /** No answer at all, as without a network. */
  isDown: boolean;
  close(): Promise<void>;
};

/** Serves the folder `built`, with `bundle` as its model; `headers`: whether it sends the app's. */
export async function serve(built: string, bundle: string, headers = true): Promise<Site> {
  const site = {
    bundle,
    changed: new Map<string, Uint8Array | null>(),
    asked: [] as string[],
    isDown: false,
  };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname).slice(1);
    if (site.isDown) {
      request.socket.destroy();
      return;
    }
    site.asked.push(path);
    const name = path || "index.html";
    const file = name.startsWith("model/")
      ? join(site.bundle, name.slice("model/".length))
      : join(built, name);
    const other = site.changed.get(name);
    const bytes = other === undefined ? await readFile(file).catch(() => null) : other;
    response.writeHead(bytes ? 200 : 404, {
      "Content-Type": bytes ? (TYPES[extname(name)] ?? "application/octet-stream") : "text/plain",
      ...(headers ? HEADERS : {}),
    });
    response.end(bytes ?? "not here");
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return Object.assign(site, {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}
