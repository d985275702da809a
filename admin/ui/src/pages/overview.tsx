import { useEffect, useMemo, useState } from "preact/hooks";
import type { Run, SeriesReport, StorageReport } from "../api-types";
import { Chart } from "../chart";
import { useGet } from "../load";
import { useLive } from "../live";
import { Failure, KeyFigure, Page, Segments, State, Waiting, When, windows, type Figure } from "../parts";
import { href, route, setQuery } from "../router";
import { whole, words } from "../series";
import { me, may, offered } from "../session";
import { Table, TenantLink, value } from "../table";
import { useUnhealthy } from "./health";
import { Ranking } from "./performance";
import { RunsTable } from "./runs";
import { Activities, type Activity } from "../timeline";

export interface TenantInfo {
  id: string;
  slug: string;
  name: string;
  status: string;
  plan?: string;
  tags?: string[];
}

type TenantFigure = TenantInfo & { figure: Figure };
interface Usage { total?: Figure; tenants: TenantFigure[] }

interface Instance { name: string; started: string; missing: boolean; ended?: boolean; cpu_ns: number; rss: number; heap: number }

interface OverviewReport {
  total_tenants?: Figure;
  active_tenants?: Figure;
  by_status: Record<string, number>;
  total_databases?: Figure;
  memory_usage: Usage;
  cpu_usage: Usage;
  storage_usage: Usage;
  requests?: Figure;
  errors?: Figure;
  top_active_tenants: (TenantInfo & { usage: Record<string, Figure> })[];
  recent_activities: Activity[];
  instances?: Instance[];
  attention?: { kind: string; text: string; since?: string }[];
}

/** Now is what all instances do together in these seconds. */
export interface Now {
  total: { [figure: string]: Figure };
  tenants: (TenantInfo & { usage: { [figure: string]: Figure } })[];
  instances?: { name: string; missing: boolean }[];
}

interface Point { t: number; rps: number | null; eps: number | null }

/** The rates that were seen lately, by session and topic: a page that is shown again goes on where it was. */
const seen = new Map<string, Point[]>();
const none: Point[] = [];

/** useRates keeps the rates of the last minutes of a topic, and marks breaks with a gap. */
export function useRates(topic: string, frame: { time: string; data: Now } | undefined): Point[] {
  const key = `${me.value?.session.id} ${topic}`;
  const [, draw] = useState(0);
  useEffect(() => {
    if (!frame) return;
    const all = seen.get(key) ?? none;
    const t = +new Date(frame.time) / 1000;
    const last = all[all.length - 1];
    if (last && t <= last.t) return;
    const gap = last && t - last.t > 5 ? [{ t: last.t + 1, rps: null, eps: null }] : [];
    const { requests, errors } = frame.data.total;
    seen.delete(key); // the map's order is that of use
    seen.set(key, [...all, ...gap, { t, rps: requests?.value ?? null, eps: errors?.value ?? null }].slice(-300));
    if (seen.size > 8) seen.delete(seen.keys().next().value!);
    draw(t);
  }, [frame?.time, key]);
  return seen.get(key) ?? none;
}

