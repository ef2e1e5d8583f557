import { items, type Json, member, text, whole } from "../bundle/json";
import { readJson } from "../bundle/jsonReader";
import { Refused } from "../refused";
import { codePoints } from "./codePoints";
import { type Letter, type NormalizerSettings, normalize, words } from "./normalizer";

/** A piece of the vocabulary, and the code points [start, end) of the text that it stands for. */
export type Token = { id: number; start: number; end: number };

const LONGEST_WORD = 100;
const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const;
const BRACKET = 0x5b;

/**
 * BERT's WordPiece tokenizer, equal to Hugging Face's in ids and offsets.
 *
 * Words are cut greedily into the longest pieces that the vocabulary has; a word that cannot be, or is longer
 * than 100 code points, is unknown as a whole.
 */
export class Tokenizer {
  readonly classification: number;
  readonly separator: number;
  private readonly unknown: number;
  private readonly special: { points: number[]; id: number }[];
  private readonly longestPiece: number;

  /**
   * `vocabulary`: pieces with their ids; those inside of words begin with ##. Throws Refused when a special
   * piece is missing.
   */
  constructor(
    private readonly vocabulary: ReadonlyMap<string, number>,
    readonly settings: NormalizerSettings,
  ) {
    const id = (piece: string) => vocabulary.get(piece) ?? refuse();
    this.special = SPECIAL.map((piece) => ({ points: codePoints(piece), id: id(piece) }));
    this.unknown = id("[UNK]");
    this.classification = id("[CLS]");
    this.separator = id("[SEP]");
    this.longestPiece = [...vocabulary.keys()].reduce((most, piece) => Math.max(most, piece.length), 0);
  }

  /** The tokens of a text, without [CLS] and [SEP] around them. */
  tokens(text: string): Token[] {
    const letters = codePoints(text).map((point, origin) => ({ point, origin }));
    const tokens: Token[] = [];
    let first = 0;
    for (let place = 0; place < letters.length; ) {
      const found = letters[place]?.point === BRACKET ? this.specialAt(letters, place) : undefined;
      if (found === undefined) {
        place += 1;
        continue;
      }
      this.add(letters.slice(first, place), tokens);
      first = place + found.points.length;
      tokens.push({ id: found.id, start: place, end: first });
      place = first;
    }
    this.add(letters.slice(first), tokens);
    return tokens;
  }

  private specialAt(letters: Letter[], place: number): { points: number[]; id: number } | undefined {
    return this.special.find(({ points }) =>
      points.every((point, index) => letters[place + index]?.point === point),
    );
  }

  private add(letters: Letter[], tokens: Token[]): void {
    for (const word of words(normalize(letters, this.settings))) {
      for (const token of this.pieces(word)) tokens.push(token);
    }
  }

  private pieces(word: Letter[]): Token[] {
    const whole = [this.token(this.unknown, word, 0, word.length)];
    if (word.length > LONGEST_WORD) return whole;
    const points = word.map(({ point }) => String.fromCodePoint(point));
    const pieces: Token[] = [];
    for (let first = 0; first < word.length; ) {
      const [id, end] = this.longestPieceOf(points, first);
      if (id === undefined) return whole;
      pieces.push(this.token(id, word, first, end));
      first = end;
    }
    return pieces;
  }

  private token(id: number, word: Letter[], first: number, end: number): Token {
    return { id, start: word[first]?.origin ?? 0, end: (word[end - 1]?.origin ?? 0) + 1 };
  }

  /** The id of the longest piece that a word goes on with, and where it ends. */
  private longestPieceOf(points: string[], first: number): [number | undefined, number] {
    const prefix = first === 0 ? "" : "##";
    for (let end = Math.min(points.length, first + this.longestPiece); end > first; end--) {
      const id = this.vocabulary.get(prefix + points.slice(first, end).join(""));
      if (id !== undefined) return [id, end];
    }
    return [undefined, first];
  }
}

/** Reads a bundle's tokenizer.json. Throws Refused for one that describes anything else than BERT's tokenizer. */
export function readTokenizer(bytes: Uint8Array): Tokenizer {
  const json = parsed(bytes);
  const model = member(json, "model");
  const flags = member(json, "normalizer");
  const isBert =
    member(model, "type") === "WordPiece" &&
    member(model, "continuing_subword_prefix") === "##" &&
    member(model, "unk_token") === "[UNK]" &&
    whole(member(model, "max_input_chars_per_word")) === LONGEST_WORD &&
    member(member(json, "pre_tokenizer"), "type") === "BertPreTokenizer" &&
    member(flags, "type") === "BertNormalizer" &&
    areSpecial(member(json, "added_tokens"));
  const vocabulary = member(model, "vocab");
  if (!isBert || !(vocabulary instanceof Map)) return refuse();
  const flag = (key: string) => {
    const value = member(flags, key);
    return typeof value === "boolean" ? value : refuse();
  };
  const lowercases = flag("lowercase");
  return new Tokenizer(new Map([...vocabulary].map(([piece, id]) => [piece, whole(id) ?? refuse()])), {
    lowercases,
    stripsAccents: typeof member(flags, "strip_accents") === "boolean" ? flag("strip_accents") : lowercases,
    cleansText: flag("clean_text"),
    separatesIdeographs: flag("handle_chinese_chars"),
  });
}

function parsed(bytes: Uint8Array): Json {
  try {
    return readJson(bytes);
  } catch {
    return refuse();
  }
}

/** Whether the added tokens are the five special pieces, each found in the text as it was typed. */
function areSpecial(tokens: Json | undefined): boolean {
  const pieces = items(tokens, (token) => {
    const isPlain = ["lstrip", "rstrip", "single_word", "normalized"].every(
      (key) => member(token, key) === false,
    );
    return isPlain ? text(member(token, "content")) : undefined;
  });
  return pieces?.sort().join(" ") === [...SPECIAL].sort().join(" ");
}

function refuse(): never {
  throw new Refused("tokenizer.json describes no tokenizer of BERT's kind; make the bundle again");
}
