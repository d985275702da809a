import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import type { Reads, SeriesReport, Spread } from "../api-types";
import { Chart, type Line } from "../chart";
import { useFind } from "../find";
import { plain } from "../format";
import { useBehind, useGet } from "../load";
import { Failure, Page, Segments, Value, Waiting, windows } from "../parts";
import { route, setQuery } from "../router";
import { me } from "../session";
import { whole, words } from "../series";
import { Table, TenantLink, type Column } from "../table";

type Comparison = Reads["analytics/compare"];
type Compared = Comparison["tenants"][number];
type Changes = { [tenant: string]: Reads["analytics/change/{id}"] };

/** What is compared. Sums can be put per request; percentiles cannot. */
const figures = ["requests", "errors", "latency_p95", "cpu_time", "statement_time", "statements", "bytes_out", "wait_time"];
const sums = figures.filter((f) => f !== "latency_p95");
const modes = ["values", "medians", "per request"] as const;
const most = 6;

/** Compare lays two to six tenants over each other and puts their figures beside those of the others. */
export function Compare() {
  const q = route.value.query;
  const ids = [...new Set((q.get("tenants") ?? "").split(",").filter(Boolean))].slice(0, most);
  const window = (q.get("window") ?? "24h") as (typeof windows)[number];
  const wanted = q.get("figure") ?? "requests";
  const chosen = figures.includes(wanted) ? wanted : "requests";
  const mode = (modes as readonly string[]).includes(q.get("as") ?? "") ? (q.get("as") as (typeof modes)[number]) : "values";
  const enough = ids.length > 1;
  const beside = q.get("beside") === "before";
  const { data, error, loading, reload } = useGet<Comparison>(enough ? "analytics/compare" : null, { tenants: ids.join(), names: figures.join(), window }, 30);
  const series = useEach<SeriesReport>(enough ? ids : [], (id) => [`analytics/tenant/${encodeURIComponent(id)}/series`, { window, names: chosen === "requests" ? chosen : chosen + ",requests", points: 120 }]);
  const before = useEach<Reads["analytics/change/{id}"]>(enough && beside ? ids : [], (id) => [`analytics/change/${encodeURIComponent(id)}`, { window, names: figures.join() }]);
  const failed = error ?? series.error ?? before.error;
  const again = (byItself?: boolean) => {
    if (error) reload(byItself);
    if (series.error) series.reload(byItself);
    if (before.error) before.reload(byItself);
  };
  const choose = (next: string[]) => setQuery({ tenants: next.join() });
  const names = Object.fromEntries((data?.tenants ?? []).map((t) => [t.id, t.name || t.slug]));
  return (
    <Page title="Compare" tools={<Segments label="Window" value={window} of={windows} set={(w) => setQuery({ window: w })} />}>
      <div class="head tools">
        {ids.map((id) => (
          <span class="chip" key={id}>{names[id] ?? id.slice(-8)} <button type="button" class="plain" aria-label={"Leave out " + (names[id] ?? id)} onClick={() => choose(ids.filter((x) => x !== id))}>×</button></span>
        ))}
        {ids.length < most && <Add add={(id) => choose([...ids.filter((x) => x !== id), id])} />}
      </div>
      {!enough && <div class="empty">{ids.length ? "Add one more tenant to compare it with." : "Choose two to six tenants here, or check them on the tenants' page."}</div>}
      {enough && <Failure error={failed} retry={again} />}
      <Waiting on={enough && loading && !data} lines={4} />
      {enough && data && (
        <>
          <section>
            <div class="row" style={{ marginBottom: "16px" }}>
              <select aria-label="Figure" style={{ width: "auto" }} value={chosen} onChange={(e) => setQuery({ figure: e.currentTarget.value })}>
                {figures.filter((f) => data.scope[f]).map((f) => <option key={f} value={f}>{words(f)}</option>)}
              </select>
              <Segments label="Shown as" value={mode} of={modes} set={(m) => setQuery({ as: m })} />
            </div>
            {series.found && <Overlay data={data} ids={ids} series={series.found} figure={chosen} mode={mode} window={window} names={names} />}
          </section>
          <section>
            <div class="head"><h2>Figures, the largest differences first</h2><div class="tools"><Segments label="Beside each" value={beside ? "period before" : "median tenant"} of={["median tenant", "period before"]} set={(b) => setQuery({ beside: b === "period before" ? "before" : "" })} /></div></div>
            <Differences data={data} before={beside ? before.found ?? {} : undefined} />
          </section>
        </>
      )}
    </Page>
  );
}

