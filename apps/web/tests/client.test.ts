import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Engine, Refused, startEngine } from "../src/engine/client";
import type { FromWorker, ToWorker } from "../src/engine/messages";

/** A worker that notes what it is told and says what a test has it say. */
class Told {
  static last: Told;
  readonly heard: ToWorker[] = [];
  isTerminated = false;
  onmessage: (event: { data: FromWorker }) => void = () => {};
  onerror: (event: { message: string }) => void = () => {};

  constructor() {
    Told.last = this;
  }

  postMessage(message: ToWorker): void {
    this.heard.push(message);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  say(data: FromWorker): void {
    this.onmessage({ data });
  }
}

let engine: Engine;

beforeEach(() => {
  vi.stubGlobal("Worker", Told);
  vi.stubGlobal("document", { baseURI: "https://pocket.example/app/" });
  engine = startEngine();
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("answers reach the call that they belong to, in whatever order they come", async () => {
  const [one, other] = [engine.ask("one?", "p"), engine.ask("other?", "p")];
  const [first, second] = Told.last.heard.map(({ id }) => id) as [number, number];
  Told.last.say({ id: second, value: "of the other" });
  Told.last.say({ id: first, value: "of the one" });
  expect(await Promise.all([one, other])).toEqual(["of the one", "of the other"]);
});

test("a model's address is that of the page, and its progress is told", async () => {
  const heard: number[] = [];
  const opening = engine.open("model/", ({ loadedBytes }) => heard.push(loadedBytes));
  const call = Told.last.heard[0];
  expect(call).toMatchObject({ call: "open", url: "https://pocket.example/app/model/" });
  const id = call?.id ?? -1;
  Told.last.say({ id, progress: { loadedBytes: 7, totalBytes: 9, what: "vocab.txt" } });
  Told.last.say({ id, error: "vocab.txt was altered; make the bundle again", refused: true });
  await expect(opening).rejects.toThrow(Refused);
  expect(heard).toEqual([7]);
});

test("an abort rejects at once, reaches the worker, and what comes after it is nobody's", async () => {
  const aborting = new AbortController();
  const asking = engine.ask("when?", "p", aborting.signal);
  aborting.abort();
  await expect(asking).rejects.toMatchObject({ name: "AbortError" });
  const [asked, aborted] = Told.last.heard;
  expect(aborted).toEqual({ id: asked?.id, call: "abort" });
  Told.last.say({ id: asked?.id ?? -1, error: "late", refused: false });
  await expect(engine.ask("again?", "p", aborting.signal)).rejects.toMatchObject({ name: "AbortError" });
  expect(Told.last.heard).toHaveLength(2);
});

test("whatever waits hears that the worker stopped or was closed", async () => {
  const asking = engine.ask("when?", "p");
  Told.last.onerror({ message: "out of memory" });
  await expect(asking).rejects.toThrow("the engine stopped: out of memory");
  const running = engine.run(new Int32Array(1), new Int32Array(1));
  engine.close();
  await expect(running).rejects.toThrow("the engine was closed");
  expect(Told.last.isTerminated).toBe(true);
});
