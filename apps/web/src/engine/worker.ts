/** The worker: one call after the other; an abort comes in between the windows of a question. */

import { Refused } from "../refused";
import type { Call, FromWorker, ToWorker } from "./messages";
import { Session } from "./session";

let session: Session | undefined;
let last: Promise<void> = Promise.resolve();
const asked = new Map<number, AbortController>();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.call === "abort") {
    asked.get(data.id)?.abort();
    return;
  }
  const aborting = new AbortController();
  asked.set(data.id, aborting);
  last = last.then(() => answer(data.id, data, aborting.signal)).finally(() => asked.delete(data.id));
};

async function answer(id: number, call: Call, signal: AbortSignal): Promise<void> {
  try {
    signal.throwIfAborted();
    reply({ id, value: await value(id, call, signal) });
  } catch (reason) {
    const error = reason instanceof Error ? reason.message : String(reason);
    reply({ id, error, refused: reason instanceof Refused });
  }
}

async function value(id: number, call: Call, signal: AbortSignal): Promise<unknown> {
  if (call.call === "open") {
    session?.close();
    session = undefined;
    session = await Session.open(call.url, (progress) => reply({ id, progress }));
    return session.model;
  }
  if (session === undefined) throw new Error("no model is open");
  if (call.call === "run") return session.run(call.ids, call.mask);
  return session.ask(call.question, call.passage, signal, (done, total) =>
    reply({ id, windows: [done, total] }),
  );
}

function reply(message: FromWorker): void {
  self.postMessage(message);
}
