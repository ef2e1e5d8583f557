/** The engine as the page sees it: everything that takes time happens in a Web Worker. */

import { Refused } from "../refused";

export { Refused };

/** How far the bundle's files have been fetched; `what` is the file. */
export type Progress = { loadedBytes: number; totalBytes: number; what: string };

/** What the manifest says of the model that was opened, and how it runs here. */
export type Model = {
  name: string;
  target: string;
  /** `int8`, `float32`; undefined in bundles that do not say. */
  precision: string | undefined;
  /** All files of the bundle, the manifest aside. */
  sizeBytes: number;
  programBytes: number;
  seal: string;
  metrics: Record<string, unknown>;
  /** Tokens in a window at most. */
  maxLength: number;
  /** Window lengths that the program takes, ascending. */
  lengths: number[];
  /** False: made, and never seen to run; `whyNotVerified` says why. */
  verified: boolean;
  whyNotVerified: string | undefined;
  /** The runtime and its version. */
  runtime: string;
  /** Threads that inference uses. */
  threads: number;
};

/** Code points [start, end) of the passage; `utf16` is the same range in a JavaScript string. */
export type Answer = {
  text: string;
  start: number;
  end: number;
  utf16: [number, number];
  /** Share of the softmax over the candidates, 0 to 1. */
  confidence: number;
};

/** Answers, best first, and what they took. */
export type Answered = {
  answers: Answer[];
  windows: number;
  milliseconds: { tokenize: number; infer: number; decode: number; total: number };
};

export interface Engine {
  /**
   * Fetches the bundle in the folder `url`, checks every hash and the seal, loads the program, warms it up.
   *
   * Rejects with Refused where the bundle is not what its manifest says or no question can be asked of it.
   */
  open(url: string, onProgress: (progress: Progress) => void): Promise<Model>;
  /**
   * `onWindow` hears of every window that was run. Rejects with Refused for a text that cannot be asked about, with
   * AbortError when `signal` aborts.
   */
  ask(
    question: string,
    passage: string,
    signal?: AbortSignal,
    onWindow?: (done: number, total: number) => void,
  ): Promise<Answered>;
  /** One window as it is: `ids` and `mask` have one of the model's `lengths`. What a benchmark times. */
  run(
    ids: Int32Array,
    mask: Int32Array,
  ): Promise<{ start: Float32Array; end: Float32Array; milliseconds: number }>;
  /** Ends the worker; what was pending is rejected. */
  close(): void;
}

/** A new worker with nothing loaded. */
export function startEngine(): Engine {
  throw new Refused("the engine is not built yet");
}
