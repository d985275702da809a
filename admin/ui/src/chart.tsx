// Charts are SVG: they take their colours from the style sheet, and their texts are texts.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { now } from "./api";
import { plain, tick, ticks, time } from "./format";

export interface Line {
  name: string;
  points: (number | null)[];
  colour?: string;
}

export interface ChartProps {
  title: string;
  unit: string;
  window: string;
  /** Seconds since 1970, ascending. */
  times: number[];
  lines: Line[];
  height?: number;
  /** How many seconds the chart shows up to its last point; all of them if it is missing. */
  span?: number;
  /** What happened, and when. */
  marks?: { at: number; text: string }[];
  /** Called with the chosen span when the operator drags over the chart. */
  zoom?(from: number, to: number): void;
}

// Colours mean states elsewhere: lines differ by their dashes first.
const palette = ["accent", "text", "muted", "accent", "text", "muted"];
const dashes = ["", "6 3", "2 3", "8 3 2 3", "12 4", "1 4"];

/** pointed is the time under the cursor, in all charts of the page. */
const pointed = signal<number | null>(null);

/** Units whose ticks name a scaled unit themselves. */
const scaled = new Set(["us", "ms", "seconds", "bytes", "count", "ratio"]);

/** round is the smallest of 1, 2 or 5 times a power of ten that is not below n. */
function round(n: number): number {
  const power = 10 ** Math.floor(Math.log10(n));
  return power * ([1, 2, 5].find((f) => f * power >= n * 0.999) ?? 10);
}

/** nearest is the index of the point that is nearest to a time, or -1. */
function nearest(times: number[], t: number): number {
  let best = -1;
  times.forEach((x, i) => {
    if (best < 0 || Math.abs(x - t) < Math.abs(times[best] - t)) best = i;
  });
  return best;
}

/** path draws points, and leaves gaps where there is none. A point between two gaps becomes a dot. */
function path(points: (number | null | undefined)[], x: (i: number) => number, y: (v: number) => number): string {
  let d = "";
  let drawn = false;
  points.forEach((v, i) => {
    const known = v !== null && v !== undefined;
    if (known) d += drawn ? `L${x(i).toFixed(1)} ${y(v).toFixed(1)}` : `M${x(i).toFixed(1)} ${y(v).toFixed(1)}h0`;
    drawn = known;
  });
  return d;
}

