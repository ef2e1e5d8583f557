/**
 * node tests/runtimes/tokenizer.mjs
 *
 * On how many golden cases Hugging Face's JavaScript tokenizer gives other ids than Python.
 * First: npm install --no-save @huggingface/tokenizers@0.2.0
 */

import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";

const GOLDEN = new URL("../../../golden/", import.meta.url);
const read = (name) => readFileSync(new URL(name, GOLDEN), "utf8");
const cases = JSON.parse(read("tokenization.json"));
const described = JSON.parse(read("tokenizers.json"));
const pocket = JSON.parse(read(`../../${described.pocket.file}`));
const differing = new Set();
const keys = new Set();
for (const [name, settings] of Object.entries(described)) {
  const tokenizer = new Tokenizer(settings.file ? pocket : withSettings(settings), {});
  let wrong = 0;
  for (const given of cases) {
    const text = given.text ?? String.fromCharCode(...given.text_utf16);
    const encoded = tokenizer.encode(text, { add_special_tokens: false });
    for (const key of Object.keys(encoded)) keys.add(key);
    if (JSON.stringify(encoded.ids) === JSON.stringify(given[name][0])) continue;
    wrong += 1;
    differing.add(given.id);
  }
  console.log(`${name}: ${wrong} of ${cases.length} cases have other ids`);
}
console.log(`${differing.size} cases in all; an encoding has ${[...keys].join(", ")}`);

function withSettings({ vocabulary, ...settings }) {
  const pieces = read(vocabulary).split("\n");
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]).filter(([piece]) => piece));
  const made = structuredClone(pocket);
  made.model.vocab = vocab;
  for (const token of made.added_tokens) token.id = vocab[token.content];
  Object.assign(made.normalizer, settings);
  return made;
}
