import type { Health as HealthReport, Reads, TenantHealth } from "../api-types";
import { Table, TenantLink, value } from "../table";
import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { may, wired } from "../session";

export function Health() {
  const { data, error, loading, reload } = useGet<HealthReport>("health", {}, 5);
  return (
    <Page title="Health" tools={data && <State name={data.healthy ? "healthy" : "degraded"} />}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      {data && (
        <>
          {data.warnings.map((w) => <div class="notice warn" key={w}>{w}</div>)}
          <section>
            <h2>Parts</h2>
            <Table label="Parts" rows={data.parts} id={(p) => p.name} empty="No part was checked yet." of={[
              { title: "Part", cell: (p) => p.name }, { title: "State", cell: (p) => <State name={p.healthy ? "ok" : "down"} /> }, { title: "Since", muted: true, cell: (p) => <When at={p.since} /> }, { title: "Checked", muted: true, cell: (p) => <When at={p.checked_at} /> },
            ]} />
          </section>
        </>
      )}
      <Unhealthy />
    </Page>
  );
}

/** useUnhealthy asks which active tenants are degraded or unreachable, the worst first; for who may know. */
export const useUnhealthy = (limit: number, every: number, on = true) =>
  useGet<Reads["analytics/health"]>(on && wired("reports") && may("health.read") ? "analytics/health" : null, { unhealthy: "yes", limit }, every);

function Unhealthy() {
  const { data, error, loading, reload } = useUnhealthy(100, 15);
  if (!wired("reports")) return null;
  return (
    <section>
      <h2>Unhealthy tenants</h2>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      <Table<TenantHealth> label="Unhealthy tenants" rows={data?.tenants} id={(t) => t.id} empty="No active tenant is degraded or unreachable." of={[
        { title: "Tenant", cell: (t) => <TenantLink id={t.id} name={t.name || t.slug} /> }, { title: "Health", cell: (t) => <State name={t.health} /> },
        { title: "Why", wide: true, cell: (t) => t.reasons.map((r) => r.text).join(" ") }, { title: "Since", muted: true, cell: (t) => (t.reasons[0] ? <When at={t.reasons[0].since} /> : "–") },
        value("Requests, 15 min", (t) => t.requests), value("Server errors, 15 min", (t) => t.errors),
      ]} />
      {data && data.total > data.tenants.length && <p class="muted small">The worst {data.tenants.length.toLocaleString("en")} of {data.total.toLocaleString("en")}.</p>}
    </section>
  );
}