/** Chart draws at most 6 lines from zero, with their names at their ends, and says in a sentence and a table what it shows. */
export function Chart(props: ChartProps) {
  const { times, unit } = props;
  const box = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(600);
  const [drag, setDrag] = useState<[from: number, to: number]>();
  const [open, setOpen] = useState(false);
  const [focused, setFocused] = useState(false);
  useEffect(() => {
    const sized = new ResizeObserver(([e]) => setWidth(Math.max(160, e.contentRect.width)));
    sized.observe(box.current!);
    return () => sized.disconnect();
  }, []);

  const lines = props.lines.slice(0, 6);
  const height = props.height ?? 200;
  const end = times.length ? times[times.length - 1] : now() / 1000;
  const span = props.span ?? (times.length > 1 ? end - times[0] : 60);
  const first = times.findIndex((t) => t >= end - span);
  const seen = lines.flatMap((l) => l.points.slice(Math.max(0, first))).filter((p): p is number => p !== null && p !== undefined);
  const most = seen.reduce((a, b) => Math.max(a, b), 0) || 1;
  const least = seen.reduce((a, b) => Math.min(a, b), 0);
  const step = round((most - least) / 4);
  const levels = Array.from({ length: 8 }, (_, i) => (Math.ceil(least / step) + i) * step).filter((v) => v <= most * 1.05);
  const names = levels.map((v) => plain(v, scaled.has(unit) ? unit : ""));
  const left = 16 + 7 * Math.max(2, ...names.map((n) => n.length));
  const right = lines.length > 1 ? 104 : 16;
  const [top, bottom] = [12, height - 28];
  const x = (t: number) => left + ((t - (end - span)) / (span || 1)) * (width - left - right);
  const y = (v: number) => bottom - ((v - least) / (Math.max(most, levels[levels.length - 1] ?? 0) - least)) * (bottom - top);
  const timeAt = (e: PointerEvent) => {
    const r = box.current!.getBoundingClientRect();
    return Math.min(end, Math.max(end - span, end - span + ((e.clientX - r.left - left) / Math.max(1, width - left - right)) * span));
  };

  const at = pointed.value === null || pointed.value < end - span || pointed.value > end ? -1 : nearest(times, pointed.value);
  const walk = (e: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
    if (!by || !times.length) return;
    e.preventDefault();
    pointed.value = times[Math.min(times.length - 1, Math.max(Math.max(0, first), (at < 0 ? times.length : at) + by))];
  };
  const moment = (i: number) => time(new Date(times[i] * 1000).toISOString());
  const read = at < 0 ? "" : `${moment(at)}: ` + lines.map((l) => `${lines.length > 1 ? l.name + " " : ""}${plain(l.points[at], unit)}`).join(", ");
  const last = lines.map((l) => `${l.name} ${plain(l.points.findLast((p) => p !== null), unit)}`).join(", ");
  let free = 0;
  const ends = lines
    .map((l, i) => ({ l, i, v: l.points.findLast((p) => p !== null && p !== undefined) }))
    .filter((e) => e.v !== undefined)
    .sort((a, b) => b.v! - a.v!)
    .map(({ l, i, v }) => ({ l, i, y: (free = Math.max(free + 14, y(v!))) }));
  const look = (i: number) => ({ stroke: `var(--${lines[i].colour ?? palette[i]})`, strokeDasharray: dashes[i] });
  return (
    <figure class="chart" style={{ margin: 0 }}>
      <figcaption>
        <b>{props.title}</b> <span class="muted">{[scaled.has(unit) ? "" : unit, props.window].filter(Boolean).join(", ")}</span>
        <span class="read num" aria-live={focused ? "polite" : "off"}>{read}</span>
      </figcaption>
      <svg ref={box} class="plot" height={height} role="img" tabIndex={0} aria-label={`${props.title}, ${props.window}. Last: ${last || "no data"}.`} onKeyDown={walk}
        onFocus={() => setFocused(true)} onBlur={() => { setFocused(false); pointed.value = null; }}
        onPointerMove={(e) => { pointed.value = timeAt(e); if (drag) setDrag([drag[0], timeAt(e)]); }}
        onPointerLeave={() => { pointed.value = null; setDrag(undefined); }}
        onPointerDown={(e) => { if (props.zoom && e.button === 0) setDrag([timeAt(e), timeAt(e)]); }}
        onPointerUp={() => { if (drag && Math.abs(x(drag[1]) - x(drag[0])) > 8) props.zoom?.(Math.min(...drag), Math.max(...drag)); setDrag(undefined); }}>
        {levels.map((v, i) => (i === 0 || names[i] !== names[i - 1]) && <g key={i}><line class="grid" x1={left} x2={width - right} y1={y(v)} y2={y(v)} /><text x={left - 8} y={y(v) + 4} text-anchor="end">{names[i]}</text></g>)}
        {ticks(end - span, end, Math.min(5, (width - left - right) / 80)).map((t) => <text key={t} x={x(t)} y={height - 8} text-anchor={x(t) > width - 32 ? "end" : x(t) < 32 ? "start" : "middle"}>{tick(t, span)}</text>)}
        {lines.length === 1 && areas(lines[0].points, first, (i) => x(times[i]), y, bottom).map((d, i) => <path key={i} class="area" d={d} />)}
        {lines.map((l, i) => <path key={l.name} class="line" style={look(i)} d={path(first > 0 ? l.points.slice(first) : l.points, (n) => x(times[n + Math.max(0, first)]), y)} />)}
        {lines.length > 1 && ends.map((e) => <text key={e.i} x={width - right + 8} y={e.y + 4} style={{ fill: `var(--${e.l.colour ?? palette[e.i]})` }}>{e.l.name.length > 14 ? e.l.name.slice(0, 13) + "…" : e.l.name}</text>)}
        {props.marks?.filter((m) => m.at >= end - span && m.at <= end).map((m, i) => <path key={i} class="mark" d={`M${x(m.at) - 4} ${top - 8}h8l-4 7z`}><title>{m.text}</title></path>)}
        {at >= 0 && <line class="at" x1={x(times[at])} x2={x(times[at])} y1={top} y2={bottom} />}
        {at >= 0 && lines.map((l, i) => l.points[at] !== null && l.points[at] !== undefined && <circle key={i} r={3} cx={x(times[at])} cy={y(l.points[at]!)} style={{ fill: look(i).stroke }} />)}
        {drag && <rect class="area" x={Math.min(x(drag[0]), x(drag[1]))} y={top} width={Math.abs(x(drag[1]) - x(drag[0]))} height={bottom - top} />}
      </svg>
      <details class="data" onToggle={(e) => setOpen(e.currentTarget.open)}>
        <summary>Data as a table</summary>
        {open && <div class="scroll" tabIndex={0} role="region" aria-label={props.title + ", data"}>
          <table>
            <thead>
              <tr><th scope="col">Time</th>{lines.map((l) => <th scope="col" class="num" key={l.name}>{l.name}</th>)}</tr>
            </thead>
            <tbody>
              {times.slice(-60).map((t, i, all) => (
                <tr key={t}>
                  <td>{time(new Date(t * 1000).toISOString())}</td>
                  {lines.map((l) => <td class="num" key={l.name}>{plain(l.points[times.length - all.length + i], unit)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>}
      </details>
    </figure>
  );
}

/** areas are the parts below a line, from one gap to the next. */
function areas(points: (number | null)[], from: number, x: (i: number) => number, y: (v: number) => number, bottom: number): string[] {
  const all: string[] = [];
  let d = "";
  points.forEach((v, i) => {
    if (i < from) return;
    if (v === null || v === undefined) {
      if (d) all.push(d + `V${bottom}z`);
      d = "";
      return;
    }
    d += d ? `L${x(i).toFixed(1)} ${y(v).toFixed(1)}` : `M${x(i).toFixed(1)} ${bottom}V${y(v).toFixed(1)}`;
  });
  if (d) all.push(d + `V${bottom}z`);
  return all;
}
