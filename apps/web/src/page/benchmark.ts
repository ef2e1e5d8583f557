/** The benchmark screen. `?bench&length=128&seconds=10` starts it by itself, `&download` saves the file. */

import { circumstances, place, state } from "../bench/device";
import { measure, type Plan, STANDARD } from "../bench/protocol";
import { queries } from "../bench/queries";
import { type Manifest, measurement } from "../bench/record";
import { percentile } from "../bench/stats";
import type { Engine, Model } from "../engine/client";
import { complain } from "./ask";
import { alert, announce, element, say } from "./elements";
import { draw } from "./histogram";
import type { Opened } from "./model";
import { milliseconds } from "./numbers";

const MIME = "application/json";
/** A page that draws at every run measures its own drawing. */
const DRAW_EVERY_MS = 250;

const screen = element("benchmark-screen", HTMLElement);
const lengths = element("length", HTMLSelectElement);
const seconds = element("seconds", HTMLSelectElement);
const start = element("start", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const bar = element("measuring-bar", HTMLProgressElement);
const download = element("download", HTMLAnchorElement);

type Record = ReturnType<typeof measurement>;

/** Wires the screen; `given` are the page's URL parameters. */
export function startBenchmark(opened: Promise<Opened>, given: URLSearchParams): void {
  let running: AbortController | undefined;

  async function bench(plan: () => Plan): Promise<void> {
    const current = new AbortController();
    running = current;
    alert("");
    busy(true);
    try {
      const { engine, model } = await opened;
      show(await run(engine, model, plan(), Number(lengths.value), current.signal));
      screen.dataset.state = "done";
    } catch (error) {
      screen.dataset.state = "failed";
      if (!current.signal.aborted) {
        complain(error);
      }
    } finally {
      busy(false);
    }
  }

  element("benchmark", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void bench(() => ({ ...STANDARD, seconds: Number(seconds.value) }));
  });
  stop.addEventListener("click", () => {
    running?.abort(new DOMException("cancelled", "AbortError"));
    announce("Cancelled");
  });
  opened.then(
    ({ model }) => offer(lengths, model.lengths),
    () => {}, // whoever opened it has said why
  );
  if (given.has("bench")) {
    void bench(() => asked(given)).then(() => {
      if (given.has("download") && screen.dataset.state === "done") {
        download.click();
      }
    });
  }
}

/** The plan that the URL asks for, with its length chosen. */
function asked(given: URLSearchParams): Plan {
  const number = (name: string, otherwise: number) => {
    const value = Number(given.get(name) ?? otherwise);
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(`${name} is ${given.get(name)}; give a whole number`);
    }
    return value;
  };
  const taken = Array.from(lengths.options, (option) => option.value);
  const length = given.get("length") ?? taken[0] ?? "";
  if (!taken.includes(length)) {
    throw new RangeError(`the program takes ${taken.join(", ")} tokens, not ${length}`);
  }
  lengths.value = length;
  const runs = number("runs", STANDARD.runs);
  return { warmup: number("warmup", STANDARD.warmup), runs, seconds: number("seconds", STANDARD.seconds) };
}

async function run(
  engine: Engine,
  model: Model,
  plan: Plan,
  length: number,
  signal: AbortSignal,
): Promise<Record> {
  const folder = new URL("model/", document.baseURI);
  const text = async (name: string) => (await fetch(new URL(name, folder), { signal })).text();
  const source = await text("manifest.json");
  const windows = queries(await text("vocab.txt"), length);
  const mask = new Int32Array(length).fill(1);
  const also: string[] = [];
  const hidden = () => {
    if (document.hidden && !also.length) {
      also.push("the page was in the background for a time");
    }
  };
  hidden();
  document.addEventListener("visibilitychange", hidden);
  const before = await state();
  let drawn = 0;
  try {
    const samples = await measure(
      async (number) =>
        (await engine.run((windows[number % windows.length] ?? mask).slice(), mask.slice())).milliseconds,
      plan,
      windows.length,
      (share, runs) => {
        const now = performance.now();
        if (now - drawn > DRAW_EVERY_MS) {
          drawn = now;
          bar.value = share;
          say("measuring-text", `${runs} runs, ${Math.floor(100 * share)} %`);
        }
      },
      signal,
    );
    const made = {
      time: `${new Date().toISOString().slice(0, 19)}+00:00`,
      command: `${location.pathname.split("/").pop() || "index.html"}?bench&length=${length}&seconds=${plan.seconds}`,
      ...circumstances(),
    };
    const seen = {
      place: await place(),
      before,
      after: await state(),
      plan,
      length,
      milliseconds: samples,
      also,
      made,
    };
    return measurement(model, JSON.parse(source) as Manifest, new TextEncoder().encode(source).length, seen);
  } finally {
    document.removeEventListener("visibilitychange", hidden);
  }
}

function show(record: Record): void {
  const [program] = record.programs;
  const samples = (program?.samples_ns ?? []).map((sample) => sample / 1e6);
  const of = (share: number) => milliseconds(percentile(samples, share));
  say("median", of(0.5));
  say("p90", `${of(0.9)} ms`);
  say("p99", `${of(0.99)} ms`);
  say("runs", samples.length.toLocaleString("en"));
  say("result-what", `${program?.lengths[0]} tokens, ${record.place.name}`);
  const { valid, reasons } = record.validity;
  say("validity", valid ? "Valid by device_bench's rules." : `Not valid: ${reasons.join("; ")}.`);
  element("histogram", HTMLDivElement).replaceChildren(draw(samples));
  say("axis-from", `${of(0)} ms`);
  say("axis-to", `p99 ${of(0.99)} ms`);
  URL.revokeObjectURL(download.href);
  download.href = URL.createObjectURL(new Blob([`${JSON.stringify(record, null, 1)}\n`], { type: MIME }));
  element("result", HTMLElement).hidden = false;
  announce(`Done: median ${of(0.5)} milliseconds over ${samples.length} runs`);
}

function busy(isBusy: boolean): void {
  if (isBusy) {
    screen.dataset.state = "running";
    bar.value = 0;
    say("measuring-text", "Warming up");
    announce("Measuring");
    element("result", HTMLElement).hidden = true;
  }
  const hadFocus = document.activeElement === (isBusy ? start : stop);
  element("measuring", HTMLDivElement).hidden = !isBusy;
  start.hidden = isBusy;
  stop.hidden = !isBusy;
  if (hadFocus) {
    (isBusy ? stop : start).focus({ preventScroll: true });
  }
}

function offer(choice: HTMLSelectElement, numbers: readonly number[]): void {
  choice.replaceChildren(...numbers.map((number) => new Option(String(number))));
}
