// Figures as text. A missing figure is a dash, never a zero.
import { signal } from "@preact/signals";
import { now } from "./api";

/** zone is how times are written: the browser's zone, or UTC. */
export const zone = signal<"local" | "utc">(localStorage.getItem("zone") === "utc" ? "utc" : "local");

export function setZone(z: "local" | "utc"): void {
  zone.value = z;
  localStorage.setItem("zone", z);
}

export interface Text {
  number: string;
  unit: string;
}

const digits = (n: number, d: number) => n.toLocaleString("en", { minimumFractionDigits: d, maximumFractionDigits: d });

function scaled(n: number, steps: [number, string][]): Text {
  const size = Math.abs(n);
  for (const [factor, unit] of steps)
    if (size >= factor) {
      const v = n / factor;
      return { number: digits(v, Math.abs(v) < 10 && factor > 1 ? 1 : 0), unit };
    }
  const [factor, unit] = steps[steps.length - 1];
  return { number: digits(n / factor, 0), unit };
}

/** figure writes a value in its unit: bytes, seconds, microseconds, requests, percent … */
export function figure(value: number | null | undefined, unit = ""): Text {
  if (value === null || value === undefined || !Number.isFinite(value)) return { number: "–", unit: "" };
  switch (unit) {
    case "count":
      return figure(value);
    case "bytes":
      return scaled(value, [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]);
    case "us":
    case "microseconds":
      return figure(value / 1e6, "seconds");
    case "ms":
    case "milliseconds":
      return figure(value / 1e3, "seconds");
    case "s":
    case "seconds":
      if (value === 0) return { number: "0", unit: "s" };
      if (Math.abs(value) >= 120) return scaled(value, [[86400, "d"], [3600, "h"], [60, "min"]]);
      if (Math.abs(value) >= 1) return { number: digits(value, value < 10 ? 1 : 0), unit: "s" };
      return scaled(value, [[1e-3, "ms"], [1e-6, "µs"]]);
    case "ratio":
      return { number: digits(value * 100, Math.abs(value) < 0.1 ? 1 : 0), unit: "%" };
    case "percent":
    case "%":
      return { number: digits(value, Math.abs(value) < 10 ? 1 : 0), unit: "%" };
  }
  if (!Number.isInteger(value)) return { number: digits(value, Math.abs(value) < 100 ? 1 : 0), unit };
  return { number: digits(value, 0), unit };
}

export const plain = (value: number | null | undefined, unit = ""): string => {
  const t = figure(value, unit);
  return t.unit ? t.number + " " + t.unit : t.number;
};

const stamp = (opts: Intl.DateTimeFormatOptions, z: "local" | "utc") =>
  new Intl.DateTimeFormat("en-GB", { ...opts, timeZone: z === "utc" ? "UTC" : undefined });

/** time writes an instant of RFC 3339 in the chosen zone. */
export function time(text: string | undefined | null): string {
  if (!text) return "–";
  const t = new Date(text);
  if (Number.isNaN(+t)) return "–";
  return stamp({ dateStyle: "medium", timeStyle: "medium" }, zone.value).format(t);
}

/** day writes the day, of UTC, at whose beginning an instant is. */
export const day = (text: string): string => stamp({ dateStyle: "medium" }, "utc").format(new Date(text));

/** tick writes a chart's time, in seconds since 1970, as fits the width of the chart in seconds. */
export function tick(seconds: number, span: number): string {
  const t = new Date(seconds * 1000);
  if (span > 3 * 86400) return stamp({ day: "numeric", month: "short" }, zone.value).format(t);
  if (span > 600) return stamp({ hour: "2-digit", minute: "2-digit" }, zone.value).format(t);
  return stamp({ hour: "2-digit", minute: "2-digit", second: "2-digit" }, zone.value).format(t);
}

/** Seconds between two ticks of a chart. */
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];

/** ticks are at most so many round times of the chosen zone within a span, in seconds since 1970, also where a summer time begins or ends. */
export function ticks(from: number, to: number, most: number): number[] {
  const step = steps.find((s) => (to - from) / s <= most) ?? 31536000;
  const ahead = (t: number) => (zone.value === "utc" ? 0 : -60 * new Date(t * 1000).getTimezoneOffset());
  const all: number[] = [];
  for (let local = Math.ceil((from + ahead(from)) / step) * step; ; local += step) {
    const t = local - ahead(local - ahead(local));
    if (t > to) return all;
    if (t >= from && t !== all[all.length - 1]) all.push(t);
  }
}

export function ago(text: string | undefined | null, at = now()): string {
  if (!text) return "never";
  const s = (at - +new Date(text)) / 1000;
  if (Number.isNaN(s)) return "–";
  if (s < -5) return "in " + plain(Math.round(-s), "seconds");
  if (s < 5) return "just now";
  return (s < 120 ? Math.round(s) + " s" : plain(s, "seconds")) + " ago";
}

export const zoneName = (): string => (zone.value === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);
