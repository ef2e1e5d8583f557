/** What a browser tells of the device it runs on. */

export type Place = {
  kind: "browser";
  name: string;
  emulated: boolean;
  trend_only: boolean;
  processor: string;
  cores: number;
  system: string;
};

export type State = { battery_percent: number | null; charging: boolean | null };

/** Chromium's own, which TypeScript's library does not list. */
type Chromium = Navigator & {
  userAgentData?: {
    platform: string;
    brands: { brand: string; version: string }[];
    getHighEntropyValues(hints: string[]): Promise<Record<string, string>>;
  };
  getBattery?: () => Promise<{ level: number; charging: boolean }>;
  deviceMemory?: number;
};

const chromium = () => navigator as Chromium;

/**
 * The browser and the device under it.
 *
 * A page cannot see whether the processor is emulated. It does see a desktop that poses as a phone (developer
 * tools, an Android emulator on x86): such times are a trend at most.
 */
export async function place(): Promise<Place> {
  const browser = chromium();
  const data = browser.userAgentData;
  const hints = ["architecture", "bitness", "model", "platformVersion"];
  const more = (await data?.getHighEntropyValues(hints)) ?? {};
  const system = [data?.platform ?? systemIn(browser.userAgent), more.platformVersion]
    .filter(Boolean)
    .join(" ");
  return {
    kind: "browser",
    name: [more.model, `${nameIn(browser.userAgent)} on ${system}`].filter(Boolean).join(", "),
    emulated: false,
    trend_only: posesAsPhone(browser.userAgent, browser.platform, browser.maxTouchPoints),
    processor: more.architecture
      ? `${more.architecture} ${more.bitness ?? ""}`.trim()
      : browser.platform || "not told",
    cores: browser.hardwareConcurrency,
    system,
  };
}

/** What may disturb a measurement; null where the browser does not tell. */
export async function state(): Promise<State> {
  const battery = await chromium()
    .getBattery?.()
    .catch(() => undefined);
  return {
    battery_percent: battery ? Math.round(100 * battery.level) : null,
    charging: battery?.charging ?? null,
  };
}

/** What else a sceptic asks about. */
export function circumstances(): Record<string, unknown> {
  const browser = chromium();
  return {
    user_agent: browser.userAgent,
    platform: browser.platform,
    cross_origin_isolated: crossOriginIsolated,
    hardware_concurrency: browser.hardwareConcurrency,
    device_memory_gib: browser.deviceMemory ?? null,
    automated: browser.webdriver,
    viewport: `${innerWidth} × ${innerHeight} at ${devicePixelRatio}`,
  };
}

/** A phone by its name, and a desktop's processor or system under it. */
export function posesAsPhone(userAgent: string, platform: string, touchPoints: number): boolean {
  const isPhone = /Android|iPhone|iPad/.test(userAgent);
  return isPhone && (touchPoints === 0 || /x86|i686|Win|Mac/.test(platform));
}

function nameIn(userAgent: string): string {
  const known =
    /(?:HeadlessChrome|Firefox|FxiOS|CriOS|Edg|SamsungBrowser|Chrome)\/[\d]+|Version\/[\d.]+(?=.*Safari)/;
  return (userAgent.match(known)?.[0] ?? "a browser").replace("Version/", "Safari ").replace("/", " ");
}

function systemIn(userAgent: string): string {
  return userAgent.match(/\(([^;)]+(?:;[^;)]+)?)/)?.[1] ?? "not told";
}
