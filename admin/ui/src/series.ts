// What charts draw comes as points of equal length.
import type { SeriesReport } from "./api-types";

export type Series = SeriesReport["series"][string];

/** whole leaves out the last point while its time is not over: a count that is cut off looks like a fall. If nothing else was counted it stays. */
export function whole(report: SeriesReport | undefined, name: string): { times: number[]; values: (number | null)[]; unit: string } | undefined {
  const s = report?.series[name];
  if (!report || !s?.points.length) return undefined;
  const last = s.points[s.points.length - 1];
  const other = Object.values(report.series).some((of) => of.points.some((p) => p.value && p.at !== last.at)); // the lines of a report have the same points
  const open = other && s.points.length > 2 && +new Date(last.at) + report.step_ns / 1e6 > +new Date(report.period.to ?? 0);
  const points = open ? s.points.slice(0, -1) : s.points;
  return { times: points.map((p) => +new Date(p.at) / 1000), values: points.map((p) => p.value), unit: s.unit };
}

/** words writes a figure's name as people say it. */
export const words = (name: string): string =>
  name.replace(/^latency_(p\d+)$/, "$1 latency").replace(/^latency_time$/, "Time of requests").replace(/^cpu_/, "CPU ").replaceAll("_", " ").replace(/^(?!p\d)./, (c) => c.toUpperCase());
