/**
 * The model, kept for use without a network.
 *
 * A cache is named by the SHA-256 of the manifest that its files belong to: a manifest has one form only and the
 * seal is in it, so another model has another cache, and what was altered cannot touch a copy that is good. A file
 * is kept only if its hash is the manifest's. A manifest is asked of the network first; without one, it is that
 * of the last model that the page has checked and opened. The page checks every hash again, whoever gave the bytes.
 */

/** Where the bundle lies, beside the page. */
export const FOLDER = "model/";
const MODEL = "model-";
const POINTERS = "models";
const MANIFEST = "manifest.json";
/** `current`: the last manifest that was given out; `opened`: the last one that the page found good. */
type Pointer = "current" | "opened";
/** After so long a network that says nothing counts as none, where there is a copy. */
const PATIENCE_MS = 4000;

type Wait = (work: Promise<unknown>) => void;
type Manifest = { files?: Record<string, { sha256?: string }> };

const storing = new Set<Promise<void>>();

/** A response for the file `name` of the bundle. `wait` keeps the service worker alive for what goes on after it. */
export async function fromModel(request: Request, name: string, wait: Wait): Promise<Response> {
  return name === MANIFEST ? manifest(request) : file(request, name, wait);
}

/** The page has opened the current model: from now on it is what there is without a network. Whether it is all here. */
export async function keep(): Promise<boolean> {
  await Promise.allSettled(storing);
  const current = await read("current");
  if (!current || !(await isWhole(await caches.open(current)))) {
    return false;
  }
  await write("opened", current);
  await drop((name) => name !== current);
  return true;
}

/** The page has refused the current model: not one byte of it is used again. */
export async function forget(): Promise<void> {
  const current = await read("current");
  await drop((name) => name === current);
}

async function manifest(request: Request): Promise<Response> {
  const opened = await read("opened");
  const kept =
    opened && (await caches.has(opened)) ? await (await caches.open(opened)).match(request) : undefined;
  let response: Response;
  try {
    const signal = kept ? AbortSignal.timeout(PATIENCE_MS) : null;
    response = await fetch(request.url, { cache: "no-cache", signal });
  } catch {
    if (!opened || !kept) {
      return Response.error();
    }
    await write("current", opened);
    return kept;
  }
  if (response.ok) {
    const bytes = await response.clone().arrayBuffer();
    const name = MODEL + (await sha256(bytes));
    await (await caches.open(name)).put(request, new Response(bytes, response));
    await write("current", name);
  }
  return response;
}

async function file(request: Request, name: string, wait: Wait): Promise<Response> {
  const current = await read("current");
  const cache = current ? await caches.open(current) : undefined;
  const kept = await cache?.match(request);
  if (kept) {
    return kept;
  }
  let response: Response;
  try {
    response = await fetch(request.url, { cache: "no-cache" });
  } catch {
    return Response.error();
  }
  if (response.ok && cache) {
    const stored = store(cache, request, name, response.clone());
    storing.add(stored);
    wait(stored.finally(() => storing.delete(stored)));
  }
  return response;
}

async function store(cache: Cache, request: Request, name: string, response: Response): Promise<void> {
  const wanted = (await manifestIn(cache)).files?.[name]?.sha256;
  const bytes = await response.arrayBuffer();
  if (wanted && (await sha256(bytes)) === wanted) {
    await cache.put(request, new Response(bytes, { headers: response.headers }));
  }
}

async function isWhole(cache: Cache): Promise<boolean> {
  const names = Object.keys((await manifestIn(cache)).files ?? {});
  const found = await Promise.all(names.map((name) => cache.match(address(name))));
  return names.length > 0 && found.every(Boolean);
}

/** What a manifest says; one that is no JSON says nothing, and is the page's to refuse. */
async function manifestIn(cache: Cache): Promise<Manifest> {
  try {
    return (await (await cache.match(address(MANIFEST)))?.json()) ?? {};
  } catch {
    return {};
  }
}

function address(name: string): string {
  return `${FOLDER}${name.split("/").map(encodeURIComponent).join("/")}`;
}

async function sha256(bytes: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function read(pointer: Pointer): Promise<string | undefined> {
  return (await (await caches.open(POINTERS)).match(pointer))?.text();
}

async function write(pointer: Pointer, name: string): Promise<void> {
  await (await caches.open(POINTERS)).put(pointer, new Response(name));
}

async function drop(which: (name: string) => boolean): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(MODEL) && which(name)) {
      await caches.delete(name);
    }
  }
}
