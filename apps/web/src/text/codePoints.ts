const REPLACEMENT = 0xfffd;

/** A text's code points; half of a surrogate pair that stands alone is U+FFFD. */
export function codePoints(text: string): number[] {
  const points: number[] = [];
  for (let unit = 0; unit < text.length; ) {
    const point = text.codePointAt(unit) ?? REPLACEMENT;
    unit += point > 0xffff ? 2 : 1;
    points.push(point >= 0xd800 && point < 0xe000 ? REPLACEMENT : point);
  }
  return points;
}

/** Where code points [start, end) of a string are in its UTF-16 code units, for highlighting an answer. */
export function unitsOfCodePoints(text: string, start: number, end: number): [number, number] {
  let unit = 0;
  let first = 0;
  for (let place = 0; place < end; place++) {
    if (place === start) first = unit;
    unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
  }
  return [first, unit];
}

/** A text in three parts, of which the middle one is code units [first, last). */
export function highlighted(
  text: string,
  [first, last]: readonly [number, number],
): [before: string, answer: string, after: string] {
  return [text.slice(0, first), text.slice(first, last), text.slice(last)];
}
