import type { QuestionAnswering } from "../bundle/task";
import { Refused } from "../refused";
import { codePoints } from "./codePoints";
import type { Window } from "./windows";

/** A span of a passage that answers a question; `start` and `end` count its code points. */
export type Span = {
  text: string;
  start: number;
  end: number;
  /** The sum of its first token's start logit and its last token's end logit. */
  score: number;
  /** Its share of the softmax over the scores of the n best. */
  confidence: number;
  /** Which window it was found in. */
  window: number;
};

/** What a program gives for one window, a value a token. */
export type SpanLogits = { start: ArrayLike<number>; end: ArrayLike<number> };

type Candidate = Pick<Span, "start" | "end" | "score" | "window">;

/**
 * The n best answers of all windows, best first; of equal scores the first window's earliest span is best.
 *
 * `logits`: one a window; values behind a window's tokens, where it was padded, are not read. Throws Refused
 * when no score is finite.
 */
export function answersOf(
  passage: string,
  windows: Window[],
  logits: SpanLogits[],
  task: Pick<QuestionAnswering, "nBest" | "maxAnswerLength">,
): Span[] {
  const candidates = windows.flatMap((window, number) => {
    const given = logits[number] ?? { start: [], end: [] };
    return best(task.nBest, spans(window, number, given, task.maxAnswerLength));
  });
  const found = best(task.nBest, candidates);
  const highest = found[0]?.score;
  if (highest === undefined) {
    throw new Refused("the model's logits are not finite, so no answer can be read from them");
  }
  const weights = found.map(({ score }) => Math.exp(score - highest));
  const sum = weights.reduce((one, other) => one + other);
  const points = codePoints(passage);
  return found.map((candidate, place) => ({
    ...candidate,
    text: points
      .slice(candidate.start, candidate.end)
      .map((point) => String.fromCodePoint(point))
      .join(""),
    confidence: (weights[place] ?? 0) / sum,
  }));
}

/** All spans of a window that may be answers, by their first token, then by their last. */
function spans(window: Window, number: number, logits: SpanLogits, maxAnswerLength: number): Candidate[] {
  const found: Candidate[] = [];
  const { offsets } = window;
  for (const [first, [start, behindFirst]] of offsets.entries()) {
    if (behindFirst === 0) continue;
    const limit = Math.min(first + maxAnswerLength, offsets.length);
    for (let last = first; last < limit; last++) {
      const end = offsets[last]?.[1] ?? 0;
      const score = (logits.start[first] ?? Number.NaN) + (logits.end[last] ?? Number.NaN);
      if (end > 0 && Number.isFinite(score)) found.push({ start, end, score, window: number });
    }
  }
  return found;
}

/** The best of some candidates, each range once; of equal scores the earlier is the better. */
function best(count: number, candidates: Candidate[]): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const candidate of candidates.sort((one, other) => other.score - one.score)) {
    const range = `${candidate.start} ${candidate.end}`;
    if (!found.has(range)) found.set(range, candidate);
    if (found.size === count) break;
  }
  return [...found.values()];
}

/** The most likely label's number and its share of the softmax; of equal logits the first label's. */
export function mostLikelyLabel(logits: number[]): { number: number; confidence: number } {
  const highest = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
  return { number: logits.indexOf(highest), confidence: 1 / sum };
}