export function Overview() {
  const { data: o, error, loading, reload } = useGet<OverviewReport>("analytics/overview", {}, 10);
  const live = useLive<Now>("totals");
  const [later, setLater] = useState(false); // what is asked and drawn once the figures are on the screen
  useEffect(() => {
    if (o) requestAnimationFrame(() => setTimeout(() => setLater(true)));
  }, [!o]);
  const sick = useUnhealthy(3, 30, later).data;
  const points = useRates("totals", live);
  const missing = live?.data.instances?.filter((i) => i.missing).map((i) => i.name) ?? [];
  const scope = me.value?.scope;
  const below = useMemo(() => o && <Below of={o} />, [o]); // a frame of the stream changes nothing there
  const whose = scope && !scope.all ? "of your tenants" : undefined;
  return (
    <Page title="Overview">
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !o} lines={4} />
      {o && (
        <>
          {!!o.attention?.length && (
            <section aria-label="Needs attention">
              {o.attention.map((a) => (
                <div class="notice warn" key={a.kind + a.text}>{a.text} {a.since && <span class="muted small"><When at={a.since} /></span>} {fixes[a.kind] && <a href={href(fixes[a.kind][0], fixes[a.kind][2])}>{fixes[a.kind][1]}</a>}</div>
              ))}
            </section>
          )}
          {!!sick?.total && (
            <div class="notice warn">
              {sick.total === 1 ? "A tenant is" : `${sick.total.toLocaleString("en")} tenants are`} degraded or unreachable: {sick.tenants.map((t, i) => [i > 0 && ", ", <TenantLink key={t.id} id={t.id} name={t.name || t.slug} />])}{sick.total > sick.tenants.length ? ", …" : "."}
              {me.value?.scope.all && <> <a href={href(["health"])}>See the unhealthy</a></>}
            </div>
          )}
          <section aria-label="Totals">
            <dl class="figures">
              <KeyFigure name="Tenants" f={o.total_tenants} unit="" note={whose ?? statuses(o.by_status)} />
              <KeyFigure name="Active" f={o.active_tenants} unit="" />
              <KeyFigure name="Requests a second" f={live?.data.total.requests} unit="" note={live ? "now" : "waiting for the stream"} />
              <KeyFigure name="In flight" f={live?.data.total.in_flight ?? null} unit="" />
              <KeyFigure name="Mean latency" f={live?.data.total.latency_mean ?? null} note="now" />
              <KeyFigure name="Requests, last 24 h" f={o.requests} unit="" />
              <KeyFigure name="Server errors, last 24 h" f={o.errors} unit="" />
              <KeyFigure name="Databases" f={o.total_databases} unit="" />
              <KeyFigure name="Storage" f={o.storage_usage.total} note={o.storage_usage.total?.partial ? "of the databases measured so far" : undefined} />
              <KeyFigure name="Memory, accounted" f={o.memory_usage.total} />
              <KeyFigure name="CPU time, last 24 h" f={o.cpu_usage.total} />
            </dl>
          </section>
          <section>
            <h2>Now</h2>
            {missing.length > 0 && <div class="notice warn">Silent for three seconds or more, and not in these figures: {missing.join(", ")}.</div>}
            <div class="charts">
              <Chart title="Requests" unit="1/s" window="last 5 minutes, live" span={300} times={points.map((p) => p.t)} lines={[{ name: "requests", points: points.map((p) => p.rps) }]} />
              <Chart title="Server errors" unit="1/s" window="last 5 minutes, live" span={300} times={points.map((p) => p.t)} lines={[{ name: "errors", points: points.map((p) => p.eps), colour: "bad" }]} />
            </div>
          </section>
          {later && <OverTime />}
          {below}
        </>
      )}
    </Page>
  );
}

const overTime: { title: string; names: string[] }[] = [
  { title: "Requests", names: ["requests", "errors"] }, { title: "CPU time", names: ["cpu_time"] }, { title: "Time of statements", names: ["statement_time"] },
];

