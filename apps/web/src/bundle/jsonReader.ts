import { type Json, JsonNumber, type JsonObject } from "./json";

/** Why bytes are no JSON; a bundle's reader says no more than that its manifest is damaged. */
export class MalformedJson extends Error {}

const DEEPEST = 100;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity/y;
const STRING = /"(?:[^"\\\p{Cc}]+|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/uy;
const SPACE = /[ \n\r\t]*/y;

/**
 * Reads UTF-8.
 *
 * Throws MalformedJson for what RFC 8259 refuses, a key that is named twice, half of a surrogate pair, and
 * more than a hundred levels. `NaN`, `Infinity` and `-Infinity` are numbers, as Python writes them.
 */
export function readJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new MalformedJson();
  }
  return new JsonReader(text).document();
}

class JsonReader {
  private place = 0;

  constructor(private readonly text: string) {}

  document(): Json {
    const value = this.value(0);
    this.skipSpace();
    if (this.place < this.text.length) throw new MalformedJson();
    return value;
  }

  private value(level: number): Json {
    this.skipSpace();
    switch (this.text[this.place]) {
      case "{":
        return this.members(level + 1);
      case "[":
        return this.items(level + 1);
      case '"':
        return this.string();
      default:
        if (this.take("null")) return null;
        if (this.take("true")) return true;
        if (this.take("false")) return false;
        return new JsonNumber(this.match(NUMBER));
    }
  }

  private members(level: number): Json {
    const members: JsonObject = new Map();
    this.each(level, "}", () => {
      this.skipSpace();
      const key = this.string();
      this.skipSpace();
      if (members.has(key) || !this.take(":")) throw new MalformedJson();
      members.set(key, this.value(level));
    });
    return members;
  }

  private items(level: number): Json {
    const items: Json[] = [];
    this.each(level, "]", () => items.push(this.value(level)));
    return items;
  }

  private each(level: number, close: string, read: () => void): void {
    if (level > DEEPEST) throw new MalformedJson();
    this.place += 1;
    this.skipSpace();
    if (this.take(close)) return;
    do {
      read();
      this.skipSpace();
    } while (this.take(","));
    if (!this.take(close)) throw new MalformedJson();
  }

  private string(): string {
    const value: string = JSON.parse(this.match(STRING));
    if (/\p{Surrogate}/u.test(value)) throw new MalformedJson();
    return value;
  }

  private skipSpace(): void {
    this.match(SPACE);
  }

  private take(wanted: string): boolean {
    const found = this.text.startsWith(wanted, this.place);
    if (found) this.place += wanted.length;
    return found;
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.place;
    const found = pattern.exec(this.text)?.[0];
    if (found === undefined) throw new MalformedJson();
    this.place += found.length;
    return found;
  }
}
