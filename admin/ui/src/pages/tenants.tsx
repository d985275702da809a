import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, signedOut } from "../api";
import type { Facets as FacetCounts } from "../api-types";
import { Bulk, actions, type Action } from "../bulk";
import { Export } from "../export";
import { NewTenant, newTenant } from "../newtenant";
import { day } from "../format";
import { useFrames } from "../live";
import { useBehind, useGet } from "../load";
import { Failure, Page, Spark, State, Value, Waiting, When, type Figure } from "../parts";
import { href, route, setQuery } from "../router";
import { words } from "../series";
import { may, offered, wired } from "../session";
import { Views } from "../views";

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
  reaches?: { figure?: string; earliest?: string };
}

interface Listing {
  tenants: Row[];
  next?: string;
  total?: number;
}

/** Column of figures and texts, in the order of the table. The first ones are shown unless the operator chooses others. */
const columns: { key: string; title: string; num?: boolean; plain?: boolean; first?: boolean; unsorted?: boolean }[] = [
  { key: "status", title: "Status", plain: true, first: true }, { key: "plan", title: "Plan", plain: true, first: true }, { key: "tags", title: "Tags", plain: true, first: true, unsorted: true }, { key: "server", title: "Server", plain: true },
  { key: "requests", title: "Requests", num: true, first: true }, { key: "errors", title: "Errors", num: true, first: true }, { key: "mean", title: "Mean time", num: true, first: true, unsorted: true },
  { key: "cpu_time", title: "CPU", num: true, first: true }, { key: "memory_bytes", title: "Memory", num: true }, { key: "storage", title: "Storage", num: true, first: true },
  { key: "statement_time", title: "Database time", num: true }, { key: "wait_time", title: "Waiting", num: true }, { key: "bytes_out", title: "Bytes out", num: true },
  { key: "spark", title: "Over time", first: true, unsorted: true }, { key: "last_seen", title: "Last seen", first: true }, { key: "created", title: "Created", plain: true },
  { key: "limit_reached", title: "Reaches limit" },
];

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

/** instant is when a day begins. */
const instant = (day: string) => (day ? day + "T00:00:00Z" : "");

const aDay = "\\d{4}-\\d\\d-\\d\\d";
const createdTerm = new RegExp(`(?:^|\\s)created:(?:(${aDay})\\.\\.(${aDay})|>=(${aDay})|<=(${aDay}))(?=\\s|$)`);

/** withTerm puts a condition into a filter, instead of that of the same field: a field stands there once. */
const withTerm = (filter: string, field: string, value: string): string =>
  [...(filter.match(/(?:"(?:\\.|[^"\\])*"|[^ "])+/g) ?? []).filter((w) => !w.toLowerCase().startsWith(field + ":")), ...(value && [field + ":" + value])].join(" ");

/** The orders of records, for lists without figures. */
const orders = ["slug", "created"];

/** created reads from a filter the first and the last day on which tenants were created. */
const created = (filter: string): string[] => {
  const m = createdTerm.exec(filter);
  return [m?.[1] ?? m?.[3] ?? "", m?.[2] ?? m?.[4] ?? ""];
};

/** withCreated puts other days into a filter. */
const withCreated = (filter: string, [first, last]: string[]): string => withTerm(filter, "created", first && last ? `${first}..${last}` : first ? ">=" + first : last && "<=" + last);

const examples = ["status:active", "status:suspended", "tag:overdue", "plan:pro"];
const page = 100;
/** How many rows are in the document at most. */
const most = 200;

