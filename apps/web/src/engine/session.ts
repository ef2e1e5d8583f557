/** An opened bundle: from a question to answers, in the worker. */

import { HttpFolder } from "../bundle/folder";
import { readBundle } from "../bundle/modelBundle";
import type { QuestionAnswering } from "../bundle/task";
import { Refused } from "../refused";
import { answersOf, type SpanLogits } from "../text/answers";
import { unitsOfCodePoints } from "../text/codePoints";
import { readTokenizer, type Tokenizer } from "../text/tokenizer";
import { windowsOf } from "../text/windows";
import type { Answered, Model, Progress } from "./client";
import { loadRuntime, Program, RUNTIME, THREADS } from "./program";

const TARGET = "tflite";

export class Session {
  private constructor(
    readonly model: Model,
    private readonly task: QuestionAnswering,
    private readonly tokenizer: Tokenizer,
    private readonly program: Program,
  ) {}

  /** Fetches, checks, loads and warms up. Throws Refused for a bundle that is none, or of no use here. */
  static async open(url: string, onProgress: (progress: Progress) => void): Promise<Session> {
    const runtime = loadRuntime();
    runtime.catch(() => {}); // said below, where it is awaited
    const progress = { loadedBytes: 0, totalBytes: 0, what: "manifest.json" };
    const folder = new HttpFolder(url, (what, bytes) => {
      if (progress.totalBytes === 0) return;
      progress.loadedBytes += bytes;
      onProgress({ ...progress, what });
    });
    const bundle = await readBundle(folder, "question-answering", (bytes) => {
      progress.totalBytes = bytes;
    });
    const { task, program, target, files } = bundle;
    if (task.kind !== "question-answering") throw new Refused("it answers no questions");
    if (target !== TARGET) {
      throw new Refused(`${bundle.name} is for ${target}; this app runs ${TARGET}`);
    }
    const [bytes, tokenizer] = [files.get(program), files.get("tokenizer.json")];
    if (bytes === undefined) throw new Refused("its program is missing; make the bundle again");
    if (tokenizer === undefined) throw new Refused("tokenizer.json is missing; make the bundle again");
    await runtime;
    const model: Model = {
      name: bundle.name,
      target,
      precision: bundle.precision,
      sizeBytes: [...files.values()].reduce((sum, file) => sum + file.length, 0),
      programBytes: bytes.length,
      seal: bundle.seal,
      metrics: bundle.metrics,
      maxLength: task.maxLength,
      lengths: bundle.lengths,
      verified: bundle.isVerified,
      whyNotVerified: bundle.whyNotVerified,
      runtime: RUNTIME,
      threads: THREADS,
    };
    const session = new Session(
      model,
      task,
      readTokenizer(tokenizer),
      await Program.load(bytes, bundle.lengths),
    );
    await session.warmUp();
    return session;
  }

  /** The first run of each length prepares its memory and weights. */
  private async warmUp(): Promise<void> {
    for (const length of this.model.lengths) {
      await this.program.run(new Int32Array(length), new Int32Array(length).fill(1));
    }
  }

  /**
   * Throws Refused for a text that cannot be asked about and for a program that was never seen to run, and what
   * `signal` says where it aborts.
   *
   * `onWindow` hears of every window that was run.
   */
  async ask(
    question: string,
    passage: string,
    signal: AbortSignal,
    onWindow: (done: number, total: number) => void,
  ): Promise<Answered> {
    const { verified, whyNotVerified } = this.model;
    if (!verified) throw new Refused(`it was never verified: ${whyNotVerified ?? "it does not say why"}`);
    const started = performance.now();
    const windows = windowsOf(this.tokenizer, question, passage, this.task);
    const tokenized = performance.now();
    const logits: SpanLogits[] = [];
    for (const { ids } of windows) {
      logits.push(await this.program.window(ids));
      onWindow(logits.length, windows.length);
      if (windows.length > 1) await messages();
      signal.throwIfAborted();
    }
    const inferred = performance.now();
    const found = answersOf(passage, windows, logits, this.task);
    const answers = found.map(({ text, start, end, confidence }) => ({
      text,
      start,
      end,
      utf16: unitsOfCodePoints(passage, start, end),
      confidence,
    }));
    const decoded = performance.now();
    return {
      answers,
      windows: windows.length,
      milliseconds: {
        tokenize: tokenized - started,
        infer: inferred - tokenized,
        decode: decoded - inferred,
        total: decoded - started,
      },
    };
  }

  /** One window as it is, timed from arrays to arrays. */
  async run(
    ids: Int32Array,
    mask: Int32Array,
  ): Promise<{ start: Float32Array; end: Float32Array; milliseconds: number }> {
    const started = performance.now();
    const logits = await this.program.run(ids, mask);
    return { ...logits, milliseconds: performance.now() - started };
  }

  close(): void {
    this.program.delete();
  }
}

/** Lets the worker receive what has been sent to it, such as an abort. */
function messages(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
