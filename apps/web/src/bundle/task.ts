import { double, items, type Json, member, text, whole } from "./json";

/** All numbers but `nBest` count tokens; `stride` is how many of them neighbouring windows share. */
export type QuestionAnswering = {
  kind: "question-answering";
  maxLength: number;
  stride: number;
  nBest: number;
  maxAnswerLength: number;
};

/** A label's place in `labels` is its number. */
export type TextClassification = { kind: "text-classification"; maxLength: number; labels: string[] };
export type TextRegression = { kind: "regression"; maxLength: number };

/** What a bundle's program is for, with the settings that its manifest states under `windows`. */
export type Task = QuestionAnswering | TextClassification | TextRegression;
export type Kind = Task["kind"];

const KEYS: Record<Kind, string[]> = {
  "question-answering": ["kind", "max_length", "stride", "n_best", "max_answer_length"],
  "text-classification": ["kind", "max_length", "labels", "metrics"],
  regression: ["kind", "max_length", "metrics", "agree_within"],
};
export const KINDS = Object.keys(KEYS) as Kind[];

/** Undefined unless the settings are the task's, all of them and no others, each within its range. */
export function readTask(kind: Kind, settings: Json | undefined): Task | undefined {
  if (!(settings instanceof Map) || settings.get("kind") !== kind) return undefined;
  if (settings.size !== KEYS[kind].length || !KEYS[kind].every((key) => settings.has(key))) return undefined;
  switch (kind) {
    case "question-answering":
      return questionAnswering(settings);
    case "text-classification":
      return textClassification(settings);
    case "regression":
      return textRegression(settings);
  }
}

function questionAnswering(settings: Json): QuestionAnswering | undefined {
  const maxLength = within(settings, "max_length", 16, 512);
  if (maxLength === undefined) return undefined;
  const stride = within(settings, "stride", 1, maxLength - 9);
  const nBest = within(settings, "n_best", 1, Number.MAX_SAFE_INTEGER);
  const maxAnswerLength = within(settings, "max_answer_length", 1, Number.MAX_SAFE_INTEGER);
  if (stride === undefined || nBest === undefined || maxAnswerLength === undefined) return undefined;
  return { kind: "question-answering", maxLength, stride, nBest, maxAnswerLength };
}

function textClassification(settings: Json): TextClassification | undefined {
  const maxLength = within(settings, "max_length", 8, 512);
  const labels = items(member(settings, "labels"), text);
  if (maxLength === undefined || labels === undefined) return undefined;
  if (labels.length < 2 || new Set(labels).size < labels.length) return undefined;
  const known = labels.length === 2 ? ["accuracy", "f1", "matthews"] : ["accuracy"];
  return hasMetrics(settings, known) ? { kind: "text-classification", maxLength, labels } : undefined;
}

function textRegression(settings: Json): TextRegression | undefined {
  const maxLength = within(settings, "max_length", 8, 512);
  const agreeWithin = double(member(settings, "agree_within")) ?? 0;
  if (maxLength === undefined || !(agreeWithin > 0 && Number.isFinite(agreeWithin))) return undefined;
  return hasMetrics(settings, ["pearson", "spearman"]) ? { kind: "regression", maxLength } : undefined;
}

function hasMetrics(settings: Json, known: string[]): boolean {
  const metrics = items(member(settings, "metrics"), text) ?? [];
  return metrics.length > 0 && metrics.every((metric) => known.includes(metric));
}

function within(settings: Json, key: string, least: number, most: number): number | undefined {
  const value = whole(member(settings, key));
  return value !== undefined && value >= least && value <= most ? value : undefined;
}
