import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { href } from "../router";

interface Check {
  name: string;
  state: string;
  detail?: string;
  since?: string;
  checked_at?: string;
}

interface HealthReport {
  state: string;
  checks: Check[];
  tenants?: { id: string; slug: string; state: string; reasons?: string[]; since?: string }[];
}

export function Health() {
  const { data, error, loading, reload } = useGet<HealthReport>("health", {}, 5);
  return (
    <Page title="Health" tools={data && <State name={data.state} />}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      {data && (
        <>
          <section>
            <h2>Parts</h2>
            {data.checks.length === 0 && <p class="muted">The application has wired no checks.</p>}
            <table>
              <thead><tr><th scope="col">Part</th><th scope="col">State</th><th scope="col">Why</th><th scope="col">Since</th></tr></thead>
              <tbody>{data.checks.map((c) => <tr key={c.name}><td>{c.name}</td><td><State name={c.state} /></td><td>{c.detail}</td><td class="muted"><When at={c.since} /></td></tr>)}</tbody>
            </table>
          </section>
          {data.tenants && (
            <section>
              <h2>Tenants that need attention</h2>
              {data.tenants.length === 0 ? <p class="muted">None.</p> : (
                <table>
                  <thead><tr><th scope="col">Tenant</th><th scope="col">State</th><th scope="col">Why</th><th scope="col">Since</th></tr></thead>
                  <tbody>{data.tenants.map((t) => <tr key={t.id}><td><a href={href(["tenants", t.id])}>{t.slug}</a></td><td><State name={t.state} /></td><td>{t.reasons?.join(", ")}</td><td class="muted"><When at={t.since} /></td></tr>)}</tbody>
                </table>
              )}
            </section>
          )}
        </>
      )}
    </Page>
  );
}
