import { Refused } from "../refused";
import type { Folder } from "./folder";
import {
  byCodePoint,
  canonical,
  indented,
  items,
  type Json,
  JsonNumber,
  type JsonObject,
  member,
  text,
  whole,
} from "./json";
import { readJson } from "./jsonReader";
import { KINDS, type Kind, readTask, type Task } from "./task";

const MANIFEST = "manifest.json";
const FORMAT = "1";
const AGAIN = "make the bundle again";

/** A checked bundle: what its manifest says, and the very bytes that were hashed. */
export type ModelBundle = {
  name: string;
  /** Which runtime the program is for. */
  target: string;
  /** The program's name inside of the folder. */
  program: string;
  task: Task;
  /** Sequence lengths that the program takes, ascending. */
  lengths: number[];
  metrics: Record<string, unknown>;
  /** `int8` or `float32`; undefined in bundles that do not say. */
  precision: string | undefined;
  /** False: made, and never seen to run. An app should not use it unless it was asked to. */
  isVerified: boolean;
  whyNotVerified: string | undefined;
  seal: string;
  files: Map<string, Uint8Array<ArrayBuffer>>;
};

/**
 * Reads the manifest and compares every file with it; apps/README.md is the contract.
 *
 * `onTotal` is told, before files are read, how many bytes they have together. Throws Refused for a folder
 * that is no bundle, one that was altered, one of a newer format, or of a task that is unknown or not `wanted`.
 */
export async function readBundle(
  folder: Folder,
  wanted?: Kind,
  onTotal: (bytes: number) => void = () => {},
): Promise<ModelBundle> {
  const [manifest, kind] = await readManifest(folder, wanted);
  const listed = manifest.get("files") as Map<string, Json>;
  onTotal([...listed.values()].reduce((sum, entry) => sum + (whole(member(entry, "size_bytes")) ?? 0), 0));
  const files = await checked(folder, listed);
  const [name, target, program] = ["name", "target", "program"].map((key) => text(manifest.get(key)));
  if (name === undefined || target === undefined || program === undefined) throw lacksField();
  checkInside(program);
  const task = readTask(kind, manifest.get("windows"));
  const metrics = manifest.get("metrics");
  const lengths = readLengths(manifest.get("lengths"));
  if (task === undefined || !(metrics instanceof Map) || lengths === undefined) throw lacksField();
  if (![...listed.keys()].some((file) => file === program || file.startsWith(`${program}/`))) {
    throw new Refused(`its program is missing; ${AGAIN}`);
  }
  return {
    name,
    target,
    program,
    task,
    lengths,
    metrics: Object.fromEntries([...metrics].map(([key, value]) => [key, plain(value)])),
    precision: text(manifest.get("precision")),
    isVerified: manifest.get("verified") !== false,
    whyNotVerified: text(manifest.get("why_not_verified")),
    seal: text(manifest.get("seal")) ?? "",
    files,
  };
}

/** A manifest that is what was sealed, of this format and of a known task. */
async function readManifest(folder: Folder, wanted: Kind | undefined): Promise<[JsonObject, Kind]> {
  const bytes = await folder.read(MANIFEST);
  if (bytes === undefined) throw new Refused(`it has no ${MANIFEST}, so it is not a bundle`);
  const manifest = parsed(bytes);
  const [format, task, files] = ["format", "task", "files"].map((key) => manifest.get(key));
  if (!(format instanceof JsonNumber) || !/^[1-9]\d*$/.test(format.digits)) throw damaged();
  if (task === undefined || files === undefined) throw damaged();
  if (format.digits !== FORMAT) {
    throw new Refused(
      `it has format ${format.digits}, newer than the ${FORMAT} this software reads; update the software`,
    );
  }
  const kind = KINDS.find((known) => known === task);
  if (kind === undefined) throw new Refused(`its task is ${canonical(task)}, not one of ${KINDS.join(", ")}`);
  if (wanted !== undefined && wanted !== kind) {
    throw new Refused(`its task is ${canonical(task)}, and "${wanted}" is wanted`);
  }
  const isList = files instanceof Map && [...files.values()].every((entry) => entry instanceof Map);
  const isSealed = manifest.get("seal") === (await seal(manifest));
  if (!isList || !isSealed || !areSame(bytes, new TextEncoder().encode(indented(manifest)))) {
    throw new Refused(`${MANIFEST} was altered; ${AGAIN}`);
  }
  return [manifest, kind];
}

function parsed(bytes: Uint8Array): JsonObject {
  let manifest: Json;
  try {
    manifest = readJson(bytes);
  } catch {
    throw damaged();
  }
  if (!(manifest instanceof Map)) throw damaged();
  return manifest;
}

async function seal(manifest: JsonObject): Promise<string> {
  const sealed = new Map(manifest);
  sealed.delete("seal");
  return sha256(new TextEncoder().encode(canonical(sealed)));
}

/** Every file's bytes, each compared with its hash; only what is not listed can go unseen over HTTP. */
async function checked(
  folder: Folder,
  listed: Map<string, Json>,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const [link] = folder.links().sort(byCodePoint);
  if (link !== undefined) throw new Refused(`${link} is a symbolic link; a bundle holds plain files only`);
  const present = new Set(folder.files() ?? listed.keys());
  present.delete(MANIFEST);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of [...new Set([...listed.keys(), ...present])].sort(byCodePoint)) {
    checkInside(name);
    const bytes = present.has(name) ? await folder.read(name) : undefined;
    if (bytes === undefined) throw new Refused(`${name} is missing; ${AGAIN}`);
    const entry = listed.get(name);
    if (entry === undefined) throw new Refused(`${name} is not in its manifest; remove it`);
    if (member(entry, "sha256") !== (await sha256(bytes))) throw new Refused(`${name} was altered; ${AGAIN}`);
    files.set(name, bytes);
  }
  return files;
}

function checkInside(name: string): void {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0 || name.startsWith("/") || parts.includes("..") || name.includes("\\")) {
    throw new Refused(`${MANIFEST} names ${canonical(name)}, which is outside of the bundle`);
  }
}

function readLengths(field: Json | undefined): number[] | undefined {
  const shortest = whole(member(field, "shortest"));
  const longest = whole(member(field, "longest"));
  let lengths = items(member(field, "fixed"), whole);
  if (member(field, "fixed") === undefined && shortest !== undefined && longest !== undefined) {
    lengths = Array.from({ length: Math.max(longest - shortest + 1, 0) }, (_, place) => shortest + place);
  }
  const ascends = lengths?.every((length, place) => length > (lengths?.[place - 1] ?? 0));
  return ascends && lengths?.length ? lengths : undefined;
}

/** A manifest's value as JSON.parse would give it. */
function plain(value: Json): unknown {
  if (value instanceof JsonNumber) return Number(value.digits);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new Error("the model's files can be checked over https or on localhost only; open this page there");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function areSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, place) => byte === other[place]);
}

function damaged(): Refused {
  return new Refused(`${MANIFEST} is damaged; ${AGAIN}`);
}

function lacksField(): Refused {
  return new Refused(`${MANIFEST} lacks a field that a bundle needs; ${AGAIN}`);
}
