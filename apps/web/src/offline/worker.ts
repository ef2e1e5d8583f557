/**
 * The service worker: page, runtime and model from the device, after the first visit without a network.
 *
 * The page's files lie in a cache of this build and are replaced together, when the page says so. The model has
 * its own caches (models.ts). Every response gets the app's headers, so that threads and the content security
 * policy hold on hosts that cannot send any.
 */

import { HEADERS } from "../../headers";
import { FOLDER, forget, fromModel, keep } from "./models";

declare const self: ServiceWorkerGlobalScope;
declare const BUILD: string;
declare const PAGE_FILES: string[];
declare const RUNTIME_FILES: string[];

const PAGE = `page-${BUILD}`;
const runtime = new Set(RUNTIME_FILES);
const page = new Set(PAGE_FILES);

/** What the page tells the service worker, which answers the second: whether the model is kept, whole. */
export type Order = "update" | "model opened" | "model refused";

self.addEventListener("install", (event) => {
  event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(activate());
});

self.addEventListener("message", (event) => {
  const order: Order = event.data;
  if (order === "update") {
    event.waitUntil(self.skipWaiting());
  } else if (order === "model opened") {
    event.waitUntil(keep().then((isKept) => event.ports[0]?.postMessage(isKept)));
  } else {
    event.waitUntil(forget());
  }
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) {
    event.respondWith(answer(event));
  }
});

async function install(): Promise<void> {
  const used = await Promise.all(RUNTIME_FILES.map((name) => caches.match(name)));
  const needed = ["./", ...PAGE_FILES, ...RUNTIME_FILES.filter((_, place) => used[place])];
  const cache = await caches.open(PAGE);
  await cache.addAll(needed.map((name) => new Request(name, { cache: "reload" })));
  if (!self.registration.active) {
    await self.skipWaiting();
  }
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith("page-") && name !== PAGE) {
      await caches.delete(name);
    }
  }
  await self.clients.claim();
}

async function answer(event: FetchEvent): Promise<Response> {
  const { request } = event;
  const name = new URL(request.url).pathname.slice(new URL(self.registration.scope).pathname.length);
  if (name.startsWith(FOLDER)) {
    const part = decodeURIComponent(name.slice(FOLDER.length));
    return withHeaders(await fromModel(request, part, (work) => event.waitUntil(work)));
  }
  if (name === "" || name === "index.html") {
    return withHeaders((await (await caches.open(PAGE)).match("./")) ?? (await fetch(request)));
  }
  if (page.has(name) || runtime.has(name)) {
    return withHeaders(await fromPage(name, event));
  }
  return withHeaders(await fetch(request));
}

async function fromPage(name: string, event: FetchEvent): Promise<Response> {
  const cache = await caches.open(PAGE);
  const kept = await cache.match(name);
  if (kept) {
    return kept;
  }
  const response = await fetch(event.request);
  if (response.ok) {
    event.waitUntil(cache.put(name, response.clone()));
  }
  return response;
}

function withHeaders(response: Response): Response {
  if (response.type === "error") {
    return response;
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) {
    headers.set(name, value);
  }
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
