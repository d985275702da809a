import type { Months } from "../api-types";
import { Export } from "../export";
import { useGet } from "../load";
import { Failure, Page, State, Waiting } from "../parts";
import { Paging, cursorOf } from "../paging";
import { route, setQuery } from "../router";
import { words } from "../series";
import { may } from "../session";
import { Table, TenantLink, value } from "../table";

type Row = Months["tenants"][number];

const figures = ["requests", "errors", "bytes_out", "cpu_time", "statement_time", "storage_max"];

/** start is when the month begins that comes so many after another, in UTC. */
const start = (month: string, after: number): string => new Date(Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)) - 1 + after)).toISOString();

/** UsageReport is what tenants used in a calendar month, as for an invoice. */
export function UsageReport() {
  const q = route.value.query;
  const asked = q.get("month") ?? "";
  const month = /^\d{4}-(0[1-9]|1[0-2])$/.test(asked) ? asked : new Date().toISOString().slice(0, 7);
  const filter = q.get("filter") ?? "";
  const { data, error, loading, reload } = useGet<Months>("analytics/usage", { from: month, to: month, filter, limit: 100, cursor: cursorOf() });
  const set = (change: { [name: string]: string }) => setQuery({ cursor: "", ...change });
  const complete = data?.months.find((m) => m.month === month)?.complete;
  return (
    <Page title="Usage" tools={may("analytics.export") && <>
      {["csv", "jsonl"].map((format) => <Export key={format} path="analytics/usage/months/export" query={{ from: month, to: month, filter, format }} />)}
      {["day", "hour"].map((step) => <Export key={step} path="analytics/usage/export" query={{ from: start(month, 0), to: start(month, 1), filter, step, format: "csv" }} what={step + "s"} />)}
    </>}>
      <div class="row" style={{ marginBottom: "16px" }}>
        <input type="month" aria-label="Month" style={{ width: "auto" }} value={month} onChange={(e) => set({ month: e.currentTarget.value })} />
        <div class="grow"><input type="search" aria-label="Filter" placeholder="plan:pro tag:eu" value={filter} onChange={(e) => set({ filter: e.currentTarget.value.trim() })} /></div>
        {data && <span class="muted small">{data.total.toLocaleString("en")} tenants, months in UTC</span>}
        {data && <State name={complete ? "complete" : "not over yet"} />}
      </div>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      <Table<Row> label={"Usage in " + month} rows={data?.tenants} id={(r) => r.id} empty="No tenant matches." of={[
        { title: "Tenant", cell: (r) => <TenantLink id={r.id} name={r.name || r.slug} tab="usage" /> }, { title: "Plan", cell: (r) => r.plan || "–" },
        ...figures.map((f) => value<Row>(f === "storage_max" ? "Largest size" : words(f), (r) => r.usage[month]?.[f])),
      ]} />
      <Paging of={{ data, loading }} />
    </Page>
  );
}
