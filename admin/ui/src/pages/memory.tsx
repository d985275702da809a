import type { MemoryReport, SeriesReport } from "../api-types";
import { Chart } from "../chart";
import { useGet } from "../load";
import { Failure, how, KeyFigure, Page, Segments, Value, Waiting, windows, type Figure } from "../parts";
import { route, setQuery } from "../router";
import { whole, words } from "../series";
import { Share, Table, TenantLink, value } from "../table";

const sum = (all: (Figure | null | undefined)[]): number | null => {
  const known = all.filter((f): f is Figure => !!f);
  return known.length ? known.reduce((n, f) => n + (f.value ?? 0), 0) : null;
};

type Instance = NonNullable<MemoryReport["instances"]>[number];

/** Memory shows whose memory the processes hold, and what belongs to nobody. */
export function Memory() {
  const window = (route.value.query.get("window") ?? "24h") as (typeof windows)[number];
  const { data, error, loading, reload } = useGet<MemoryReport>("analytics/memory", {}, 5);
  const trend = useGet<SeriesReport>("analytics/trends", { window, names: "memory_bytes" }, 60);
  const over = whole(trend.data, "memory_bytes");
  const instances = data?.instances ?? [];
  const heap = sum(instances.map((i) => i.heap));
  const accounted = data?.tenants.total?.value ?? null;
  const rest = sum(instances.map((i) => i.remainder));
  const kinds = [...new Set(instances.flatMap((i) => Object.keys(i.kinds ?? {})))].sort();
  const ofKind = (k: string) => sum(instances.map((i) => i.kinds?.[k]));
  type Row = { id: string; name?: string; bytes: number | null };
  const rows: Row[] = (data?.tenants.tenants ?? []).map((t) => ({ id: t.id, name: t.name, bytes: t.figure?.value ?? null }));
  if (heap !== null) rows.push({ id: "", bytes: Math.max(0, heap - rows.reduce((n, r) => n + (r.bytes ?? 0), 0)) });
  return (
    <Page title="Memory" tools={<Segments label="Window" value={window} of={windows} set={(w) => setQuery({ window: w })} />}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      {data && (
        <>
          <section>
            <dl class="figures">
              <KeyFigure name="Processes" f={sum(instances.map((i) => i.rss))} unit="bytes" note={`resident, of ${instances.length} ${instances.length === 1 ? "instance" : "instances"}`} />
              <KeyFigure name="Heap" f={heap} unit="bytes" note="live objects of Go" />
              <KeyFigure name="Held by tenants" f={accounted} unit="bytes" note={accounted === null ? "not measured" : "at most, accounted"} />
              <KeyFigure name="Not of the heap" f={rest} unit="bytes" note="stacks, runtime, other libraries" />
            </dl>
          </section>
          <section>
            <h2>By tenant</h2>
            {accounted === null && <p class="muted">The application accounts for no tenant's memory yet, so all of the heap is nobody's in particular.</p>}
            <Table<Row> label="Memory by tenant" rows={rows} id={(r) => r.id || "rest"} empty="Nothing is known about memory yet." of={[
              { title: "Tenant", cell: (r) => (r.id ? <TenantLink id={r.id} name={r.name} tab="usage" /> : <span class="muted">Not attributed to a tenant</span>) },
              { title: "Share of the heap", cell: (r) => <Share of={r.bytes ?? 0} whole={heap ?? 0} label={"Share of " + (r.name ?? "nobody")} /> },
              value("Held at most, accounted", (r) => r.bytes, "bytes"),
              { title: "Of the heap", num: true, muted: true, cell: (r) => <Value f={heap && r.bytes !== null ? r.bytes / heap : null} unit="ratio" /> },
            ]} />
          </section>
          {kinds.length > 0 && (
            <section>
              <h2>By kind</h2>
              <Table<string> label="Memory by kind" rows={kinds} id={(k) => k} of={[
                { title: "Kind", cell: words }, { title: "Share of the heap", cell: (k) => <Share of={ofKind(k) ?? 0} whole={heap ?? 0} label={"Share of " + k} /> },
                value("Held now", ofKind, "bytes"), { title: "How", muted: true, cell: (k) => how(instances.map((i) => i.kinds?.[k]).find((f) => !!f) ?? undefined) || "measured" },
                ...(instances.length > 1 && instances.length < 6 ? instances.map((i) => value<string>(i.name, (k) => i.kinds?.[k])) : []),
              ]} />
            </section>
          )}
          {over && (
            <section>
              <h2>Over time</h2>
              <Chart title="Held by tenants (accounted)" unit={over.unit} window={"last " + window} times={over.times} lines={[{ name: "tenants", points: over.values }]} />
            </section>
          )}
          <section>
            <h2>By instance</h2>
            <Table<Instance> label="Memory by instance" rows={instances} id={(i) => i.name} empty="No instance has written figures." of={[
              { title: "Instance", cell: (i) => <code>{i.name}</code> }, value("Process", (i) => i.rss), value("Heap", (i) => i.heap), value("Not of the heap", (i) => i.remainder),
            ]} />
          </section>
        </>
      )}
    </Page>
  );
}