export function Tenants() {
  const q = route.value.query;
  const filter = q.get("filter") ?? "";
  const measured = wired("reports") && may("analytics.read");
  const wanted = q.get("sort") ?? (measured ? "-requests" : "");
  const sort = measured || orders.includes(wanted.replace(/^-/, "")) ? wanted : "";
  const window = q.get("window") ?? "24h";
  const [from, before] = [q.get("from") ?? "", q.get("before") ?? ""];
  const dated = !!(from || before);
  const period: { [name: string]: string } = dated ? { from: instant(from), to: instant(before) } : { window };
  const [typed, setTyped] = useState(filter);
  const [rows, setRows] = useState<Row[]>();
  const [more, setMore] = useState<{ next?: string; count?: number }>({});
  const [failed, setFailed] = useState<{ error: unknown; cursor?: string }>();
  const [loading, setLoading] = useState(true);
  const [checked, setChecked] = useState<Set<string>>(new Set());
  const [all, setAll] = useState(false);
  const [action, setAction] = useState<Action>();
  const [start, setStart] = useState(0);
  const [order, setOrder] = useState<Row[]>(); // of the first page, when it is another than what is shown
  const box = useRef<HTMLDivElement>(null);
  const turn = useRef(0);
  const fed = useRef(0); // when the stream last had the rows of the view
  const asked = useRef(0); // when the list was last asked for beside it
  const [listed, setListed] = useState(""); // the question that the rows are the answer to
  const source = measured ? "analytics/tenants" : "tenants";
  const query = measured ? { filter, sort, ...period, spark: "requests" } : { filter: sort ? withTerm(filter, "sort", sort) : filter };
  const question = JSON.stringify([source, query]);
  useBehind(rows !== undefined && listed !== question);

  const load = (cursor?: string, byItself = false) => {
    const mine = ++turn.current;
    setLoading(true);
    get<Listing>(source, { ...query, cursor, limit: page }, undefined, byItself).then(
      (l) => {
        if (mine !== turn.current) return;
        setListed(question);
        setRows((old) => (cursor ? [...(old ?? []), ...l.tenants] : l.tenants));
        setStart((old) => (cursor ? Math.max(0, (rows?.length ?? 0) + l.tenants.length - most) : cursor === undefined ? 0 : old));
        setOrder(undefined);
        setMore({ next: l.next, count: l.total });
        setFailed(undefined);
        setLoading(false);
      },
      (error) => {
        if (mine !== turn.current) return;
        if (listed !== question) { // the rows of another filter are no answer
          setRows(undefined);
          setMore({});
          setOrder(undefined);
        }
        setFailed({ error, cursor });
        setLoading(false);
      },
    );
  };
  const out = signedOut.value;
  useEffect(() => {
    if (out) return;
    setAll(false);
    setFailed(undefined); // what failed is not tried again with another filter
    load();
  }, [filter, sort, window, from, before, source, out]);
  useEffect(() => setTyped(filter), [filter]);
  const visible = rows?.slice(start, start + most);

  // Values change in place. Rows keep their order while somebody points at the table, works in it, or has chosen rows.
  const held = () => checked.size > 0 || all || !!box.current?.matches(":hover, :focus-within");
  const renew = useRef(() => {});
  renew.current = () => {
    if (document.hidden || signedOut.value || loading || !visible?.length || !measured) return;
    const at = Date.now();
    if (at - fed.current < 4000 && at - asked.current < 30_000) return; // the stream has all but the course of the figures
    asked.current = at;
    const mine = turn.current;
    const whole = rows!.length <= page;
    const parts = whole ? [undefined] : [visible.slice(0, 100), visible.slice(100)].filter((p) => p.length);
    Promise.all(parts.map((p) => get<Listing>(source, { filter: p ? "id:" + p.map((r) => r.id).join() : filter, sort, limit: page, ...period, spark: "requests" }, undefined, true))).then(
      (lists) => {
        if (mine !== turn.current) return;
        const found = new Map(lists.flatMap((l) => l.tenants).map((r) => [r.id, r]));
        setRows((old) => old?.map((r) => found.get(r.id) ?? r));
        if (!whole) return;
        setMore({ next: lists[0].next, count: lists[0].total });
        const moved = lists[0].tenants.map((r) => r.id).join() !== rows!.map((r) => r.id).join();
        if (moved && !held()) setRows(lists[0].tenants);
        setOrder(moved && held() ? lists[0].tenants : undefined);
      },
      () => {}, // the next turn tries again; the figures say how old they are
    );
  };
  useEffect(() => {
    const timer = setInterval(() => renew.current(), 5000);
    return () => clearInterval(timer);
  }, []);

  // A view that is shown as it was saved is live: its rows come with the stream, each second those that changed.
  const view = q.get("view");
  useFrames<{ total: number; order: string[]; tenants: Row[] }>(measured && view && window === "24h" && !dated ? "tenants:" + view : null, ({ data }) => {
    if (loading || !rows || document.hidden) return;
    fed.current = Date.now();
    const changed = new Map(data.tenants.map((r) => [r.id, r]));
    const now = (r: Row) => (changed.has(r.id) ? { ...r, ...changed.get(r.id) } : r);
    setRows((old) => old?.map(now));
    if (rows.length > page) return;
    setMore((old) => ({ ...old, count: data.total }));
    if (data.order.join() === rows.map((r) => r.id).join()) return setOrder(undefined);
    const known = new Map([...changed, ...rows.map((r): [string, Row] => [r.id, now(r)])]);
    const next = data.order.flatMap((id) => known.get(id) ?? []);
    if (held()) setOrder(next);
    else setRows(next);
  });

  const narrow = (change: { [name: string]: string }) => setQuery({ view: "", ...change });
  const search = (e: Event) => {
    e.preventDefault();
    narrow({ filter: typed.trim() });
  };
  const sortBy = (key: string) => narrow({ sort: sort === "-" + key ? key : sort === key ? "-" + key : columns.some((c) => c.key === key && (c.num || c.key === "last_seen")) ? "-" + key : key });
  const header = (key: string, title: string, num = false) => (
    <th scope="col" key={key} class={num ? "num" : ""} aria-sort={sort === key ? "ascending" : sort === "-" + key ? "descending" : undefined}>
      <button type="button" onClick={() => sortBy(key)}>{title}{sort === key ? " ↑" : sort === "-" + key ? " ↓" : ""}</button>
    </th>
  );
  const marks = useRef((_: string) => {});
  marks.current = (id) => {
    const next = new Set(all ? rows?.map((r) => r.id) : checked); // of all that match, those that are listed stay
    if (!next.delete(id)) next.add(id);
    setAll(false);
    setChecked(next);
  };
  const toggle = (id: string) => marks.current(id); // rows that were not drawn again have an older one
  const usable = actions.filter(offered);
  const bulk = may("bulk.start") && wired("runs") && usable.length > 0;
  const dense = q.get("rows") === "dense";
  const names = q.get("columns")?.split(",") ?? columns.filter((c) => c.first || (!measured && c.key === "created")).map((c) => c.key);
  const possible = columns.filter((c) => measured || c.plain);
  const shown = possible.filter((c) => names.includes(c.key));
  const chosen = all ? (more.count ?? rows?.length ?? 0) : checked.size;

  return (
    <Page
      title="Tenants"
      tools={
        <>
          {measured && may("analytics.export") && <Export path="analytics/tenants/export" query={{ filter, sort, ...period, format: "csv" }} />}
          {offered(newTenant) && <button type="button" class="primary" onClick={() => setQuery(newTenant.query)}>New tenant</button>}
        </>
      }
    >
      <form class="row" role="search" onSubmit={search} style={{ marginBottom: "8px" }}>
        <div class="grow">
          <input type="search" aria-label="Filter" placeholder="status:active tag:eu plan:pro acme" value={typed} onInput={(e) => setTyped(e.currentTarget.value)} />
        </div>
        {measured && (
          <select aria-label="Window" style={{ width: "auto" }} value={dated ? "" : window} onChange={(e) => setQuery({ window: e.currentTarget.value, from: "", before: "" })}>
            {dated && <option value="">chosen days</option>}
            {["1h", "24h", "7d", "30d", "90d"].map((w) => <option key={w} value={w}>last {w}</option>)}
          </select>
        )}
        <button>Filter</button>
        <details class="menu">
          <summary class="button">Dates</summary>
          <div class="dates">
            {measured && ([["Figures from", "from", from], ["Figures before", "before", before]] as const).map(([title, key, v]) => (
              <label key={key}>{title} <input type="date" value={v} onChange={(e) => setQuery({ [key]: e.currentTarget.value })} /></label>
            ))}
            {(["Created from", "Created to"] as const).map((title, i) => (
              <label key={title}>{title} <input type="date" value={created(filter)[i]} onChange={(e) => narrow({ filter: withCreated(filter, created(filter).map((v, j) => (i === j ? e.currentTarget.value : v))) })} /></label>
            ))}
            <p class="muted small">Days begin at midnight UTC.</p>
          </div>
        </details>
        <Facets filter={filter} use={(f) => narrow({ filter: f })} />
        <Views page="tenants" shown={{ filter, sort, columns: shown.map((c) => c.key) }} use={(v) => setQuery({ filter: v.filter, sort: v.sort, columns: v.columns.join(), view: v.id })} />
        <details class="menu">
          <summary class="button">Columns</summary>
          <div>
            {possible.map((c) => (
              <label key={c.key}><input type="checkbox" checked={names.includes(c.key)} onChange={(e) => setQuery({ columns: possible.map((x) => x.key).filter((k) => (k === c.key ? e.currentTarget.checked : names.includes(k))).join() || "status" }, true)} /> {c.title}</label>
            ))}
            <hr />
            <label><input type="checkbox" checked={dense} onChange={() => setQuery({ rows: dense ? "" : "dense" }, true)} /> Dense rows</label>
          </div>
        </details>
      </form>
      <div class="row small" style={{ marginBottom: "16px" }}>
        {examples.map((x) => (
          <button type="button" class="plain" key={x} onClick={() => narrow({ filter: filter === x ? "" : x })} aria-pressed={filter === x}>{x}</button>
        ))}
        <span class="muted" role="status">{more.count !== undefined && `${more.count.toLocaleString("en")} match`}</span>
      </div>
      <Failure error={failed?.error} retry={(byItself) => load(failed?.cursor, byItself)} />
      <Waiting on={loading && !rows} lines={5} />
      {order && <div class="row" role="status" style={{ marginBottom: "8px" }}><span class="muted">The order has changed.</span> <button type="button" onClick={() => { setRows(order); setOrder(undefined); }}>Apply it</button></div>}
      {start > 0 && <Edge text="Show earlier rows" reach={() => setStart(Math.max(0, start - page))} />}
      {rows && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Tenants" ref={box}>
          <table class={dense ? "dense" : ""}>
            <thead>
              <tr>
                {(bulk || measured) && <th class="check"><input type="checkbox" aria-label="Select all shown" checked={rows.length > 0 && (all || rows.every((r) => checked.has(r.id)))}
                  onChange={(e) => { setAll(false); setChecked(new Set(e.currentTarget.checked ? rows.map((r) => r.id) : [])); }} /></th>}
                {header("slug", "Tenant")}
                {shown.map((c) => (c.unsorted || (!measured && !orders.includes(c.key)) ? <th scope="col" class={c.num ? "num" : ""} key={c.key}>{c.title}</th> : header(c.key, c.title, c.num)))}
              </tr>
            </thead>
            <tbody>
              {visible!.map((r) => <Line key={r.id} row={r} selected={checked.has(r.id)} checked={all || checked.has(r.id)} toggle={bulk || measured ? toggle : undefined} shown={shown} />)}
            </tbody>
          </table>
        </div>
      )}
      {rows?.length === 0 && <div class="empty">{filter ? <>No tenant matches <code>{filter}</code>. <button type="button" onClick={() => narrow({ filter: "" })}>Clear the filter</button></> : "There are no tenants yet."}</div>}
      {rows && start + most < rows.length ? <Edge text="Show later rows" reach={() => setStart(start + page)} key={"later" + start} /> : more.next && <Edge text="Show more" busy={loading} reach={() => load(more.next)} key={more.next} />}
      {(bulk || measured) && chosen > 0 && (
        <div class="bulkbar" role="region" aria-label="Bulk actions">
          <span>{chosen.toLocaleString("en")} selected</span>
          {bulk && !all && more.count !== undefined && more.count > checked.size && <button type="button" class="plain" onClick={() => setAll(true)}>Select all {more.count.toLocaleString("en")} that match</button>}
          {measured && !all && checked.size > 1 && checked.size < 7 && <a class="button" href={href(["compare"], { tenants: [...checked].join() })}>Compare</a>}
          {bulk && usable.filter((a) => !a.more).map((a) => <button type="button" key={a.verb} class={a.danger ? "danger" : ""} onClick={() => setAction(a)}>{a.title}</button>)}
          {bulk && usable.some((a) => a.more) && (
            <select aria-label="More actions" style={{ width: "auto" }} value="" onChange={(e) => { setAction(actions.find((a) => a.verb === e.currentTarget.value)); e.currentTarget.value = ""; }}>
              <option value="">More actions</option>
              {usable.filter((a) => a.more).map((a) => <option key={a.verb} value={a.verb}>{a.title}</option>)}
            </select>
          )}
          <button type="button" class="plain" onClick={() => { setAll(false); setChecked(new Set()); }}>Clear</button>
        </div>
      )}
      {action && <Bulk action={action} {...(all ? { filter } : { ids: [...checked] })} close={() => setAction(undefined)} />}
      {q.get("new") && offered(newTenant) && <NewTenant close={() => setQuery({ new: "" }, true)} />}
    </Page>
  );
}

