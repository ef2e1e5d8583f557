/** What runs in the browser: each runtime as its own documentation uses it. */

const LENGTHS = [128, 192, 272, 384];
const RUNS = 20;

/** `sqnr` in dB over all golden windows, `load` and `times` in milliseconds. */
export async function measure({ bundle, wasm, threads }) {
  const manifest = await (await fetch(`/${bundle}/manifest.json`)).json();
  const { cases } = await (await fetch(`/${bundle}/golden.json`)).json();
  const program = new Uint8Array(await (await fetch(`/${bundle}/${manifest.program}`)).arrayBuffer());
  const started = performance.now();
  const run = bundle === "tflite" ? await litert(program, wasm, threads) : await onnx(program, threads);
  await run([101, 102]);
  const load = performance.now() - started;
  let signal = 0;
  let noise = 0;
  for (const window of cases.flatMap(({ windows }) => windows)) {
    const logits = await run(window.input_ids);
    for (const name of ["start_logits", "end_logits"]) {
      for (const [token, recorded] of window[name].entries()) {
        signal += recorded ** 2;
        noise += (recorded - logits[name][token]) ** 2;
      }
    }
  }
  const times = {};
  for (const length of LENGTHS) {
    const ids = Array.from({ length }, (_, place) => place + 999);
    const taken = [];
    for (let i = 0; i <= RUNS; i++) {
      const began = performance.now();
      await run(ids);
      taken.push(performance.now() - began);
    }
    times[length] = taken.slice(1).sort((one, other) => one - other)[RUNS / 2];
  }
  return { sqnr: 10 * Math.log10(signal / noise), load, times };
}

async function litert(program, wasm, threads) {
  const { loadLiteRt, loadAndCompile, Tensor } = await import("/packages/@litertjs/core/dist/index.js");
  await loadLiteRt(`/packages/${wasm}.js`);
  const model = await loadAndCompile(program, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  return async (ids) => {
    const length = LENGTHS.find((candidate) => candidate >= ids.length);
    const padded = Int32Array.from({ length }, (_, place) => ids[place] ?? 0);
    const mask = Int32Array.from({ length }, (_, place) => Number(place < ids.length));
    const inputs = {
      input_ids: new Tensor(padded, [1, length]),
      attention_mask: new Tensor(mask, [1, length]),
    };
    const outputs = await model.run(`seq_${length}`, inputs);
    const logits = Object.fromEntries(
      Object.entries(outputs).map(([name, tensor]) => [name, tensor.toTypedArray()]),
    );
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
    return logits;
  };
}

async function onnx(program, threads) {
  const ort = await import("/packages/onnxruntime-web/dist/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = "/packages/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  const session = await ort.InferenceSession.create(program, { executionProviders: ["wasm"] });
  return async (ids) => {
    const shape = [1, ids.length];
    const outputs = await session.run({
      input_ids: new ort.Tensor("int32", Int32Array.from(ids), shape),
      attention_mask: new ort.Tensor("int32", new Int32Array(ids.length).fill(1), shape),
    });
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
  };
}
