import { useEffect, useRef, useState } from "preact/hooks";
import { address, get } from "../api";
import { Bulk, actions, type Action } from "../bulk";
import { NewTenant, newTenant } from "../newtenant";
import { Failure, Page, Spark, State, Value, Waiting, When, type Figure } from "../parts";
import { href, route, setQuery } from "../router";
import { may, offered, wired } from "../session";

interface Row {
  id: string;
  slug: string;
  name: string;
  status: string;
  plan?: string;
  tags?: string[];
  placement?: { server: string };
  server?: string;
  created_at?: string;
  usage?: Record<string, Figure>;
  spark?: { requests?: number[] };
}

interface Listing {
  tenants: Row[];
  next?: string;
  total?: number;
}

const columns = [
  { key: "requests", title: "Requests", unit: "" },
  { key: "errors", title: "Errors", unit: "" },
  { key: "latency_time", title: "Mean time" },
  { key: "cpu_time", title: "CPU" },
  { key: "memory_bytes", title: "Memory" },
  { key: "storage", title: "Storage" },
] as const;

/** mean is the time of a request, on average. */
function mean(r: Row): Figure | undefined {
  const [time, requests] = [r.usage?.latency_time, r.usage?.requests?.value];
  return time && requests ? { ...time, value: (time.value ?? 0) / requests } : undefined;
}

/** seen reads the figure that is a time, in microseconds since 1970. */
function seen(r: Row): string | undefined {
  const us = r.usage?.last_seen?.value;
  return us ? new Date(us / 1000).toISOString() : undefined;
}

const examples = ["status:active", "status:suspended", "tag:overdue", "plan:pro"];
const page = 100;

