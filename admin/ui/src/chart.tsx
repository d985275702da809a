import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import { plain, tick, time, zone } from "./format";
import { colour, shown } from "./theme";

export interface Line {
  name: string;
  points: (number | null)[];
  colour?: string;
}

export interface ChartProps {
  title: string;
  unit: string;
  window: string;
  /** Seconds since 1970. */
  times: number[];
  lines: Line[];
  height?: number;
  /** How many seconds the chart shows up to its last point; all of them if it is missing. */
  span?: number;
  /** Called with the chosen span when the operator drags over the chart. */
  zoom?(from: number, to: number): void;
}

// Colours mean states elsewhere: lines differ by their dashes first.
const palette = ["accent", "text", "muted", "accent", "text", "muted"];
const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [1, 4]];

/** Chart draws at most 6 lines from zero, with their names at their ends, and says in a sentence and a table what it shows. */
export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [at, setAt] = useState<number | null>(null);
  const lines = props.lines.slice(0, 6);
  const span = props.span ?? (props.times.length > 1 ? props.times[props.times.length - 1] - props.times[0] : 60);
  const look = shown.value + zone.value + lines.map((l) => l.name).join("\n");

  useEffect(() => {
    const el = box.current!;
    const u = new uPlot(options(props, lines, span, el.clientWidth, setAt), data(props, lines), el);
    plot.current = u;
    const resized = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height: props.height ?? 200 }));
    resized.observe(el);
    return () => {
      resized.disconnect();
      u.destroy();
    };
  }, [look, props.unit, props.height, span > 600, span > 3 * 86400]);

  useEffect(() => plot.current?.setData(data(props, lines)), [props.times, props.lines]);

  const step = (e: KeyboardEvent) => {
    const u = plot.current;
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
    if (!u || !by) return;
    e.preventDefault();
    const end = props.times.length - 1;
    const i = Math.min(end, Math.max(0, (at ?? end + 1) + by));
    u.setCursor({ left: u.valToPos(props.times[i], "x"), top: 0 });
  };
  const read = at !== null && props.times[at] !== undefined ? `${time(new Date(props.times[at] * 1000).toISOString())}: ` + lines.map((l) => `${lines.length > 1 ? l.name + " " : ""}${plain(l.points[at], props.unit)}`).join(", ") : "";
  const last = lines.map((l) => `${l.name} ${plain(l.points.findLast((p) => p !== null), props.unit)}`).join(", ");
  return (
    <figure class="chart" style={{ margin: 0 }}>
      <figcaption>
        <b>{props.title}</b> <span class="muted">{[scaled.has(props.unit) ? "" : props.unit, props.window].filter(Boolean).join(", ")}</span>
        <span class="read num" role="status">{read}</span>
      </figcaption>
      <div ref={box} class="plot" role="img" tabIndex={0} onKeyDown={step} onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })} aria-label={`${props.title}, ${props.window}. Last: ${last || "no data"}.`} />
      <details class="data">
        <summary>Data as a table</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label={props.title + ", data"}>
          <table>
            <thead>
              <tr><th scope="col">Time</th>{lines.map((l) => <th scope="col" class="num" key={l.name}>{l.name}</th>)}</tr>
            </thead>
            <tbody>
              {props.times.slice(-60).map((t, i, all) => (
                <tr key={t}>
                  <td>{time(new Date(t * 1000).toISOString())}</td>
                  {lines.map((l) => <td class="num" key={l.name}>{plain(l.points[props.times.length - all.length + i], props.unit)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

/** Units whose ticks name a scaled unit themselves. */
const scaled = new Set(["us", "ms", "seconds", "bytes", "count", "ratio"]);

/** Seconds between two ticks. */
const ticks = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000];

const data = (p: ChartProps, lines: Line[]): uPlot.AlignedData => [p.times, ...lines.map((l) => l.points)] as uPlot.AlignedData;

function options(p: ChartProps, lines: Line[], span: number, width: number, pointed: (i: number | null) => void): uPlot.Options {
  const font = "12px system-ui, sans-serif";
  const muted = colour("muted");
  const axis = { stroke: muted, font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: p.height ?? 200,
    legend: { show: false },
    padding: [8, lines.length > 1 ? 104 : 24, 0, 0],
    cursor: { y: false, drag: { x: !!p.zoom, y: false, setScale: false }, points: { size: 6 }, sync: { key: "page" } },
    scales: { x: { time: true, range: p.span ? (_, __, max) => [(max ?? Date.now() / 1000) - p.span!, max ?? Date.now() / 1000] : undefined }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 28, incrs: ticks, space: Math.max(72, width / 6), values: (_, at) => at.map((t) => tick(t, span)) },
      { ...axis, size: (_, texts) => 16 + 7 * Math.max(2, ...(texts ?? []).map((t) => t.length)), space: 40, values: (_, at) => at.map((t) => plain(t, scaled.has(p.unit) ? p.unit : "")) },
    ],
    series: [
      {},
      ...lines.map((l, i) => ({
        label: l.name,
        stroke: colour(l.colour ?? palette[i]),
        width: 1.5,
        dash: dashes[i],
        spanGaps: false,
        points: { show: false },
        fill: lines.length === 1 ? colour("accent") + "1f" : undefined,
      })),
    ],
    hooks: {
      setSelect: [
        (u) => {
          if (!p.zoom || u.select.width < 8) return;
          p.zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [(u) => pointed(u.cursor.idx ?? null)],
      draw: [(u) => lines.length > 1 && names(u, lines)],
    },
  };
}

/** names writes each line's name at its end, moved apart where ends are close. */
function names(u: uPlot, lines: Line[]): void {
  const ctx = u.ctx;
  const px = devicePixelRatio || 1;
  const ends = lines
    .map((l, i) => ({ l, i, y: end(u, l) }))
    .filter((e) => Number.isFinite(e.y))
    .sort((a, b) => a.y - b.y);
  ctx.save();
  ctx.font = `${12 * px}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  let free = -Infinity;
  for (const e of ends) {
    const y = Math.max(e.y, free);
    free = y + 14 * px;
    ctx.fillStyle = colour(e.l.colour ?? palette[e.i]);
    const name = e.l.name.length > 14 ? e.l.name.slice(0, 13) + "…" : e.l.name;
    ctx.fillText(name, u.bbox.left + u.bbox.width + 6 * px, y);
  }
  ctx.restore();
}

function end(u: uPlot, l: Line): number {
  const last = l.points.findLast((p) => p !== null);
  return last === undefined || last === null ? NaN : u.valToPos(last, "y", true);
}
