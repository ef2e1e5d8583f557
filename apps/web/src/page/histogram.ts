/** A histogram as an SVG picture. */

import { histogram, percentile } from "../bench/stats";
import { milliseconds } from "./numbers";

const SVG = "http://www.w3.org/2000/svg";
const BINS = 32;
const WIDTH = 640;
const HEIGHT = 150;

/** Of samples in milliseconds, least to p99. The axis ends at the 99th percentile: one straggler would flatten all others. */
export function draw(samples: readonly number[]): SVGSVGElement {
  const low = percentile(samples, 0);
  const high = percentile(samples, 0.99);
  const counts = histogram(samples, low, high, BINS);
  const most = Math.max(...counts);
  const step = WIDTH / BINS;
  const bars = counts.map((count, place) => {
    const height = (count / most) * (HEIGHT - 4);
    const bar = {
      x: place * step + 1,
      y: HEIGHT - height,
      width: step - 2,
      height,
      rx: Math.min(2, height / 2),
    };
    return shape("rect", bar);
  });
  const axis = shape("line", { x1: 0, y1: HEIGHT, x2: WIDTH, y2: HEIGHT });
  const picture = document.createElementNS(SVG, "svg");
  const middle = milliseconds(percentile(samples, 0.5));
  const named = {
    viewBox: `0 0 ${WIDTH} ${HEIGHT + 1}`,
    role: "img",
    "aria-label": `Histogram of ${samples.length} runs from ${milliseconds(low)} milliseconds, median ${middle}`,
  };
  for (const [name, value] of Object.entries(named)) {
    picture.setAttribute(name, value);
  }
  picture.append(...bars, axis);
  return picture;
}

function shape(kind: string, attributes: Record<string, number>): SVGElement {
  const made = document.createElementNS(SVG, kind) as SVGElement;
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, String(value));
  }
  return made;
}
