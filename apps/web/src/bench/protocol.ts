/** How one program is timed in a browser: warmed up, then run for long enough, every sample kept. */

/** `warmup` runs that are not kept, then at least `runs` and at least `seconds`. */
export type Plan = { warmup: number; runs: number; seconds: number };

export const STANDARD: Plan = { warmup: 5, runs: 50, seconds: 10 };
const LONG = { runs: 1024, seconds: 60 };

/** standard, or long: at least 1,024 runs and 60 s. */
export function mode(plan: Plan): "standard" | "long" {
  return plan.runs >= LONG.runs && plan.seconds >= LONG.seconds ? "long" : "standard";
}

/**
 * Milliseconds of each kept run. `run` gets the number of its run, from 0 on after the warm-up; runs come in whole
 * passes of `passesOf`, so that every query is asked equally often. `step` hears the share that is done, 0 to 1.
 *
 * Rejects with what `signal` was aborted with, or with what a run failed with: part of a measurement is none.
 */
export async function measure(
  run: (number: number) => Promise<number>,
  plan: Plan,
  passesOf: number,
  step: (share: number, runs: number) => void,
  signal: AbortSignal,
): Promise<number[]> {
  for (let done = 0; done < plan.warmup; done += 1) {
    signal.throwIfAborted();
    await run(done);
  }
  const samples: number[] = [];
  const began = performance.now();
  for (let share = 0; share < 1 || samples.length % passesOf; ) {
    signal.throwIfAborted();
    samples.push(await run(samples.length));
    const seconds = (performance.now() - began) / 1000;
    share = Math.min(1, samples.length / plan.runs, plan.seconds ? seconds / plan.seconds : 1);
    step(share, samples.length);
  }
  return samples;
}