/** Line is a row. It is drawn again only when something in it changes: a click at one row leaves the others alone. */
function Line({ row: r, selected, checked, toggle, shown }: { row: Row; selected: boolean; checked: boolean; toggle?: (id: string) => void; shown: typeof columns }) {
  return useMemo(
    () => (
      <tr aria-selected={selected}>
        {toggle && <td class="check"><input type="checkbox" aria-label={"Select " + r.slug} checked={checked} onChange={() => toggle(r.id)} /></td>}
        <td class="name"><a href={href(["tenants", r.id])} title={r.slug}>{r.name || r.slug}</a></td>
        {shown.map((c) => <td class={c.num ? "num" : ""} key={c.key}>{cell(r, c)}</td>)}
      </tr>
    ),
    [r, selected, checked, !toggle, shown.map((c) => c.key).join()],
  );
}

function cell(r: Row, c: (typeof columns)[number]) {
  switch (c.key) {
    case "status": return <State name={r.status} />;
    case "plan": return r.plan || <span class="muted">–</span>;
    case "server": return r.server ?? r.placement?.server;
    case "tags": return r.tags?.map((t) => <span class="tag" key={t}>{t}</span>);
    case "spark": return <Spark points={r.spark?.requests} label={"Requests of " + r.slug} />;
    case "last_seen": return <When at={seen(r)} />;
    case "created": return <When at={r.created_at} />;
    case "limit_reached": return r.reaches?.figure && r.reaches.earliest ? <>{day(r.reaches.earliest)} <span class="muted small">{words(r.reaches.figure).toLowerCase()}</span></> : <span class="muted">–</span>;
  }
  return <Value f={c.key === "mean" ? mean(r) : r.usage?.[c.key]} />;
}

