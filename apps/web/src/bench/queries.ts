/** The windows that are asked: ordinary tokens at random. What they say does not matter to time. */

const COUNT = 8;

/** Windows of `length` ids that stand for whole words in `vocabulary` (vocab.txt), the same ones every time. */
export function queries(vocabulary: string, length: number): Int32Array[] {
  const ordinary = vocabulary
    .split("\n")
    .flatMap((piece, id) => (piece && !/^(\[.*\]|##.*)$/u.test(piece) ? [id] : []));
  if (!ordinary.length) {
    throw new RangeError("vocab.txt has no ordinary token");
  }
  const next = random(length);
  return Array.from({ length: COUNT }, () =>
    Int32Array.from({ length }, () => ordinary[next() % ordinary.length] ?? 0),
  );
}

/** Whole numbers of 32 bits: xorshift (Marsaglia 2003), whose seed must not be 0. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
