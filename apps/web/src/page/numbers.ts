/** Figures as a reader meets them. */

/** 20 256 868 → `20.3 MB`; a megabyte is 10⁶ bytes. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** 0.982 → `98 %` */
export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** Three digits or so: `0.42`, `3.1`, `24`. */
export function milliseconds(value: number): string {
  return value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0);
}

/** `1 window`, `2 windows` */
export function counted(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}
