/** What raw samples say; the same definitions as device_bench's. */

/** The value below which `share` of the samples lie, linear between neighbours (Hyndman and Fan's type 7). */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = Float64Array.from(samples).sort();
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) {
    throw new RangeError("no samples: a figure needs at least one");
  }
  return below + (above - below) * (place - Math.floor(place));
}

/** Sample standard deviation (n − 1) over the mean; 0 for a single sample. */
export function coefficientOfVariation(samples: readonly number[]): number {
  const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
  const squares = samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0);
  return samples.length > 1 ? Math.sqrt(squares / (samples.length - 1)) / mean : 0;
}

/** Counts in `bins` equal parts of [low, high]; what lies above `high` is in the last. */
export function histogram(samples: readonly number[], low: number, high: number, bins: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (const sample of samples) {
    const bin = high > low ? Math.floor(((sample - low) / (high - low)) * bins) : 0;
    const place = Math.min(Math.max(bin, 0), bins - 1);
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return counts;
}
