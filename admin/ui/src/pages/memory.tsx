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
  const held = sum(kinds.map((k) => ({ value: ofKind(k) })));
  // The kinds and what belongs to nobody add up to the heap.
  const parts = heap === null ? [] : [...kinds.map((k) => ({ name: words(k), bytes: ofKind(k), how: how(instances.map((i) => i.kinds?.[k]).find((f) => !!f) ?? undefined) || "measured" })), { name: "", bytes: Math.max(0, heap - (held ?? 0)), how: "the rest" }];
  const tenants = data?.tenants.tenants ?? [];
  const largest = Math.max(...tenants.map((t) => t.figure?.value ?? 0));
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
              <KeyFigure name="Held for tenants" f={held} unit="bytes" note={held === null ? "not measured" : "now, accounted"} />
              <KeyFigure name="Not of the heap" f={rest} unit="bytes" note="stacks, runtime, other libraries" />
            </dl>
          </section>
          {parts.length > 0 && (
            <section>
              <h2>The heap, by kind</h2>
              <Table<(typeof parts)[number]> label="Memory by kind" rows={parts} id={(k) => k.name} of={[
                { title: "Kind", cell: (k) => k.name || <span class="muted">Not attributed to a tenant</span> }, { title: "Share of the heap", cell: (k) => <Share of={k.bytes ?? 0} whole={heap ?? 0} label={"Share of " + (k.name || "nobody")} /> },
                value("Held now", (k) => k.bytes, "bytes"), { title: "Of the heap", num: true, muted: true, cell: (k) => <Value f={heap && k.bytes !== null ? k.bytes / heap : null} unit="ratio" /> }, { title: "How", muted: true, cell: (k) => k.how },
              ]} />
            </section>
          )}
          <section>
            <h2>Tenants that held most, last 24 hours</h2>
            {accounted === null ? <p class="muted">The application accounts for no tenant's memory. To see it here, call Recorder.Attach with the pool, the cache, and sources of your own.</p> : <p class="muted">Each at its highest, so these do not add up to what is held now.</p>}
            {tenants.length > 0 && <Table<(typeof tenants)[number]> label="Memory by tenant" rows={tenants} id={(t) => t.id} of={[
              { title: "Tenant", cell: (t) => <TenantLink id={t.id} name={t.name} tab="usage" /> },
              { title: "Beside the largest", cell: (t) => <Share of={t.figure?.value ?? 0} whole={largest} label={"Share of " + t.name} /> },
              value("Held at most, accounted", (t) => t.figure, "bytes"), { title: "How", muted: true, cell: (t) => how(t.figure ?? undefined) || "measured" },
            ]} />}
          </section>
          {over && (
            <section>
              <h2>Over time</h2>
              <Chart title="The most that one tenant held (accounted)" unit={over.unit} window={"last " + window} times={over.times} lines={[{ name: "at most", points: over.values }]} />
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
