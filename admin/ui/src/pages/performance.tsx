import { useGet } from "../load";
import { Failure, Page, Segments, Value, Waiting, windows, type Figure } from "../parts";
import { href, route, setQuery } from "../router";
import type { TenantInfo } from "./overview";

type Ranked = TenantInfo & { usage: { [name: string]: Figure } };

interface PerformanceReport {
  [list: string]: Ranked[] | unknown;
}

const lists: [string, string, string][] = [
  ["slowest", "Slowest, by p95", "latency_p95"],
  ["most_errors", "Most server errors", "errors"],
  ["most_waiting", "Longest waits for connections", "wait_time"],
  ["most_worsened", "Most worsened", "latency_p95"],
];

export function Performance() {
  const window = (route.value.query.get("window") ?? "24h") as (typeof windows)[number];
  const { data, error, loading, reload } = useGet<PerformanceReport>("analytics/performance", { window }, 15);
  return (
    <Page title="Performance" tools={<Segments label="Window" value={window} of={windows} set={(w) => setQuery({ window: w })} />}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      {data && (
        <div class="charts">
          {lists.map(([key, title, column]) => {
            const rows = data[key] as Ranked[] | undefined;
            return (
              <div key={key}>
                <h2>{title}</h2>
                {!rows?.length ? <p class="muted">None in this window.</p> : (
                  <table>
                    <thead class="sr"><tr><th scope="col">Tenant</th><th scope="col">{title}</th></tr></thead>
                    <tbody>{rows.map((t) => <tr key={t.id}><td><a href={href(["tenants", t.id], { tab: "performance" })}>{t.name}</a></td><td class="num"><Value f={t.usage[column]} unit={t.usage[column]?.unit === "count" ? "" : undefined} /></td></tr>)}</tbody>
                  </table>
                )}
              </div>
            );
          })}
        </div>
      )}
    </Page>
  );
}
