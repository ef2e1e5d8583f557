/**
 * A JSON value whose numbers stay as they were written.
 *
 * A manifest's seal covers its text, and JSON.parse makes doubles of numbers, whose digits cannot be written
 * again as Python wrote them. It also lets a key be named twice, and refuses NaN.
 */
export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

export class JsonNumber {
  constructor(readonly digits: string) {}
}

/** An object's member; undefined where there is none, or `value` is no object. */
export function member(value: Json | undefined, key: string): Json | undefined {
  return value instanceof Map ? value.get(key) : undefined;
}

export function text(value: Json | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A whole number, written as one: 384, not 384.0. */
export function whole(value: Json | undefined): number | undefined {
  if (!(value instanceof JsonNumber) || !/^-?\d+$/.test(value.digits)) return undefined;
  const found = Number(value.digits);
  return Number.isSafeInteger(found) ? found : undefined;
}

export function double(value: Json | undefined): number | undefined {
  return value instanceof JsonNumber ? Number(value.digits) : undefined;
}

/** Every item as `read` reads it; undefined where `value` is no list or one of its items cannot be read. */
export function items<T>(value: Json | undefined, read: (item: Json) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = value.map(read).filter((item) => item !== undefined);
  return found.length === value.length ? found : undefined;
}

/** Sorted keys, no spaces, ASCII only: what a seal covers, and how values are shown in sentences. */
export function canonical(value: Json): string {
  return written(value, ascii, undefined);
}

/** Sorted keys, one space a level: how a manifest is written. */
export function indented(value: Json): string {
  return written(value, JSON.stringify, 0);
}

/** By code points, as Python sorts; `<` compares UTF-16 units. */
export function byCodePoint(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  let place = 0;
  while (place < length && one[place] === other[place]) place += 1;
  if (place === length) return one.length - other.length;
  return rank(one.charCodeAt(place)) - rank(other.charCodeAt(place));
}

/** Surrogates stand for code points above all other units'. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

function written(value: Json, quoted: (text: string) => string, level: number | undefined): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return quoted(value);
  if (value instanceof JsonNumber) return value.digits;
  const inner = level === undefined ? undefined : level + 1;
  if (Array.isArray(value)) {
    return bracketed(
      "[]",
      value.map((item) => written(item, quoted, inner)),
      level,
    );
  }
  const colon = level === undefined ? ":" : ": ";
  const sorted = [...value].sort(([one], [other]) => byCodePoint(one, other));
  return bracketed(
    "{}",
    sorted.map(([key, item]) => quoted(key) + colon + written(item, quoted, inner)),
    level,
  );
}

function bracketed(brackets: string, parts: string[], level: number | undefined): string {
  const [open, close] = brackets;
  if (level === undefined || parts.length === 0) return `${open}${parts.join(",")}${close}`;
  const line = `\n${" ".repeat(level)}`;
  return `${open}${line} ${parts.join(`,${line} `)}${line}${close}`;
}

function ascii(value: string): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
