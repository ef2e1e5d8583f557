import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { readTokenizer, Tokenizer } from "../src/text/tokenizer";

/** apps/golden, made by `python -m pipeline.golden_suite`. */
const GOLDEN = new URL("../../golden/", import.meta.url);

// biome-ignore lint/suspicious/noExplicitAny: cases are the suite's own, and a wrong one fails
export type Case = any;

export function read(name: string): Case {
  return JSON.parse(readFileSync(new URL(name, GOLDEN), "utf8"));
}

/** The tokenizers that the cases name. */
export const tokenizers: Map<string, Tokenizer> = new Map(
  Object.entries(read("tokenizers.json")).map(([name, described]: [string, Case]) => {
    if (described.file)
      return [name, readTokenizer(readFileSync(new URL(`../../${described.file}`, GOLDEN)))];
    return [
      name,
      new Tokenizer(vocabulary(described.vocabulary), {
        lowercases: described.lowercase,
        stripsAccents: described.strip_accents ?? described.lowercase,
        cleansText: described.clean_text,
        separatesIdeographs: described.handle_chinese_chars,
      }),
    ];
  }),
);

function vocabulary(name: string): Map<string, number> {
  const lines = readFileSync(new URL(name, GOLDEN), "utf8").split("\n");
  return new Map(lines.map((piece, id): [string, number] => [piece, id]).filter(([piece]) => piece !== ""));
}

export function tokenizerOf(given: Case): Tokenizer {
  const found = tokenizers.get(given.tokenizer);
  if (found === undefined) throw new Error(`the suite has no tokenizer ${given.tokenizer}`);
  return found;
}

/** A text, given as a string, as UTF-16 code units, or as a unit that repeats; undefined where it is not given. */
export function textOf(given: Case, key: string): string | undefined {
  if (typeof given[key] === "string") return given[key];
  if (given[`${key}_utf16`]) return String.fromCharCode(...given[`${key}_utf16`]);
  if (given.repeated === undefined) return undefined;
  const unit = [...given.repeated];
  return Array.from({ length: given.characters }, (_, place) => unit[place % unit.length]).join("");
}

/** Logits: 256ths, or words for what is no fraction. */
export function floats(numbers: (number | string)[]): number[] {
  return numbers.map((number) => (typeof number === "number" ? number / 256 : Number(number)));
}

/**
 * Compares every case; `outcomes` gives, for one, pairs of what it is and what it should be, which are compared
 * as JSON.
 */
export async function compare(
  name: string,
  cases: Case[],
  atLeast: number,
  outcomes: (given: Case) => [unknown, unknown][] | Promise<[unknown, unknown][]>,
): Promise<void> {
  const mismatches: string[] = [];
  let compared = 0;
  for (const given of cases) {
    for (const pair of await outcomes(given)) {
      const [got, wanted] = pair.map((side) => JSON.stringify(side));
      compared += 1;
      if (got !== wanted) mismatches.push(`${given.id}: ${got}, not ${wanted}`);
    }
  }
  console.log(`${name}: ${cases.length} cases, ${compared} compared, ${mismatches.length} mismatches`);
  expect(cases.length).toBeGreaterThanOrEqual(atLeast);
  expect(mismatches.slice(0, 5).join("\n")).toBe("");
}
