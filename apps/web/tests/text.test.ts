import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { answersOf, mostLikelyLabel, type Span } from "../src/text/answers";
import { codePoints, highlighted, unitsOfCodePoints } from "../src/text/codePoints";
import { normalize, words } from "../src/text/normalizer";
import type { Tokenizer } from "../src/text/tokenizer";
import { idsOf, windowsOf } from "../src/text/windows";
import { type Case, compare, floats, read, textOf, tokenizerOf, tokenizers } from "./golden";

// Everything in apps/golden but bundles: not one id, offset or answer may differ from Python's.

test("tokenization", () =>
  compare("tokenization", read("tokenization.json"), 2000, (given) => {
    const text = textOf(given, "text") ?? "";
    return [...tokenizers].map(([name, tokenizer]) => {
      const tokens = tokenizer.tokens(text);
      return [[tokens.map(({ id }) => id), tokens.flatMap(({ start, end }) => [start, end])], given[name]];
    });
  }));

test("every code point", () => {
  const { before, after, blocks } = read("code_points.json");
  for (const block of blocks) {
    for (const [name, tokenizer] of tokenizers) {
      if (block[name] === undefined) continue;
      const hash = createHash("sha256");
      for (let point = block.first; point <= block.last; point++) {
        if (point >= 0xd800 && point < 0xe000) continue;
        hash.update(wordsOf(before + String.fromCodePoint(point) + after, tokenizer));
      }
      expect(hash.digest("hex"), `${name} from ${block.first} on`).toBe(block[name]);
    }
  }
});

function wordsOf(text: string, tokenizer: Tokenizer): string {
  const letters = codePoints(text).map((point, origin) => ({ point, origin }));
  const found = words(normalize(letters, tokenizer.settings));
  return `${found.map((word) => word.map(({ point }) => String.fromCodePoint(point)).join("")).join(" ")}\n`;
}

test("windows", () =>
  compare("windows", read("windows.json"), 450, (given) =>
    unlessRefused(given, () => {
      const got = windows(given).map(({ ids, offsets }) => [ids, offsets.flat()]);
      if (given.sha256 === undefined) return [[got, given.windows]];
      const hash = createHash("sha256").update(JSON.stringify(got)).digest("hex");
      return [
        [got.length, given.count],
        [hash, given.sha256],
      ];
    }),
  ));

test("answers", () =>
  compare("answers", read("answers.json"), 450, (given) =>
    unlessRefused(given, () => {
      const passage = textOf(given, "passage") ?? "";
      const logits = given.start_256ths.map((start: number[], place: number) => ({
        start: floats(start),
        end: floats(given.end_256ths[place]),
      }));
      const task = { nBest: given.n_best, maxAnswerLength: given.max_answer_length };
      const found = answersOf(passage, windows(given), logits, task);
      return [
        [found.length, given.answers?.length],
        ...found.map((answer, place): [unknown, unknown] => [
          described(answer, passage),
          stated(given.answers?.[place], answer.confidence),
        ]),
      ];
    }),
  ));

function described({ text, start, end, score, window, confidence }: Span, passage: string): unknown[] {
  return [text, start, end, ...unitsOfCodePoints(passage, start, end), window, score * 256, confidence];
}

function stated(answer: Case, found: number): unknown[] {
  const { text, start, end, utf16, window, score_256ths, confidence } = answer ?? {};
  return [text, start, end, ...(utf16 ?? []), window, score_256ths, near(confidence, found)];
}

test("texts", () =>
  compare("texts", read("texts.json"), 300, (given) =>
    unlessRefused(given, () => {
      const ids = idsOf(
        tokenizerOf(given),
        textOf(given, "text") ?? "",
        textOf(given, "pair"),
        given.max_length,
      );
      const { number, confidence } = mostLikelyLabel(floats(given.logits_256ths));
      return [
        [ids, given.ids],
        [number, given.number],
        [confidence, near(given.confidence, confidence)],
      ];
    }),
  ));

function windows(given: Case) {
  const task = { maxLength: given.max_length, stride: given.stride };
  return windowsOf(tokenizerOf(given), textOf(given, "question") ?? "", textOf(given, "passage") ?? "", task);
}

function unlessRefused(given: Case, outcomes: () => [unknown, unknown][]): [unknown, unknown][] {
  try {
    return outcomes();
  } catch (refused) {
    return [[(refused as Error).message, given.refused]];
  }
}

/** The confidence that was found where it is within 1e-9 of the stated one: exp differs in its last digits. */
function near(stated: number, found: number): number {
  return Math.abs(stated - found) < 1e-9 ? found : stated;
}

test("a highlighted answer and what is around it are the text", () => {
  const text = "a 👍🏽 b";
  expect(highlighted(text, unitsOfCodePoints(text, 2, 4))).toEqual(["a ", "👍🏽", " b"]);
});

test("long passages take no quadratic time", () => {
  const [tokenizer] = tokenizers.values();
  const hostile = [
    "\u0301\u0323".repeat(25_000),
    "x".repeat(50_000),
    "[CLS".repeat(12_500),
    "漢".repeat(50_000),
  ];
  const started = performance.now();
  for (const passage of hostile) tokenizer?.tokens(passage);
  expect(performance.now() - started).toBeLessThan(10_000);
});
