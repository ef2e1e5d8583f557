/** The engine as the page sees it: everything that takes time happens in a Web Worker. */

import { Refused } from "../refused";
import type { Call, FromWorker, ToWorker } from "./messages";

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
  return new WorkerEngine();
}

type Pending = {
  resolve: (value: never) => void;
  reject: (reason: unknown) => void;
  onProgress?: ((progress: Progress) => void) | undefined;
  onWindow?: ((done: number, total: number) => void) | undefined;
};

class WorkerEngine implements Engine {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly pending = new Map<number, Pending>();
  private calls = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    this.worker.onerror = ({ message }) => this.fail(new Error(`the engine stopped: ${message}`));
  }

  open(url: string, onProgress: (progress: Progress) => void): Promise<Model> {
    return this.call({ call: "open", url: new URL(url, document.baseURI).href }, { onProgress });
  }

  ask(
    question: string,
    passage: string,
    signal?: AbortSignal,
    onWindow?: (done: number, total: number) => void,
  ): Promise<Answered> {
    return this.call({ call: "ask", question, passage }, { onWindow }, signal);
  }

  run(
    ids: Int32Array,
    mask: Int32Array,
  ): Promise<{ start: Float32Array; end: Float32Array; milliseconds: number }> {
    return this.call({ call: "run", ids, mask });
  }

  close(): void {
    this.worker.terminate();
    this.fail(new Error("the engine was closed"));
  }

  private call<T>(
    call: Call,
    told: Pick<Pending, "onProgress" | "onWindow"> = {},
    signal?: AbortSignal,
  ): Promise<T> {
    const id = this.calls++;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      this.pending.set(id, { resolve, reject, ...told });
      this.send({ id, ...call });
      signal?.addEventListener("abort", () => {
        if (!this.pending.delete(id)) return;
        this.send({ id, call: "abort" });
        reject(signal.reason);
      });
    });
  }

  private send(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromWorker): void {
    const pending = this.pending.get(message.id);
    if (pending === undefined) return;
    if ("progress" in message) {
      pending.onProgress?.(message.progress);
    } else if ("windows" in message) {
      pending.onWindow?.(...message.windows);
    } else {
      this.pending.delete(message.id);
      if ("value" in message) pending.resolve(message.value as never);
      else pending.reject(message.refused ? new Refused(message.error) : new Error(message.error));
    }
  }

  private fail(reason: Error): void {
    for (const { reject } of this.pending.values()) reject(reason);
    this.pending.clear();
  }
}
