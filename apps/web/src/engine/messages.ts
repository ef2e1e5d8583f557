/** What page and worker say to each other. `id` is the number of the call that it belongs to. */

import type { Progress } from "./client";

export type Call =
  | { call: "open"; url: string }
  | { call: "ask"; question: string; passage: string }
  | { call: "run"; ids: Int32Array; mask: Int32Array };

export type ToWorker = { id: number } & (Call | { call: "abort" });

export type FromWorker = { id: number } & (
  | { progress: Progress }
  | { windows: [done: number, total: number] }
  | { value: unknown }
  /** `refused`: the message is a sentence of the contract. */
  | { error: string; refused: boolean }
);
