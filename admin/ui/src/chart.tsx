import uPlot from "uplot";
import { useEffect, useRef } from "preact/hooks";
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

const palette = ["accent", "ok", "warn", "bad", "muted", "text"];
const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [1, 4]];

/** Chart draws at most 6 lines from zero, with their names at their ends, and says in a sentence and a table what it shows. */
export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const lines = props.lines.slice(0, 6);
  const span = props.span ?? (props.times.length > 1 ? props.times[props.times.length - 1] - props.times[0] : 60);
  const look = shown.value + zone.value + lines.map((l) => l.name).join("\n");

  useEffect(() => {
    const el = box.current!;
    const u = new uPlot(options(props, lines, span, el.clientWidth), data(props, lines), el);
    plot.current = u;
    const resized = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height: props.height ?? 200 }));
    resized.observe(el);
    return () => {
      resized.disconnect();
      u.destroy();
    };
  }, [look, props.unit, props.height, span > 600, span > 3 * 86400]);

  useEffect(() => plot.current?.setData(data(props, lines)), [props.times, props.lines]);

  const last = lines.map((l) => `${l.name} ${plain(l.points.findLast((p) => p !== null), props.unit)}`).join(", ");
  return (
    <figure class="chart" style={{ margin: 0 }}>
      <h3>
        {props.title} <span class="muted">{[scaled.has(props.unit) ? "" : props.unit, props.window].filter(Boolean).join(", ")}</span>
      </h3>
      <div ref={box} role="img" aria-label={`${props.title}, ${props.window}. Last: ${last || "no data"}.`} />
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

function options(p: ChartProps, lines: Line[], span: number, width: number): uPlot.Options {
  const font = "12px system-ui, sans-serif";
  const muted = colour("muted");
  const axis = { stroke: muted, font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: p.height ?? 200,
    legend: { show: false },
    padding: [8, lines.length > 1 ? 96 : 24, 0, 0],
    cursor: { y: false, drag: { x: !!p.zoom, y: false, setScale: false }, points: { size: 6 } },
    scales: { x: { time: true, range: p.span ? (_, __, max) => [(max ?? Date.now() / 1000) - p.span!, max ?? Date.now() / 1000] : undefined }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, incrs: ticks, space: Math.max(72, width / 6), values: (_, at) => at.map((t) => tick(t, span)) },
      { ...axis, size: 64, space: 40, values: (_, at) => at.map((t) => plain(t, p.unit === "1/s" ? "" : p.unit)) },
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