export function Tenants() {
  const q = route.value.query;
  const filter = q.get("filter") ?? "";
  const sort = q.get("sort") ?? (wired("reports") ? "-requests" : "");
  const window = q.get("window") ?? "24h";
  const [typed, setTyped] = useState(filter);
  const [rows, setRows] = useState<Row[]>();
  const [more, setMore] = useState<{ next?: string; count?: number }>({});
  const [error, setError] = useState<unknown>();
  const [loading, setLoading] = useState(true);
  const [checked, setChecked] = useState<Set<string>>(new Set());
  const [all, setAll] = useState(false);
  const [action, setAction] = useState<Action>();
  const turn = useRef(0);
  const measured = wired("reports") && may("analytics.read");
  const source = measured ? "analytics/tenants" : "tenants";

  const load = (cursor?: string) => {
    const mine = ++turn.current;
    setLoading(true);
    get<Listing>(source, { filter, sort, cursor, limit: page, ...(measured ? { window, spark: "requests" } : {}) }).then(
      (l) => {
        if (mine !== turn.current) return;
        setRows((old) => (cursor ? [...(old ?? []), ...l.tenants] : l.tenants));
        setMore({ next: l.next, count: l.total });
        setError(undefined);
        setLoading(false);
      },
      (err) => {
        if (mine !== turn.current) return;
        setError(err);
        setLoading(false);
      },
    );
  };
  useEffect(() => {
    setAll(false);
    load();
  }, [filter, sort, window, source]);
  useEffect(() => setTyped(filter), [filter]);

  const search = (e: Event) => {
    e.preventDefault();
    setQuery({ filter: typed.trim() });
  };
  const sortBy = (key: string) => setQuery({ sort: sort === "-" + key ? key : sort === key ? "-" + key : measured && columns.some((c) => c.key === key) ? "-" + key : key });
  const header = (key: string, title: string, num = false) => (
    <th scope="col" class={num ? "num" : ""} aria-sort={sort === key ? "ascending" : sort === "-" + key ? "descending" : undefined}>
      <button type="button" onClick={() => sortBy(key)}>{title}{sort === key ? " ↑" : sort === "-" + key ? " ↓" : ""}</button>
    </th>
  );
  const toggle = (id: string) => {
    const next = new Set(checked);
    if (!next.delete(id)) next.add(id);
    setAll(false);
    setChecked(next);
  };
  const usable = actions.filter((a) => may(a.permission));
  const bulk = may("bulk.start") && wired("runs") && usable.length > 0;
  const chosen = all ? (more.count ?? rows?.length ?? 0) : checked.size;

  return (
    <Page
      title="Tenants"
      tools={
        <>
          <a class="button" href={address("analytics/tenants/export", { filter, sort, window, format: "csv" })} hidden={!measured || !may("analytics.export")}>Export CSV</a>
          {offered(newTenant) && <button type="button" class="primary" onClick={() => setQuery(newTenant.query)}>New tenant</button>}
        </>
      }
    >
      <form class="row" role="search" onSubmit={search} style={{ marginBottom: "8px" }}>
        <div class="grow">
          <input type="search" aria-label="Filter" placeholder="status:active tag:eu plan:pro acme" value={typed} onInput={(e) => setTyped(e.currentTarget.value)} />
        </div>
        {measured && (
          <select aria-label="Window" style={{ width: "auto" }} value={window} onChange={(e) => setQuery({ window: e.currentTarget.value })}>
            {["1h", "24h", "7d", "30d", "90d"].map((w) => <option key={w} value={w}>last {w}</option>)}
          </select>
        )}
        <button>Filter</button>
      </form>
      <div class="row small" style={{ marginBottom: "16px" }}>
        {examples.map((x) => (
          <button type="button" class="plain" key={x} onClick={() => setQuery({ filter: filter === x ? "" : x })} aria-pressed={filter === x}>{x}</button>
        ))}
        <span class="muted" role="status">{more.count !== undefined && `${more.count.toLocaleString("en")} match`}</span>
      </div>
      <Failure error={error} retry={() => load()} />
      <Waiting on={loading && !rows} lines={5} />
      {rows && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Tenants">
          <table>
            <thead>
              <tr>
                {(bulk || measured) && <th class="check"><input type="checkbox" aria-label="Select all shown" checked={rows.length > 0 && rows.every((r) => checked.has(r.id))}
                  onChange={(e) => { setAll(false); setChecked(new Set(e.currentTarget.checked ? rows.map((r) => r.id) : [])); }} /></th>}
                {header("slug", "Tenant")}
                {header("status", "Status")}
                {header("plan", "Plan")}
                <th scope="col">Tags</th>
                {measured && columns.map((c) => (c.key === "latency_time" ? <th scope="col" class="num" key={c.key}>{c.title}</th> : header(c.key, c.title, true)))}
                {measured && <th scope="col">Requests over time</th>}
                {measured ? header("last_seen", "Last seen") : header("created", "Created")}
              </tr>
            </thead>
            <tbody>
              {rows.map((r) => (
                <tr key={r.id} aria-selected={checked.has(r.id)}>
                  {(bulk || measured) && <td class="check"><input type="checkbox" aria-label={"Select " + r.slug} checked={all || checked.has(r.id)} onChange={() => toggle(r.id)} /></td>}
                  <td class="name"><a href={href(["tenants", r.id])}>{r.name || r.slug}</a> <span class="muted small">{r.slug}</span></td>
                  <td><State name={r.status} /></td>
                  <td>{r.plan || <span class="muted">–</span>}</td>
                  <td>{r.tags?.map((t) => <span class="tag" key={t}>{t}</span>)}</td>
                  {measured && columns.map((c) => <td class="num" key={c.key}><Value f={c.key === "latency_time" ? mean(r) : r.usage?.[c.key]} unit={"unit" in c ? c.unit : undefined} /></td>)}
                  {measured && <td><Spark points={r.spark?.requests} label={"Requests of " + r.slug} /></td>}
                  <td class="muted" style={{ whiteSpace: "nowrap" }}><When at={measured ? seen(r) : r.created_at} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {rows?.length === 0 && <div class="empty">{filter ? <>No tenant matches <code>{filter}</code>. <button type="button" onClick={() => setQuery({ filter: "" })}>Clear the filter</button></> : "There are no tenants yet."}</div>}
      {more.next && <div class="actions" style={{ justifyContent: "center" }}><button type="button" disabled={loading} onClick={() => load(more.next)}>Show more</button></div>}
      {(bulk || measured) && chosen > 0 && (
        <div class="bulkbar" role="region" aria-label="Bulk actions">
          <span>{chosen.toLocaleString("en")} selected</span>
          {bulk && !all && more.count !== undefined && more.count > checked.size && <button type="button" class="plain" onClick={() => setAll(true)}>Select all {more.count.toLocaleString("en")} that match</button>}
          {measured && !all && checked.size > 1 && checked.size < 7 && <a class="button" href={href(["compare"], { tenants: [...checked].join() })}>Compare</a>}
          {bulk && usable.map((a) => <button type="button" key={a.verb} class={a.danger ? "danger" : ""} onClick={() => setAction(a)}>{a.title}</button>)}
          <button type="button" class="plain" onClick={() => { setAll(false); setChecked(new Set()); }}>Clear</button>
        </div>
      )}
      {action && <Bulk action={action} {...(all ? { filter } : { ids: [...checked] })} close={() => setAction(undefined)} />}
      {q.get("new") && offered(newTenant) && <NewTenant close={() => setQuery({ new: "" }, true)} />}
    </Page>
  );
}