/** Edge is a button at an end of the table, which scrolling reaches too. */
function Edge({ text, reach, busy }: { text: string; reach(): void; busy?: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  const run = useRef(reach);
  run.current = reach;
  useEffect(() => {
    let scrolled = false; // what is in sight from the beginning waits for somebody to scroll
    const on = () => (scrolled = true);
    const seen = new IntersectionObserver(([e]) => e.isIntersecting && scrolled && run.current());
    seen.observe(ref.current!);
    addEventListener("scroll", on, { passive: true });
    return () => {
      seen.disconnect();
      removeEventListener("scroll", on);
    };
  }, []);
  return <div class="actions" style={{ justifyContent: "center" }} ref={ref}><button type="button" disabled={busy} onClick={reach}>{text}</button></div>;
}

/** Facets says how many tenants of each kind the filter selects, and puts one into it. */
function Facets({ filter, use }: { filter: string; use(filter: string): void }) {
  const [open, setOpen] = useState(false);
  const { data, error } = useGet<FacetCounts>(open ? "facets" : null, { filter });
  const groups = data ? ([["status", data.status], ["plan", data.plan], ["tag", data.tags], ["server", data.server]] as [string, { [name: string]: number }][]) : [];
  const quote = (v: string) => (/[\s,"]|^[<>]/.test(v) ? `"${v.replace(/["\\]/g, "\\$&")}"` : v);
  return (
    <details class="menu" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary class="button">Facets</summary>
      <div class="facets">
        <Failure error={error} />
        {groups.filter(([, of]) => Object.keys(of).length).map(([kind, of]) => (
          <div key={kind}>
            <b class="small">{kind}</b>
            {Object.entries(of).sort((a, b) => b[1] - a[1]).slice(0, 12).map(([v, n]) => <button type="button" class="plain" key={v} disabled={!v} onClick={() => use(withTerm(filter, kind, quote(v)))}>{v || "none"} <span class="num">{n.toLocaleString("en")}</span></button>)}
          </div>
        ))}
      </div>
    </details>
  );
}