/** useEach asks once for each tenant. found is undefined until all have answered, or one has failed. */
function useEach<T>(ids: string[], ask: (id: string) => [string, { [name: string]: string | number }]): { found?: { [id: string]: T }; error?: unknown; reload(byItself?: boolean): void } {
  const [state, set] = useState<{ key?: string; found?: { [id: string]: T }; error?: unknown }>({});
  const [turn, again] = useState({ byItself: false });
  const key = JSON.stringify(ids.map(ask));
  useEffect(() => {
    const stop = new AbortController();
    Promise.all(ids.map(async (id) => [id, await get<T>(...ask(id), stop.signal, turn.byItself)] as const)).then(
      (all) => set({ key, found: Object.fromEntries(all) }),
      (error) => stop.signal.aborted || set({ key, error }),
    );
    return () => stop.abort();
  }, [key, turn]);
  const late = state.found !== undefined && state.key !== key;
  useBehind(late);
  return { found: state.found, error: state.key === key ? state.error : undefined, reload: (byItself = false) => again({ byItself }) };
}

function Overlay({ data, ids, series, figure, mode, window, names }: { data: Comparison; ids: string[]; series: { [id: string]: SeriesReport }; figure: string; mode: (typeof modes)[number]; window: string; names: { [id: string]: string } }) {
  const spread = useGet<Spread>("analytics/spread", { window: !me.value?.scope.all && (window === "30d" || window === "90d") ? "7d" : window, names: figure }, 60).data;
  const found = ids.map((id) => ({ id, of: whole(series[id], figure), requests: whole(series[id], "requests") })).filter((s) => s.of);
  const first = found[0]?.of;
  if (!first) return <div class="empty">Nothing was counted in this window.</div>;
  const scope = data.scope[figure];
  const adds = sums.includes(figure);
  // How the median tenant fares, and the one that has more than nine of ten, is known by the hour. Sums are spread over the points of an hour.
  const hours = new Map((spread?.series[figure] ?? []).map((h) => [Math.floor(+new Date(h.at) / 3.6e6), h]));
  const step = first.times.length > 1 ? first.times[1] - first.times[0] : 3600;
  const hour = (i: number, of: "median" | "p90") => {
    const from = Math.floor(first.times[i] / 3600);
    const within = Array.from({ length: Math.max(1, Math.round(step / 3600)) }, (_, n) => hours.get(from + n)?.[of]).filter((v): v is number => v !== undefined);
    return within.length ? (within.reduce((a, b) => a + b) / within.length) * (adds ? step / 3600 : 1) : null;
  };
  // Until the first hour is over, the median is that of the window.
  const flat = scope ? scope.median / (adds ? first.times.length : 1) : 0;
  const medians = first.times.map((_, i) => (hours.size ? hour(i, "median") : flat));
  const known = medians.some((v) => v);
  const unit = mode === "medians" ? "× the median tenant" : first.unit;
  if (mode === "per request" && (!adds || figure === "requests")) return <div class="empty">{words(figure)} cannot be put per request. Choose another figure.</div>;
  if (mode === "medians" && !known) return <div class="empty">The median tenant has none of it in this window: nothing to measure by.</div>;
  const lines: Line[] = found.map(({ id, of, requests }) => ({
    name: names[id],
    points: first.times.map((_, i) => {
      const v = of!.values[i] ?? null; // of a tenant whose last point is not over yet there may be one more
      if (v === null || mode === "values") return v;
      if (mode === "medians") return medians[i] ? v / medians[i]! : null;
      const n = requests?.values[i];
      return n ? v / n : null;
    }),
  }));
  if (mode !== "per request" && known && lines.length < most) lines.push({ name: "median", points: medians.map((m) => (mode === "medians" ? m && 1 : m)), colour: "control" });
  const p90 = first.times.map((_, i) => hour(i, "p90"));
  if (mode === "values" && p90.some((v) => v) && lines.length < most) lines.push({ name: "p90 of all", points: p90, colour: "muted" });
  return <Chart title={words(figure)} unit={unit} window={"last " + window} times={first.times} lines={lines} height={280} />;
}

