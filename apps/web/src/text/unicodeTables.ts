import unicode from "../../../golden/unicode.txt?raw";

/**
 * What the tokenizer makes of code points. unicode.txt says what each table is and why no table of the
 * platform is asked.
 */
class UnicodeTables {
  readonly dropped: CodePoints;
  readonly whitespace: CodePoints;
  readonly ideographs: CodePoints;
  readonly nonspacing: CodePoints;
  readonly punctuation: CodePoints;
  private readonly classes = new Map<number, number>();
  private readonly decompositions: Map<number, number[]>;
  private readonly lowerCases: Map<number, number[]>;

  /** `text` is the content of unicode.txt, which is part of the program and so not doubted. */
  constructor(text: string) {
    const tables = new Map<string, string[]>();
    for (const line of text.split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const [name = "", ...items] = line.replace(/^class /, "").split(" ");
      tables.set(name, [...(tables.get(name) ?? []), ...items]);
    }
    const items = (name: string) => tables.get(name) ?? [];
    this.dropped = new CodePoints(items("dropped"));
    this.whitespace = new CodePoints(items("whitespace"));
    this.ideographs = new CodePoints(items("ideograph"));
    this.nonspacing = new CodePoints(items("nonspacing"));
    this.punctuation = new CodePoints(items("punctuation"));
    this.decompositions = mappings(items("decompose"));
    this.lowerCases = mappings(items("lower"));
    for (const [name, ranges] of tables) {
      if (!/^\d+$/.test(name)) continue;
      for (const [first, last] of ranges.map(range)) {
        for (let point = first; point <= last; point++) this.classes.set(point, Number(name));
      }
    }
  }

  /** The canonical combining class. */
  combiningClass(point: number): number {
    return this.classes.get(point) ?? 0;
  }

  /** The full canonical decomposition; the code point itself where it has none. */
  decomposition(point: number): readonly number[] {
    const place = point - HANGUL_FIRST;
    if (place < 0 || point > HANGUL_LAST) return this.decompositions.get(point) ?? [point];
    const syllable = [0x1100 + Math.floor(place / 588), 0x1161 + Math.floor((place % 588) / 28)];
    return place % 28 === 0 ? syllable : [...syllable, 0x11a7 + (place % 28)];
  }

  lowerCase(point: number): readonly number[] {
    return this.lowerCases.get(point) ?? [point];
  }
}

const HANGUL_FIRST = 0xac00;
const HANGUL_LAST = 0xd7a3;

/** A set of code points, as ascending ranges. */
class CodePoints {
  private readonly ranges: [number, number][];

  constructor(items: string[]) {
    this.ranges = items.map(range).sort(([one], [other]) => one - other);
  }

  has(point: number): boolean {
    let low = 0;
    let high = this.ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const [first, last] = this.ranges[middle] as [number, number];
      if (point < first) high = middle - 1;
      else if (point > last) low = middle + 1;
      else return true;
    }
    return false;
  }
}

/** Items A=B.C, A:+D, A-B:+D and A-B/S:+D. */
function mappings(items: string[]): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const item of items) {
    const [from = "", to] = item.split("=");
    if (to !== undefined) {
      found.set(hexadecimal(from), to.split(".").map(hexadecimal));
      continue;
    }
    const [where = "", distance = ""] = item.split(":");
    const [ends = "", step = "1"] = where.split("/");
    const [first, last] = range(ends);
    for (let point = first; point <= last; point += Number(step)) {
      found.set(point, [point + hexadecimal(distance)]);
    }
  }
  return found;
}

function range(item: string): [number, number] {
  const [first = "", last = first] = item.split("-");
  return [hexadecimal(first), hexadecimal(last)];
}

function hexadecimal(digits: string): number {
  return Number.parseInt(digits, 16);
}

export const tables = new UnicodeTables(unicode);
