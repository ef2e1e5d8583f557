/** measurement.json, as device_bench/measurement.schema.json has it. */

import type { Model } from "../engine/client";
import type { Place, State } from "./device";
import { mode, type Plan, STANDARD } from "./protocol";
import { coefficientOfVariation } from "./stats";

const MAX_COEFFICIENT_OF_VARIATION = 0.25;

/** What the record takes from the manifest; the engine has checked it. */
export type Manifest = {
  name: string;
  target: string;
  program: string;
  precision?: "int8" | "float32";
  random_weights?: boolean;
  parameters?: number;
  multiply_adds?: { per_token: number; per_pair: number; per_window?: number };
  seal: string;
  files: Record<string, { sha256: string; size_bytes: number }>;
};

/** What was seen. */
export type Seen = {
  place: Place;
  before: State;
  after: State;
  plan: Plan;
  length: number;
  milliseconds: readonly number[];
  /** Why the figures may not be used, where only the page could see it. */
  also: readonly string[];
  made: Record<string, unknown>;
};

/** The whole record, judged. `manifestBytes`: the manifest's own size. Throws where the bundle is too old for one. */
export function measurement(model: Model, manifest: Manifest, manifestBytes: number, seen: Seen) {
  const { plan, length } = seen;
  const file = manifest.files[manifest.program];
  if (!manifest.precision || !file || manifest.seal !== model.seal) {
    throw new Error("this bundle does not say enough of itself to be measured; make it again");
  }
  const samples = seen.milliseconds.map((value) => Math.round(value * 1e6));
  if (samples.some((sample) => sample < 1)) {
    throw new Error("this browser's clock is too coarse for so small a model");
  }
  const name = `${manifest.name} ${manifest.precision}`;
  const reasons = [...judge(name, plan, samples), ...seen.also];
  return {
    format: 1,
    place: seen.place,
    before: seen.before,
    after: seen.after,
    protocol: {
      metric: "latency",
      mode: mode(plan),
      ...plan,
      queries: `fixed:${length}`,
      threads: model.threads,
      interleaved: false,
      processes: "app",
    },
    programs: [
      {
        role: "candidate",
        name: manifest.name,
        target: manifest.target,
        precision: manifest.precision,
        random_weights: manifest.random_weights ?? false,
        parameters: manifest.parameters ?? null,
        bundle_seal: manifest.seal,
        program_sha256: file.sha256,
        runner: "app",
        runtime: model.runtime,
        threads: { asked: String(model.threads), got: null },
        delegate: { asked: "xnnpack", got: null },
        footprint: { program_bytes: model.programBytes, bundle_bytes: model.sizeBytes + manifestBytes },
        samples_ns: samples,
        lengths: samples.map(() => length),
        multiply_adds: multiplyAdds(manifest, length),
      },
    ],
    validity: { valid: reasons.length === 0, reasons },
    made: seen.made,
  };
}

/** Why the figures may not be used: device_bench's rules, as far as one program in a browser can break them. */
function judge(name: string, plan: Plan, samples: readonly number[]): string[] {
  const reasons: string[] = [];
  if (plan.warmup < STANDARD.warmup) {
    reasons.push(`${plan.warmup} warm-up runs; ${STANDARD.warmup} are the least`);
  }
  if (plan.seconds < STANDARD.seconds) {
    reasons.push(`asked for ${plan.seconds} s; ${STANDARD.seconds} s are the least`);
  }
  const least = Math.max(plan.runs, STANDARD.runs);
  if (samples.length < least) {
    reasons.push(`${name} has ${samples.length} samples; ${least} are the least`);
  }
  const spread = coefficientOfVariation(samples);
  if (spread > MAX_COEFFICIENT_OF_VARIATION) {
    reasons.push(
      `${name}: times of one length vary by ${Math.round(100 * spread)}% (coefficient of variation; ` +
        `${100 * MAX_COEFFICIENT_OF_VARIATION}% is the most)`,
    );
  }
  return reasons;
}

function multiplyAdds({ multiply_adds: products }: Manifest, length: number): number | null {
  return products
    ? products.per_token * length + products.per_pair * length ** 2 + (products.per_window ?? 0)
    : null;
}
