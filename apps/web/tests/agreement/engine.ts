/** The engine without the page, for a driver outside of the browser. */

import { type Answered, type Model, startEngine } from "../../src/engine/client";

export type Said = Answered | { refused: string };

declare global {
  interface Window {
    opened: Promise<Model>;
    ask(question: string, passage: string): Promise<Said>;
    /** Milliseconds of each of so many runs of a window of `length` tokens. */
    time(length: number, runs: number): Promise<number[]>;
  }
}

const engine = startEngine();
window.opened = engine.open("model/", () => {});
window.ask = (question, passage) =>
  engine.ask(question, passage).catch((reason: Error) => ({ refused: reason.message }));
window.time = async (length, runs) => {
  const ids = new Int32Array(length).map((_, place) => place);
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    times.push((await engine.run(ids, new Int32Array(length).fill(1))).milliseconds);
  }
  return times;
};
