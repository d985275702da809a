import type { Health as HealthReport } from "../api-types";
import { Table } from "../table";
import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";

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
    </Page>
  );
}
