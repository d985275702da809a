import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";

interface HealthReport {
  healthy: boolean;
  parts: { name: string; healthy: boolean; since: string; checked_at: string }[];
  warnings: string[];
}

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
            {data.parts.length === 0 && <p class="muted">No part was checked yet.</p>}
            <table>
              <thead><tr><th scope="col">Part</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Checked</th></tr></thead>
              <tbody>
                {data.parts.map((p) => (
                  <tr key={p.name}><td>{p.name}</td><td><State name={p.healthy ? "ok" : "down"} /></td><td class="muted"><When at={p.since} /></td><td class="muted"><When at={p.checked_at} /></td></tr>
                ))}
              </tbody>
            </table>
          </section>
        </>
      )}
    </Page>
  );
}
