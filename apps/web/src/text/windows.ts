import type { QuestionAnswering } from "../bundle/task";
import { Refused } from "../refused";
import { codePoints } from "./codePoints";
import type { Token, Tokenizer } from "./tokenizer";
import { tables } from "./unicodeTables";

/**
 * One input of the program: [CLS] question [SEP] part of the passage [SEP].
 *
 * `offsets`: per token the first of its code points in the passage and the one behind its last; 0 and 0 for
 * tokens that are not of the passage.
 */
export type Window = { ids: number[]; offsets: [number, number][] };

/**
 * All windows of a passage, neighbours sharing `stride` tokens.
 *
 * Throws Refused for an empty question or passage, or a question that leaves no room.
 */
export function windowsOf(
  tokenizer: Tokenizer,
  question: string,
  passage: string,
  task: Pick<QuestionAnswering, "maxLength" | "stride">,
): Window[] {
  if (isBlank(question)) throw new Refused("the question is empty; ask something");
  if (isBlank(passage)) throw new Refused("the passage is empty; give some text");
  const asked = tokenizer.tokens(question);
  if (asked.length === 0) throw new Refused("the question holds no readable text");
  const room = task.maxLength - asked.length - 3;
  if (room < 1 || room <= task.stride) {
    throw new Refused(
      `the question is ${asked.length} tokens long, which leaves no room for the passage in ` +
        `${task.maxLength} tokens with a stride of ${task.stride}; shorten it`,
    );
  }
  const tokens = tokenizer.tokens(passage);
  if (tokens.length === 0) throw new Refused("the passage holds no readable text");
  const head = [tokenizer.classification, ...asked.map(({ id }) => id), tokenizer.separator];
  return parts(tokens, room, task.stride).map((part) => ({
    ids: [...head, ...part.map(({ id }) => id), tokenizer.separator],
    offsets: [
      ...head.map(nowhere),
      ...part.map(({ start, end }): [number, number] => [start, end]),
      nowhere(),
    ],
  }));
}

function nowhere(): [number, number] {
  return [0, 0];
}

function parts(tokens: Token[], room: number, stride: number): Token[][] {
  const found: Token[][] = [];
  let first = 0;
  for (; first + room < tokens.length; first += room - stride) found.push(tokens.slice(first, first + room));
  return [...found, tokens.slice(first)];
}

/**
 * The ids of the one window of a text or a pair of texts: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
 *
 * What exceeds `maxLength` is cut off: of one text its end, of a pair the end of the longer one. Throws Refused
 * for an empty text.
 */
export function idsOf(
  tokenizer: Tokenizer,
  text: string,
  pair: string | undefined,
  maxLength: number,
): number[] {
  if (isBlank(text) || (pair !== undefined && isBlank(pair)))
    throw new Refused("the text is empty; give some");
  const first = tokenizer.tokens(text).map(({ id }) => id);
  const { classification, separator } = tokenizer;
  if (pair === undefined) return [classification, ...first.slice(0, maxLength - 2), separator];
  const second = tokenizer.tokens(pair).map(({ id }) => id);
  const [kept, keptOfPair] = shares(first.length, second.length, maxLength - 3);
  return [classification, ...first.slice(0, kept), separator, ...second.slice(0, keptOfPair), separator];
}

/**
 * How many tokens of each of two texts are kept; where both are too long, the second gets the odd one, or the
 * first if it is the longer.
 */
function shares(first: number, second: number, room: number): [number, number] {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second, Math.floor(room / 2));
  return first > second ? [room - shorter, shorter] : [shorter, room - shorter];
}

/** Nothing but white space, as Python strips it: the tables' and the four separators of ASCII. */
function isBlank(text: string): boolean {
  return codePoints(text).every((point) => tables.whitespace.has(point) || (point >= 0x1c && point <= 0x1f));
}
