/** The benchmark's arithmetic, against figures of NumPy, and its protocol. */

import { expect, test, vi } from "vitest";
import { posesAsPhone } from "../src/bench/device";
import { measure, mode } from "../src/bench/protocol";
import { queries } from "../src/bench/queries";
import { coefficientOfVariation, histogram, percentile } from "../src/bench/stats";

const SAMPLES = [3, 1, 4, 1, 5, 9, 2, 6];
const never = new AbortController().signal;

test.each([
  [0, 1],
  [0.5, 3.5],
  [0.9, 6.9],
  [0.99, 8.79],
  [1, 9],
])("percentile %d is numpy.quantile's", (share, value) => {
  expect(percentile(SAMPLES, share)).toBeCloseTo(value, 12);
});

test("spread is the sample's: numpy.std(ddof=1) / numpy.mean", () => {
  expect(coefficientOfVariation(SAMPLES)).toBeCloseTo(0.7092583597, 9);
  expect(coefficientOfVariation([7])).toBe(0);
});

test("a histogram loses no sample, and equal ones are one bar", () => {
  expect(histogram(SAMPLES, 1, 5, 4)).toEqual([2, 1, 1, 4]);
  expect(histogram([2, 2], 2, 2, 3)).toEqual([2, 0, 0]);
});

test("warm-up runs are not kept, and runs come in whole passes", async () => {
  const numbers: number[] = [];
  const run = async (number: number) => numbers.push(number);
  const samples = await measure(run, { warmup: 3, runs: 10, seconds: 0 }, 8, () => {}, never);
  expect(samples).toHaveLength(16);
  expect(numbers.slice(0, 5)).toEqual([0, 1, 2, 0, 1]);
});

test("it goes on for as long as was asked", async () => {
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  const run = async () => {
    now += 100;
    return 100;
  };
  const shares: number[] = [];
  const samples = await measure(
    run,
    { warmup: 0, runs: 5, seconds: 1 },
    1,
    (share) => shares.push(share),
    never,
  );
  expect(samples).toHaveLength(10);
  expect(shares.at(-1)).toBe(1);
  clock.mockRestore();
});

test("an abort ends it", async () => {
  const aborting = new AbortController();
  const measured = measure(
    async (number) => {
      if (number === 2) aborting.abort(new Error("enough"));
      return 1;
    },
    { warmup: 0, runs: 50, seconds: 0 },
    1,
    () => {},
    aborting.signal,
  );
  await expect(measured).rejects.toThrow("enough");
});

test("long is at least 1,024 runs and 60 s", () => {
  expect(mode({ warmup: 5, runs: 1024, seconds: 60 })).toBe("long");
  expect(mode({ warmup: 5, runs: 1023, seconds: 60 })).toBe("standard");
});

test("queries are ordinary tokens, the same ones every time", () => {
  const vocabulary = "[PAD]\n[CLS]\nthe\n##ing\nmill\n";
  const windows = queries(vocabulary, 64);
  expect(windows).toEqual(queries(vocabulary, 64));
  expect(new Set(windows.flatMap((window) => [...window]))).toEqual(new Set([2, 4]));
  expect(() => queries("[PAD]\n##a", 4)).toThrow("vocab.txt has no ordinary token");
});

test.each<[boolean, string, string, number]>([
  [false, "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140.0.0.0 Mobile", "Linux armv81", 5],
  [true, "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140.0.0.0 Mobile", "Linux x86_64", 5],
  [true, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "MacIntel", 5],
  [false, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "iPhone", 5],
  [false, "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0", "Linux x86_64", 0],
])("poses as a phone: %s, %s on %s", (poses, userAgent, platform, touchPoints) => {
  expect(posesAsPhone(userAgent, platform, touchPoints)).toBe(poses);
});
