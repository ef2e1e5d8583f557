import { tables } from "./unicodeTables";

/** A code point after normalization, and which code point of the original text it stands for. */
export type Letter = { point: number; origin: number };

export type NormalizerSettings = {
  cleansText: boolean;
  separatesIdeographs: boolean;
  stripsAccents: boolean;
  lowercases: boolean;
};

const SPACE = 0x20;

/** BERT's normalization: cleaning, ideographs apart, accents removed, lower case, each where it is asked for. */
export function normalize(given: Letter[], settings: NormalizerSettings): Letter[] {
  let letters = given;
  if (settings.cleansText) letters = letters.filter(({ point }) => !tables.dropped.has(point)).map(spaced);
  if (settings.separatesIdeographs) letters = letters.flatMap(separated);
  if (settings.stripsAccents) {
    letters = decomposed(letters).filter(({ point }) => !tables.nonspacing.has(point));
  }
  if (settings.lowercases) {
    letters = letters.flatMap(({ point, origin }) =>
      tables.lowerCase(point).map((lower) => ({ point: lower, origin })),
    );
  }
  return letters;
}

/** Words and punctuation marks: what stands between white space, and every mark by itself. */
export function words(letters: Letter[]): Letter[][] {
  const found: Letter[][] = [];
  let first = 0;
  for (const [place, letter] of letters.entries()) {
    const isMark = tables.punctuation.has(letter.point);
    if (!isMark && !tables.whitespace.has(letter.point)) continue;
    if (first < place) found.push(letters.slice(first, place));
    if (isMark) found.push([letter]);
    first = place + 1;
  }
  if (first < letters.length) found.push(letters.slice(first));
  return found;
}

function spaced(letter: Letter): Letter {
  return tables.whitespace.has(letter.point) ? { point: SPACE, origin: letter.origin } : letter;
}

function separated(letter: Letter): Letter[] {
  if (!tables.ideographs.has(letter.point)) return [letter];
  const space = { point: SPACE, origin: letter.origin };
  return [space, letter, space];
}

type Part = { point: number; mark: number; isFirst: boolean };

/**
 * Canonical decomposition, marks in canonical order.
 *
 * Origins follow the library: the first part of each code point takes the place of the next original, and
 * further parts stay with the original before, in the order after sorting.
 */
function decomposed(letters: Letter[]): Letter[] {
  const parts: Part[] = [];
  let marks: Part[] = [];
  const sortMarks = () => {
    for (const part of marks.sort((one, other) => one.mark - other.mark)) parts.push(part);
    marks = [];
  };
  for (const letter of letters) {
    for (const [place, point] of tables.decomposition(letter.point).entries()) {
      const part = { point, mark: tables.combiningClass(point), isFirst: place === 0 };
      if (part.mark > 0) {
        marks.push(part);
      } else {
        sortMarks();
        parts.push(part);
      }
    }
  }
  sortMarks();
  let next = 0;
  return parts.map(({ point, isFirst }) => {
    if (isFirst) next += 1;
    return { point, origin: letters[Math.max(next - 1, 0)]?.origin ?? 0 };
  });
}