/** OverTime draws what all tenants used together. The room that databases take is known by the day. */
function OverTime() {
  const window = (route.value.query.get("window") ?? "24h") as (typeof windows)[number];
  const trends = useGet<SeriesReport>("analytics/trends", { window, names: overTime.flatMap((g) => g.names).join() }, 60);
  const days = ["1h", "24h"].includes(window) ? "7d" : window;
  const room = useGet<StorageReport>("analytics/storage", { window: days }, 300);
  return (
    <section aria-label="Over time">
      <div class="head" style={{ marginBottom: "12px" }}>
        <h2 style={{ margin: 0 }}>Over time</h2>
        <div class="tools"><Segments label="Window" value={window} of={windows} set={(w) => setQuery({ window: w })} /></div>
      </div>
      <Failure error={trends.error ?? room.error} retry={(byItself) => { trends.reload(byItself); room.reload(byItself); }} />
      <Waiting on={trends.loading && !trends.data} />
      {trends.data && !Object.keys(trends.data.series).length && <div class="empty">Nothing was counted in this window yet.</div>}
      <div class="charts">
        {overTime.map((g) => {
          const drawn = g.names.flatMap((name) => { const of = whole(trends.data, name); return of ? [{ ...of, name }] : []; });
          if (!drawn.length) return null;
          return <Chart key={g.title} title={g.title} unit={drawn[0].unit} window={"last " + window} times={drawn[0].times} lines={drawn.map((d) => ({ name: words(d.name), points: d.values, colour: d.name === "errors" ? "bad" : undefined }))} />;
        })}
        {room.data && room.data.days.length > 1 && <Chart title="Storage" unit="bytes" window={`by day, last ${days}`} times={room.data.days.map((d) => +new Date(d.day) / 1000)} lines={[{ name: "storage", points: room.data.days.map((d) => d.bytes) }]} />}
      </div>
    </section>
  );
}

/** Below is what the report alone shows. */
function Below({ of: o }: { of: OverviewReport }) {
  return (
    <>
      <section>
        <h2>Top tenants, last 24 hours</h2>
        <div class="tops">
          <Ranking title="Requests" rows={o.top_active_tenants} figure={(t) => t.usage?.requests} empty="Not measured yet." />
          {tops.map(([title, of]) => <Ranking key={of} title={title} rows={o[of].tenants} figure={(t) => t.figure} empty="Not measured yet." />)}
        </div>
      </section>
      {offered({ permission: "runs.read", part: "runs" }) && <Latest />}
      {may("activities.read") && (
        <section>
          <h2>Recent activity</h2>
          <Activities rows={o.recent_activities} />
        </section>
      )}
      {!!o.instances?.length && (
        <section>
          <h2>Instances</h2>
          <Table<Instance> label="Instances" rows={o.instances} id={(i) => i.name + i.started} of={[
            { title: "Instance", cell: (i) => <code>{i.name}</code> }, { title: "State", cell: (i) => <State name={i.ended ? "ended" : i.missing ? "missing" : "ok"} /> },
            { title: "Started", muted: true, cell: (i) => <When at={i.started} /> }, value("CPU time", (i) => i.cpu_ns / 1e9, "seconds"), value("Process memory", (i) => i.rss, "bytes"), value("Heap", (i) => i.heap, "bytes"),
          ]} />
        </section>
      )}
    </>
  );
}

/** Latest are the runs that were made last. */
function Latest() {
  const { data, error } = useGet<{ runs: Run[] }>("runs", { limit: 5 }, 5);
  return (
    <section>
      <h2>Runs</h2>
      <Failure error={error} />
      {data && <RunsTable rows={data.runs} />}
    </section>
  );
}

/** Where each kind of what needs attention is dealt with. */
const fixes: { [kind: string]: [path: string[], text: string, query?: { [name: string]: string }] } = {
  "part-unhealthy": [["health"], "See the parts"], "sealer-behind": [["health"], "See the parts"], "rescue-made": [["operators"], "See the operators"], "rescue-used": [["operators"], "See the operators"],
  "half-made": [["tenants"], "See the tenants", { filter: "status:provisioning" }], "half-purged": [["tenants"], "See the tenants", { filter: "status:purging" }],
};

const tops: [string, "storage_usage" | "cpu_usage" | "memory_usage"][] = [["Storage", "storage_usage"], ["CPU time", "cpu_usage"], ["Memory", "memory_usage"]];

const statuses = (by: Record<string, number>): string =>
  Object.entries(by).filter(([k]) => k !== "active").map(([k, n]) => `${n} ${k}`).join(", ");
