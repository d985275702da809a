import { useEffect, useMemo, useState } from "preact/hooks";
import { Chart } from "../chart";
import { useGet } from "../load";
import { useLive } from "../live";
import { Failure, KeyFigure, Page, Waiting, When, type Figure } from "../parts";
import { href } from "../router";
import { me, may } from "../session";
import { Ranking } from "./performance";
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
  attention?: { kind: string; text: string; since?: string }[];
}

/** Now is what all instances do together in these seconds. */
export interface Now {
  total: { [figure: string]: Figure };
  tenants: (TenantInfo & { usage: { [figure: string]: Figure } })[];
  instances?: { name: string; missing: boolean }[];
}

interface Point { t: number; rps: number | null; eps: number | null }

/** useRates keeps the rates of the last minutes, and marks breaks with a gap. */
export function useRates(frame: { time: string; data: Now } | undefined, of: (now: Now) => { [figure: string]: Figure } | undefined = (now) => now.total, keep = 300): Point[] {
  const [points, set] = useState<Point[]>([]);
  useEffect(() => {
    if (!frame) return;
    const t = +new Date(frame.time) / 1000;
    const usage = of(frame.data);
    const point = { t, rps: usage?.requests?.value ?? null, eps: usage?.errors?.value ?? null };
    set((all) => {
      const last = all[all.length - 1];
      if (last && t <= last.t) return all;
      const gap = last && t - last.t > 5 ? [{ t: last.t + 1, rps: null, eps: null }] : [];
      return [...all, ...gap, point].slice(-keep);
    });
  }, [frame?.time]);
  return points;
}

export function Overview() {
  const { data: o, error, loading, reload } = useGet<OverviewReport>("analytics/overview", {}, 10);
  const live = useLive<Now>("totals");
  const points = useRates(live);
  const last = points.findLast((p) => p.rps !== null);
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
                <div class="notice warn" key={a.kind + a.text}>{a.text} {a.since && <span class="muted small"><When at={a.since} /></span>} {fixes[a.kind] && <a href={href(fixes[a.kind][0])}>{fixes[a.kind][1]}</a>}</div>
              ))}
            </section>
          )}
          <section aria-label="Totals">
            <dl class="figures">
              <KeyFigure name="Tenants" f={o.total_tenants} unit="" note={whose ?? statuses(o.by_status)} />
              <KeyFigure name="Active" f={o.active_tenants} unit="" />
              <KeyFigure name="Requests a second" f={last?.rps ?? null} note={last ? "now" : "waiting for the stream"} />
              <KeyFigure name="In flight" f={live?.data.total.in_flight ?? null} unit="" />
              <KeyFigure name="Mean latency" f={live?.data.total.latency_mean ?? null} note="now" />
              <KeyFigure name="Requests, last 24 h" f={o.requests} unit="" />
              <KeyFigure name="Server errors, last 24 h" f={o.errors} unit="" />
              <KeyFigure name="Databases" f={o.total_databases} unit="" />
              <KeyFigure name="Storage" f={o.storage_usage.total} />
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
          {below}
        </>
      )}
    </Page>
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
      {may("activities.read") && (
        <section>
          <h2>Recent activity</h2>
          <Activities rows={o.recent_activities} />
        </section>
      )}
    </>
  );
}

/** Where each kind of what needs attention is dealt with. */
const fixes: { [kind: string]: [path: string[], text: string] } = {
  "part-unhealthy": [["health"], "See the parts"], "sealer-behind": [["health"], "See the parts"], "rescue-made": [["operators"], "See the operators"], "rescue-used": [["operators"], "See the operators"],
};

const tops: [string, "storage_usage" | "cpu_usage" | "memory_usage"][] = [["Storage", "storage_usage"], ["CPU time", "cpu_usage"], ["Memory", "memory_usage"]];

const statuses = (by: Record<string, number>): string =>
  Object.entries(by).filter(([k]) => k !== "active").map(([k, n]) => `${n} ${k}`).join(", ");
