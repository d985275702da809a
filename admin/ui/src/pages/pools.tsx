import type { Reads } from "../api-types";
import { plain } from "../format";
import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { wired } from "../session";
import { Share, Table, TenantLink, useNames, value } from "../table";

type Pools = Reads["pools"];
type Pool = Pools["pools"][number];
type Hot = Pools["tenants"][number];

/** Connections shows what processes have: their connections to servers, and themselves. */
export function Connections() {
  const { data, error, loading, reload } = useGet<Pools>("pools", {}, 2);
  const names = useNames(data?.tenants.map((t) => t.tenant));
  const waiting = data?.tenants.filter((t) => t.waiting > 0 || t.down) ?? [];
  const hot = data?.tenants.filter((t) => t.heat > 0).sort((a, b) => b.heat - a.heat) ?? [];
  const of = [
    { title: "Tenant", cell: (t: Hot) => <TenantLink id={t.tenant} name={names[t.tenant]?.name} tab="database" /> },
    { title: "Server", cell: (t: Hot) => t.server },
    { title: "State", cell: (t: Hot) => <State name={t.down ? "down" : t.waiting ? "waiting" : "ok"} /> },
    value<Hot>("Waiting", (t) => t.waiting || null),
    value<Hot>("Connections", (t) => t.conns),
    value<Hot>("Idle", (t) => t.idle),
    { title: "Heat", num: true, cell: (t: Hot) => t.heat.toFixed(1) },
  ];
  return (
    <Page title="Connections" tools={<span class="muted small">of the instance that answers</span>}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      {data && (
        <>
          <section>
            <h2>Servers, now</h2>
            <Table<Pool> label="Servers" rows={data.pools} id={(p) => p.server} empty="The pool knows no server." of={[
              { title: "Server", cell: (p) => <>{p.server}{p.replica && <span class="muted"> read replica</span>}</> },
              { title: "Breaker", cell: (p) => <State name={p.breaker || "closed"} /> },
              { title: "Open of the budget", cell: (p) => <Share of={p.conns} whole={p.budget} label={`${p.conns} of ${p.budget}`} /> },
              value("Budget", (p) => p.budget), value("In use", (p) => p.in_use), value("Idle", (p) => p.idle), value("Dialling", (p) => p.dialing), value("Waiting", (p) => p.waiting),
              value("Borrowed", (p) => p.borrowed), value("Lag", (p) => p.lag_seconds, "seconds"),
            ]} />
          </section>
          <section>
            <h2>Servers, since the start of the instance</h2>
            <Table<Pool> label="Servers since the start" rows={data.pools} id={(p) => p.server} of={[
              { title: "Server", cell: (p) => p.server },
              value("Requests", (p) => p.requests),
              { title: "Dials", num: true, cell: (p) => <>{plain(p.dials)}<span class="unit">{p.requests ? `${plain((p.dials / p.requests) * 100, "percent")} of requests` : ""}</span></> },
              value("Failed dials", (p) => p.failures), value("Switches", (p) => p.switches), value("Evictions", (p) => p.evictions), value("Waits", (p) => p.waits),
              value("Mean wait", (p) => (p.waits ? p.wait_seconds / p.waits : null), "seconds"), value("Refused", (p) => p.refused), value("Gave up", (p) => p.gave_up),
            ]} />
          </section>
          <section>
            <h2>Tenants that wait</h2>
            {waiting.length ? <Table label="Tenants that wait" rows={waiting} id={(t) => t.tenant + t.server} of={of} /> : <p class="muted">Nobody waits for a connection.</p>}
          </section>
          <section>
            <h2>Hot tenants</h2>
            <Table label="Hot tenants" rows={hot} id={(t) => t.tenant + t.server} of={of} empty="No tenant uses a connection." />
          </section>
          {wired("reports") && <Instances />}
        </>
      )}
    </Page>
  );
}

type Instance = Reads["instances"]["instances"][number];

function Instances() {
  const { data, error, loading } = useGet<Reads["instances"]>("instances", {}, 5);
  return (
    <section>
      <h2>Instances of the last hour</h2>
      <Failure error={error} />
      <Waiting on={loading && !data} />
      <Table<Instance> label="Instances" rows={data?.instances} id={(i) => i.name + i.started_at} empty="No instance has written figures." of={[
        { title: "Instance", cell: (i) => <code>{i.name}</code> },
        { title: "State", cell: (i) => <State name={i.ended ? "ended" : i.missing ? "missing" : "ok"} /> },
        { title: "Started", muted: true, cell: (i) => <When at={i.started_at} /> },
        { title: "Wrote", muted: true, cell: (i) => <When at={i.written_at} /> },
        value("CPU time", (i) => i.cpu_seconds, "seconds"),
        value("Process memory", (i) => i.rss, "bytes"),
        value("Heap", (i) => i.heap, "bytes"),
        value("Clock ahead", (i) => i.clock_ahead_seconds, "seconds"),
      ]} />
    </section>
  );
}