/** times writes a factor. */
const times = (n: number): string => (Math.abs(n) < 100 ? n.toFixed(1) : plain(Math.round(n))) + "×";

/** spread is by which factor the largest and the smallest differ. */
function spread(all: (number | undefined)[]): number {
  const known = all.filter((v): v is number => v !== undefined);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return known.length < 2 || high === low ? 0 : low > 0 ? high / low : Infinity;
}

function Differences({ data, before }: { data: Comparison; before?: Changes }) {
  const rows = figures.filter((f) => data.scope[f]).map((f) => ({ figure: f, by: spread(data.tenants.map((t) => t.figures[f]?.figure?.value)) })).sort((a, b) => b.by - a.by);
  const note = (t: Compared, f: string) => {
    if (before) {
      if (!before[t.id]) return ""; // not known yet, or the request failed
      const factor = before[t.id].change[f]?.factor;
      return factor ? `${times(factor)} before` : "nothing before";
    }
    const n = t.figures[f]?.normalised;
    return n === null || n === undefined ? "" : times(n);
  };
  const unit = (f: string) => data.tenants.find((t) => t.figures[f]?.figure)?.figures[f]?.figure?.unit ?? "";
  const tenants: Column<(typeof rows)[number]>[] = data.tenants.map((t) => ({
    title: t.name || t.slug,
    num: true,
    cell: (r) => <><Value f={t.figures[r.figure]?.figure} /><div class="muted small">{note(t, r.figure)}</div></>,
  }));
  const scope = (title: string, of: "median" | "p90" | "p99"): Column<(typeof rows)[number]> => ({ title, num: true, muted: true, cell: (r) => <Value f={data.scope[r.figure][of]} unit={unit(r.figure)} /> });
  return (
    <>
      <Table label="Figures of the tenants" rows={rows} id={(r) => r.figure} of={[{ title: "Figure", cell: (r) => words(r.figure) }, ...tenants, scope("Median", "median"), scope("p90", "p90"), scope("p99", "p99")]} empty="Nothing was counted in this window." />
      <p class="muted small" style={{ marginTop: "12px" }}>
        Median, p90 and p99 are of {Math.max(0, ...Object.values(data.scope).map((s) => s.tenants)).toLocaleString("en")} tenants of your scope that were used in the window. The pages of these tenants: {data.tenants.map((t, i) => <>{i > 0 && ", "}<TenantLink id={t.id} name={t.name || t.slug} tab="usage" /></>)}.
      </p>
    </>
  );
}

/** Add finds one more tenant. */
function Add({ add }: { add(id: string): void }) {
  const [text, setText] = useState("");
  const { hits, error, waiting } = useFind(text);
  const take = (id: string) => {
    add(id);
    setText("");
  };
  return (
    <form class="finder" onSubmit={(e) => { e.preventDefault(); if (hits[0]) take(hits[0].id); }}>
      <input aria-label="Add a tenant" placeholder="Add a tenant" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      {hits.length > 0 && <ul>{hits.map((h) => <li key={h.id}><button type="button" class="plain" onClick={() => take(h.id)}>{h.name || h.slug} <span class="muted small">{h.slug}</span></button></li>)}</ul>}
      {text.trim() && !waiting && !hits.length && (error ? <Failure error={error} /> : "Nothing has that name.")}
    </form>
  );
}
