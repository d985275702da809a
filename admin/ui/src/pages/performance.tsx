import type { Neighbours, Performance as Report, Statement, TenantUsage } from "../api-types";
import { plain, time } from "../format";
import { useGet } from "../load";
import { Failure, Page, Segments, Value, Waiting, windows, type Figure } from "../parts";
import { href, route, setQuery } from "../router";
import { may } from "../session";
import { Table, TenantLink, useNames, value } from "../table";

const lists: [keyof Report, string, string][] = [
  ["slowest", "Slowest, by p95", "latency_p95"],
  ["most_worsened", "Most worsened p95", "latency_p95"],
  ["most_errors", "Most server errors", "errors"],
  ["most_waiting", "Longest waits for connections", "wait_time"],
];

export function Performance() {
  const window = (route.value.query.get("window") ?? "24h") as (typeof windows)[number];
  const { data, error, loading, reload } = useGet<Report>("analytics/performance", { window }, 15);
  const names = useNames(data?.slowest_statements?.map((s) => s.tenant_id));
  return (
    <Page title="Performance" tools={<Segments label="Window" value={window} of={windows} set={(w) => setQuery({ window: w })} />}>
      <Noisy />
      <section>
        <h2>Served worst, last {window}</h2>
        <Failure error={error} retry={reload} />
        <Waiting on={loading && !data} />
        {data && (
          <div class="tops">
            {lists.map(([key, title, column]) => <Ranking key={key} title={title} rows={data[key] as (TenantUsage & { factor?: number })[] | null} figure={(t) => t.usage[column]} />)}
          </div>
        )}
      </section>
      {data?.slowest_statements && (
        <section>
          <h2>Slowest statements, last {window}</h2>
          <Statements rows={data.slowest_statements} names={names} />
        </section>
      )}
    </Page>
  );
}

/** Statements are the slowest ones, without what was in them. */
export function Statements({ rows, names }: { rows: Statement[]; names?: ReturnType<typeof useNames> }) {
  return (
    <Table<Statement> label="Slowest statements" rows={rows} id={(s) => s.tenant_id + s.fingerprint} empty="No statements were noted in this window." of={[
      { title: "Statement", wide: true, cell: (s) => <code>{s.text}</code> },
      names && { title: "Tenant", cell: (s) => <TenantLink id={s.tenant_id} name={names[s.tenant_id]?.name || names[s.tenant_id]?.slug} tab="performance" /> },
      value("Longest", (s) => s.longest), value("Calls", (s) => s.calls), value("Errors", (s) => s.errors), value("Time of all", (s) => s.time),
    ]} />
  );
}

/** Ranking lists tenants by one figure. */
export function Ranking<T extends { id: string; slug: string; name?: string; factor?: number }>({ title, rows, figure: of, empty = "None in this window." }: { title: string; rows?: T[] | null; figure(t: T): Figure | null | undefined; empty?: string }) {
  return (
    <div>
      <h3>{title}</h3>
      {!rows?.length ? <p class="muted">{empty}</p> : (
        <table>
          <thead class="sr"><tr><th scope="col">Tenant</th><th scope="col">{title}</th></tr></thead>
          <tbody>
            {rows.slice(0, 8).map((t) => (
              <tr key={t.id}><td><TenantLink id={t.id} name={t.name || t.slug} /></td><td class="num"><Value f={of(t)} />{t.factor && <span class="unit">{plain(t.factor)}×</span>}</td></tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

type Slowed = Neighbours["noisy"][number]["slowed"][number];

/** Noisy shows tenants that took most of what they share while others became slow, with the evidence and what can be done. */
function Noisy() {
  const { data, error, loading, reload } = useGet<Neighbours>("analytics/neighbours", {}, 30);
  return (
    <section>
      <h2>Neighbours</h2>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={1} />
      {data?.noisy.length === 0 && <p class="muted">In the five minutes before {time(data.period.to)}, nobody took most of a server or of an instance while others became slow.</p>}
      {data?.noisy.map((n) => (
        <div class="notice warn" key={n.id + n.resource + n.on}>
          <p>
            <TenantLink id={n.id} name={n.name || n.slug} tab="performance" /> took <b>{plain(n.share, "ratio")}</b> of the {n.resource === "cpu_time" ? "CPU time" : "time of statements"}{n.on && ` of ${n.on}`} ({plain(n.used?.value, n.used?.unit)} of {plain(n.total?.value, n.total?.unit)}), while the p95 of {n.slowed_total} of {n.compared} others at least doubled.
          </p>
          <Table<Slowed> label={"Tenants that became slow beside " + n.slug} rows={n.slowed.slice(0, 5)} id={(s) => s.id} of={[
            { title: "Tenant", cell: (s) => <TenantLink id={s.id} name={s.name || s.slug} tab="performance" /> },
            value("p95 now", (s) => s.latency_p95), value("The 24 hours before", (s) => s.latency_p95_before), { title: "Slower", num: true, cell: (s) => s.factor.toFixed(1) + "×" }, value("Requests", (s) => s.requests),
          ]} />
          <div class="row">
            {may("tenants.limits") && <a class="button" href={href(["tenants", n.id], { tab: "limits" })}>Limit</a>}
            {may("tenants.status") && <a class="button" href={href(["tenants", n.id], { do: "suspend" })}>Suspend</a>}
            <a class="button" href={href(["compare"], { tenants: [n.id, ...n.slowed.slice(0, 5).map((s) => s.id)].join(), figure: "latency_p95", window: "1h" })}>Compare</a>
          </div>
        </div>
      ))}
      {!!data?.noisy.length && <p class="muted small">{data.note}</p>}
    </section>
  );
}
