/** The bundle's program under LiteRT.js: XNNPACK in WebAssembly, on one thread. */

import {
  type CompiledModel,
  Environment,
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
} from "@litertjs/core";
import { version } from "@litertjs/core/package.json";
import compatible from "@litertjs/core/wasm/litert_wasm_compat_internal.wasm?url";
import relaxed from "@litertjs/core/wasm/litert_wasm_internal.wasm?url";
import type { SpanLogits } from "../text/answers";

export const RUNTIME = `LiteRT.js ${version}`;
export const THREADS = 1;

let runtime: Promise<unknown> | undefined;

/** Loads LiteRT.js, once, in the build that this browser can run: with relaxed SIMD or without. */
export function loadRuntime(): Promise<unknown> {
  runtime ??= start();
  return runtime;
}

/**
 * LiteRT.js runs its script with importScripts, which a worker that is a module does not have. The script is
 * bundled and imported here instead, and the global names under which LiteRT.js looks for it are set.
 */
async function start(): Promise<unknown> {
  const [url, script] = (await supportsFeature("relaxedSimd"))
    ? [relaxed, import("@litertjs/core/wasm/litert_wasm_internal.js")]
    : [compatible, import("@litertjs/core/wasm/litert_wasm_compat_internal.js")];
  const printErr = (line: string) => {
    if (line.startsWith("ERROR")) console.error(line);
  };
  // its own would ask for a GPU, which nothing here uses
  Environment.create = async () => new Environment({ webGpuDevice: null });
  Object.assign(globalThis, {
    ModuleFactory: (await script).default,
    Module: { locateFile: () => url, print: () => {}, printErr },
    importScripts: () => {},
  });
  return loadLiteRt("litert_wasm_internal.js");
}

export class Program {
  private constructor(
    private readonly model: CompiledModel,
    readonly lengths: readonly number[],
  ) {}

  /** Loads a .tflite file that has a signature `seq_N` for each of `lengths`. */
  static async load(bytes: Uint8Array, lengths: readonly number[]): Promise<Program> {
    await loadRuntime();
    const model = await loadAndCompile(bytes, {
      accelerator: "wasm",
      cpuOptions: { numThreads: THREADS },
    });
    return new Program(model, lengths);
  }

  /** Runs a window of token ids, padded to the next of `lengths`; the logits are as long as that. */
  async window(ids: readonly number[]): Promise<SpanLogits> {
    const length = this.lengths.find((candidate) => candidate >= ids.length) ?? ids.length;
    const padded = new Int32Array(length);
    padded.set(ids);
    return this.run(padded, new Int32Array(length).fill(1, 0, ids.length));
  }

  /** Runs ids and mask as they are. Throws an Error where they have none of the program's lengths. */
  async run(ids: Int32Array, mask: Int32Array): Promise<{ start: Float32Array; end: Float32Array }> {
    if (!this.lengths.includes(ids.length) || mask.length !== ids.length) {
      throw new Error(
        `windows have ${this.lengths.join(", ")} ids and mask values, not ${ids.length} and ${mask.length}`,
      );
    }
    const shape = [1, ids.length];
    const inputs = { input_ids: new Tensor(ids, shape), attention_mask: new Tensor(mask, shape) };
    let outputs: Record<string, Tensor> = {};
    try {
      outputs = await this.model.run(`seq_${ids.length}`, inputs);
      return { start: values(outputs.start_logits), end: values(outputs.end_logits) };
    } finally {
      for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
    }
  }

  /** Gives the memory back; WebAssembly's heap keeps its size. */
  delete(): void {
    this.model.delete();
  }
}

function values(tensor: Tensor | undefined): Float32Array {
  const found = tensor?.toTypedArray();
  if (!(found instanceof Float32Array))
    throw new Error("the program gives no float32 start_logits and end_logits");
  return found;
}
