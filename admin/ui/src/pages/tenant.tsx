import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api";
import type { Forecast, LoginSubjects, Reads, SeriesReport, Statement, Tenant as TenantRecord } from "../api-types";
import { useCommands } from "../command";
import { Chart } from "../chart";
import { Confirm } from "../confirm";
import { day, plain, time } from "../format";
import { useGet } from "../load";
import { useLive } from "../live";
import { Failure, how, KeyFigure, Page, Segments, State, Value, Waiting, When, windows, type Figure } from "../parts";
import { Paging, cursorOf } from "../paging";
import { href, route, setQuery } from "../router";
import { may, offered, wired } from "../session";
import { whole, words } from "../series";
import { Facts, Table, value } from "../table";
import { Activities, type Activity } from "../timeline";
import { useRates, type Now } from "./overview";
import { Entries } from "./audit";
import { Access } from "./access";
import { Keys } from "./keys";
import { Maintenance } from "./maintenance";
import { Statements } from "./performance";
import { change, Database, Details, Edit, Limits } from "./record";

interface Report {
  usage: { [name: string]: Figure };
  own?: { [name: string]: Figure };
  slowest_statements?: Statement[] | null;
  activities: Activity[];
}

/** unknown reports whether the reports have not heard of the tenant yet: nothing was counted so far. */
const unknown = (error: unknown): boolean => error instanceof Problem && error.status === 404;

const verbs: { verb: string; title: string; permission: string; from: string[]; typed?: boolean; part?: string; confirm?: boolean }[] = [
  { verb: "resume", title: "Resume", permission: "tenants.create", from: ["provisioning"], part: "resume" },
  { verb: "activate", title: "Activate", permission: "tenants.status", from: ["suspended", "blocked", "inactive"] },
  { verb: "suspend", title: "Suspend", permission: "tenants.status", from: ["active"], typed: true },
  { verb: "block", title: "Block", permission: "tenants.status", from: ["active", "suspended", "inactive"], typed: true },
  { verb: "deactivate", title: "Deactivate", permission: "tenants.status", from: ["active", "suspended", "blocked"] },
  { verb: "archive", title: "Archive", permission: "tenants.archive", from: ["active", "suspended", "blocked", "inactive"], typed: true, },
  { verb: "restore", title: "Restore", permission: "tenants.restore", from: ["archived"], part: "lifecycle" },
  { verb: "purge", title: "Purge", permission: "tenants.purge", from: ["archived", "purging", "provisioning"], typed: true, part: "lifecycle", confirm: true },
];

/** useRecord loads one tenant with the ETag that a change needs. */
function useRecord(id: string) {
  return useGet<TenantRecord>("tenants/" + encodeURIComponent(id), {}, 10);
}

export function Tenant({ id }: { id: string }) {
  const record = useRecord(id);
  const t = record.data;
  const tab = route.value.query.get("tab") ?? "overview";
  const [verb, setVerb] = useState<(typeof verbs)[number]>();
  const [editing, setEditing] = useState(false);
  const report = useGet<Report>(tab === "database" && wired("reports") && may("analytics.read") ? "analytics/tenant/" + encodeURIComponent(id) : null, { window: "24h" });
  const live = useLive<Now & { version?: number }>(wired("reports") && may("analytics.read") ? "tenant:" + id : null);
  const version = live?.data.version;
  useEffect(() => {
    if (version && t && version > t.version) record.reload(true); // somebody has changed it
  }, [version]);
  const usable = t ? verbs.filter((v) => offered(v) && v.from.includes(t.status)) : [];
  const asked = route.value.query.get("do");
  useEffect(() => {
    const found = asked && usable.find((v) => v.verb === asked);
    if (!found) return;
    setQuery({ do: "" }, true);
    setVerb(found);
  }, [asked, t?.id]);
  useCommands(t ? [...usable.map((v) => ({ title: `${v.title} ${t.slug}`, run: () => setVerb(v) })), ...(may("tenants.write") ? [{ title: "Edit " + t.slug, run: () => setEditing(true) }] : [])] : []);
  const tabs = [
    "overview",
    ...(wired("reports") && may("analytics.read") ? ["usage", "performance"] : []),
    ...(wired("reports") && may("activities.read") ? ["activity", "sign-ins"] : []),
    "database",
    "record",
    "limits",
    "access",
    ...(wired("keys") && may("tenants.keys") ? ["keys"] : []),
    ...(wired("maintenance") ? ["maintenance"] : []),
    ...(wired("audit") && may("audit.read") ? ["audit"] : []),
  ];
  if (record.error instanceof Problem && record.error.status === 404)
    return <Page title="Tenant"><p>There is no such tenant, or it is not yours to see. <a href={href(["tenants"])}>All tenants</a></p></Page>;
  return (
    <Page
      title={t?.name || t?.slug || "Tenant"}
      tools={
        t && (
          <>
            {usable.map((v) => (
              <button type="button" key={v.verb} class={["block", "archive", "purge"].includes(v.verb) ? "danger" : ""} onClick={() => setVerb(v)}>{v.title}</button>
            ))}
            {wired("reports") && may("analytics.read") && <a class="button" href={href(["compare"], { tenants: id })}>Compare</a>}
            {may("tenants.write") && <button type="button" onClick={() => setEditing(true)}>Edit</button>}
          </>
        )
      }
    >
      <Failure error={record.error} retry={record.reload} />
      <Waiting on={record.loading && !t} />
      {t && (
        <>
          <div class="row" style={{ marginBottom: "16px" }}>
            <State name={t.status} />
            <code>{t.slug}</code>
            <button type="button" class="plain small" onClick={() => void navigator.clipboard?.writeText(t.id)} title="Copy the ID"><code>{t.id}</code></button>
            {t.plan && <span class="tag">{t.plan}</span>}
            {t.tags?.map((x) => <span class="tag" key={x}>{x}</span>)}
          </div>
          <nav class="tabs" aria-label="Views of the tenant">
            {tabs.map((x) => <a key={x} href={href(["tenants", id], { tab: x })} aria-current={x === tab ? "page" : undefined}>{words(x)}</a>)}
          </nav>
          {tab === "overview" && <Present t={t} />}
          {tab === "usage" && <Usage t={t} />}
          {tab === "performance" && <Usage t={t} performance />}
          {tab === "activity" && <History t={t} of="activities" key={tab} />}
          {tab === "sign-ins" && <History t={t} of="logins" key={tab} />}
          {tab === "database" && <Database t={t} size={report.data?.usage} />}
          {tab === "record" && <Details t={t} />}
          {tab === "limits" && <Limits t={t} done={record.reload} key={t.id} />}
          {tab === "access" && <Access t={t} done={record.reload} />}
          {tab === "keys" && <Keys tenant={t.id} />}
          {tab === "maintenance" && <Maintenance path={`tenants/${encodeURIComponent(t.id)}/maintenance`} what={t.slug} permission="tenants.maintenance" />}
          {tab === "audit" && <Entries tenant={t.id} />}
          {verb && <Ask t={t} verb={verb} close={() => setVerb(undefined)} done={record.reload} />}
          {editing && <Edit t={t} close={() => setEditing(false)} done={record.reload} />}
        </>
      )}
    </Page>
  );
}

function Present({ t }: { t: TenantRecord }) {
  const { data, error } = useGet<Report>(wired("reports") ? "analytics/tenant/" + encodeURIComponent(t.id) : null, { window: "24h" }, 10);
  const live = useLive<Now>(wired("reports") ? "tenant:" + t.id : null);
  const points = useRates("tenant:" + t.id, live);
  const judged = useGet<Reads["analytics/health"]>(wired("reports") && may("health.read") ? "analytics/health" : null, { filter: "id:" + t.id, limit: 1 }, 15).data?.tenants[0];
  if (!wired("reports")) return <p class="muted">The application has not wired usage figures.</p>;
  return (
    <>
      <Failure error={unknown(error) ? undefined : error} />
      <section>
        {judged && judged.status === "active" && <p class="row"><State name={judged.health} /> <span class="muted">{judged.reasons.map((r) => r.text).join(" ")}</span></p>}
        <dl class="figures">
          <KeyFigure name="Requests a second" f={live?.data.total.requests} unit="" note={live ? "now" : "waiting for the stream"} />
          <KeyFigure name="Requests, 24 h" f={data?.usage.requests} unit="" />
          <KeyFigure name="Server errors, 24 h" f={data?.usage.errors ?? data?.usage.status_5xx} unit="" />
          <KeyFigure name="p95, 24 h" f={data?.usage.latency_p95} />
          <KeyFigure name="CPU time, 24 h" f={data?.usage.cpu_time} />
          <KeyFigure name="Storage" f={data?.usage.storage} />
        </dl>
      </section>
      <section>
        <h2>Now</h2>
        <Chart title="Requests" unit="1/s" window="last 5 minutes, live" span={300} times={points.map((p) => p.t)} lines={[{ name: "requests", points: points.map((p) => p.rps) }, { name: "errors", points: points.map((p) => p.eps), colour: "bad" }]} />
      </section>
      {may("analytics.read") && <Outlook t={t} />}
      {may("activities.read") && (
        <section>
          <h2>Recent activity</h2>
          <Activities rows={data?.activities} tenant={false} />
        </section>
      )}
    </>
  );
}

const forecasts: [name: string, title: string][] = [["requests", "Requests"], ["storage", "Storage"]];

/** Outlook says when the first of the tenant's limits is reached, and how figures go on, with their bands and by how much they were wrong before, or why nothing is said. */
function Outlook({ t }: { t: TenantRecord }) {
  const reaches = useGet<Reads["analytics/tenants"]>("analytics/tenants", { filter: "id:" + t.id, limit: 1 }).data?.tenants[0]?.reaches;
  const path = "analytics/forecast/" + encodeURIComponent(t.id);
  const all = forecasts.map(([name, title]) => ({ name, title, of: useGet<Forecast>(path, { name }).data })); // always as many
  if (!all.some((f) => f.of)) return null;
  return (
    <section>
      <h2>Forecast</h2>
      <Facts of={[
        ...(reaches ? [limitOf(reaches)] : []),
        ...all.flatMap(({ title, of }): Parameters<typeof Facts>[0]["of"] => {
          const last = of?.days[of.days.length - 1];
          if (!of) return [];
          if (of.refused || !last) return [[title, <span class="muted">none: {of.refused || "there are no days to go by"}</span>]];
          const say = (n: number) => plain(n, of.unit);
          return [[`${title} on ${day(last.day)}`, <>{say(last.value)} <span class="muted">between {say(last.low)} and {say(last.high)}; the model {of.model} was wrong by {plain(of.error, "ratio")} over {of.tested_days} days</span></>]];
        }),
      ]} />
    </section>
  );
}

/** limitOf says when a limit is reached. */
function limitOf(r: NonNullable<Reads["analytics/tenants"]["tenants"][number]["reaches"]>): [string, string] {
  if (!r.figure || !r.earliest) return ["Reaches a limit", "not within 90 days, or nobody can tell"];
  const limit = r.limit ? plain(r.limit, r.figure === "storage" ? "bytes" : "") + " " : "";
  return [`Reaches its limit of ${words(r.figure).toLowerCase()}`, limit + (r.latest ? `between ${day(r.earliest)} and ${day(r.latest)}` : `from ${day(r.earliest)} on, or later`)];
}

const groups: { title: string; columns: string[] }[] = [
  { title: "Requests", columns: ["requests", "errors"] },
  { title: "Bytes", columns: ["bytes_in", "bytes_out"] },
  { title: "CPU time", columns: ["cpu_time"] },
  { title: "Memory", columns: ["memory_bytes"] },
];
const performanceGroups: typeof groups = [
  { title: "Latency", columns: ["latency_p50", "latency_p95", "latency_p99"] },
  { title: "Database time", columns: ["statement_time", "wait_time"] },
  { title: "Statements", columns: ["statements", "statement_errors"] },
];

function Usage({ t, performance = false }: { t: TenantRecord; performance?: boolean }) {
  const q = route.value.query;
  const window = (q.get("window") ?? "24h") as (typeof windows)[number];
  const [from, to] = [q.get("from") ?? "", q.get("to") ?? ""];
  const period: { [name: string]: string } = from && to ? { from, to } : { window };
  const said = from && to ? `${time(from)} to ${time(to)}` : "last " + window;
  const beside = q.get("beside") === "before";
  const shown = performance ? performanceGroups : groups;
  const names = shown.flatMap((g) => g.columns).join();
  const path = "analytics/tenant/" + encodeURIComponent(t.id);
  const every = from ? 0 : 30;
  const { data, error, loading, reload } = useGet<Report>(path, period, every);
  const series = useGet<SeriesReport>(path + "/series", { ...period, names }, every);
  // The period before, of the same length: its points stand at the times of this one.
  const p = series.data?.period;
  const length = p?.from && p.to ? +new Date(p.to) - +new Date(p.from) : 0;
  const earlier = useGet<SeriesReport>(beside && length ? path + "/series" : null, { names, from: length ? new Date(+new Date(p!.from!) - length).toISOString() : "", to: p?.from }, 0, true);
  const events = useGet<{ activities: Activity[] }>(may("activities.read") ? "analytics/activities" : null, { tenant: t.id, ...period, limit: 100 }, every);
  const marks = events.data?.activities.filter((a) => /^(tenant|maintenance|run|limit)/.test(a.activity_type)).map((a) => ({ at: +new Date(a.created_at) / 1000, text: `${time(a.created_at)}: ${a.description || a.activity_type}` }));
  const zoom = (a: number, b: number) => setQuery({ from: new Date(a * 1000).toISOString(), to: new Date(b * 1000).toISOString() });
  return (
    <>
      <div class="row" style={{ marginBottom: "16px" }}>
        <Segments label="Window" value={(from ? "" : window) as typeof window} of={windows} set={(w) => setQuery({ window: w, from: "", to: "" })} />
        {from && <span class="chip">{said} <button type="button" class="plain" aria-label="The whole window" onClick={() => setQuery({ from: "", to: "" })}>×</button></span>}
        <label class="check inline"><input type="checkbox" checked={beside} onChange={() => setQuery({ beside: beside ? "" : "before" })} /> the period before</label>
      </div>
      <Failure error={unknown(error) ? undefined : error} retry={reload} />
      <Failure error={unknown(series.error) ? undefined : series.error} retry={series.reload} />
      <Waiting on={loading && !data} />
      {(unknown(series.error) || (series.data && Object.keys(series.data.series).length === 0)) && <div class="empty">Nothing was counted in this window yet.</div>}
      <h2 class="sr">Over time</h2>
      <div class="charts">
        {shown.map((g) => {
          const drawn = g.columns.map((c) => ({ c, of: whole(series.data, c)!, was: beside ? whole(earlier.data, c) : undefined })).filter((d) => d.of);
          if (!drawn.length) return null;
          return (
            <Chart key={g.title} title={g.title} unit={drawn[0].of.unit} window={said} times={drawn[0].of.times} zoom={zoom} marks={marks}
              lines={[
                ...drawn.map(({ c, of }) => ({ name: words(c), points: of.values, colour: c === "errors" ? "bad" : undefined })),
                ...drawn.filter((d) => d.was).map(({ c, was, of }) => ({ name: "before" + (drawn.length > 1 ? ", " + c : ""), points: of.times.map((_, i) => was!.values[i] ?? null), colour: "control" })),
              ]} />
          );
        })}
      </div>
      {performance && <Routes t={t} period={period} />}
      {performance && data?.slowest_statements && (
        <section>
          <h2>Slowest statements, {said}</h2>
          <Statements rows={data.slowest_statements} />
        </section>
      )}
      {data && (
        <section>
          <h2>All figures, {said}</h2>
          <FiguresTable figures={{ ...data.usage, ...data.own }} />
        </section>
      )}
    </>
  );
}

/** Routes says which routes the tenant's requests were for. */
function Routes({ t, period }: { t: TenantRecord; period: { [name: string]: string } }) {
  const { data, error } = useGet<Reads["analytics/patterns/{id}"]>("analytics/patterns/" + encodeURIComponent(t.id), { ...period, limit: 50 }, 30);
  const rows = data?.patterns;
  return (
    <section>
      <h2>Routes</h2>
      <Failure error={unknown(error) ? undefined : error} />
      <Table label="Routes" rows={rows} id={(r) => r.pattern} empty="No routes were counted in this window." of={[
        { title: "Route", cell: (r) => <code>{r.pattern || "–"}</code> },
        ...Object.keys(Object.assign({}, ...(rows ?? []).map((r) => r.usage)) as object).slice(0, 8).map((f) => value<NonNullable<typeof rows>[number]>(words(f), (r) => r.usage[f])),
      ]} />
    </section>
  );
}

function FiguresTable({ figures }: { figures: { [name: string]: Figure } }) {
  const names = Object.keys(figures).filter((n) => figures[n]).sort();
  return (
    <Table label="All figures" rows={names} id={(n) => n} of={[
      { title: "Figure", cell: words },
      { title: "Value", num: true, cell: (n) => (figures[n].unit === "us_since_1970" ? time(new Date((figures[n].value ?? 0) / 1000).toISOString()) : <Value f={figures[n]} />) },
      { title: "Unless measured", muted: true, cell: (n) => how(figures[n]) },
    ]} />
  );
}

function History({ t, of }: { t: TenantRecord; of: "activities" | "logins" }) {
  const type = route.value.query.get("type") ?? "";
  const cursor = cursorOf();
  const { data, error, loading } = useGet<{ activities: Activity[]; next?: string }>("analytics/" + of, { tenant: t.id, type, limit: 100, cursor }, cursor ? 0 : 10);
  const [types, setTypes] = useState<string[]>([]);
  useEffect(() => setTypes((old) => [...new Set([...old, ...(data?.activities ?? []).map((a) => a.activity_type)])].sort()), [data]);
  return (
    <>
      {of === "activities" && (
        <select aria-label="Kind" style={{ width: "auto", marginBottom: "16px" }} value={type} onChange={(e) => setQuery({ type: e.currentTarget.value, cursor: "" })}>
          {[...new Set(["", type, ...types])].map((x) => <option key={x} value={x}>{x || "everything"}</option>)}
        </select>
      )}
      {of === "logins" && <Users t={t} />}
      <Failure error={error} />
      <Waiting on={loading && !data} />
      {of === "logins" && <h2>Sign-ins</h2>}
      {data && <Activities rows={data.activities} tenant={false} empty={type ? "Nothing of this kind has happened." : of === "logins" ? "Nobody has signed in yet." : undefined} />}
      <Paging of={{ data, loading }} />
    </>
  );
}

/** Users sums up the sign-ins of the tenant's users over the last 30 days. */
function Users({ t }: { t: TenantRecord }) {
  const failures = route.value.query.get("sort") === "-failures";
  const cursor = cursorOf("users");
  const { data, error, loading, reload } = useGet<LoginSubjects>("analytics/logins/subjects", { tenant: t.id, sort: failures ? "-failures" : "", limit: 20, cursor }, cursor ? 0 : 15);
  const sort = (by: string) => setQuery({ sort: by, users: "" });
  return (
    <section>
      <div class="head" style={{ marginBottom: "12px" }}>
        <h2 style={{ margin: 0 }}>Users, last 30 days</h2>
        <div class="tools"><button type="button" aria-pressed={failures} onClick={() => sort(failures ? "" : "-failures")}>Most failures first</button></div>
      </div>
      <Failure error={error} retry={reload} />
      <Table<LoginSubjects["subjects"][number]> label="Users" rows={data?.subjects} id={(s) => s.subject} empty="No user has signed in." of={[
        { title: "User", cell: (s) => s.subject }, value("Sign-ins", (s) => s.logins), value("Failures", (s) => s.failures),
        { title: "Last sign-in", muted: true, cell: (s) => <When at={s.last_login} /> }, { title: "Last failure", muted: true, cell: (s) => <When at={s.last_failure} /> },
        { title: "Addresses", wide: true, cell: (s) => s.addresses.join(", ") },
      ]} />
      <Paging of={{ data, loading }} name="users" />
    </section>
  );
}

function Ask({ t, verb, close, done }: { t: TenantRecord; verb: (typeof verbs)[number]; close(): void; done(): void }) {
  const [now, setNow] = useState(false);
  const run = async (reason: string) => {
    await change(t.id, (etag) => call(`tenants/${encodeURIComponent(t.id)}/${verb.verb}`, { method: "POST", reason, etag, body: verb.confirm ? { confirm: t.slug, now } : undefined }));
    done();
  };
  return (
    <Confirm title={verb.title} of={t.name} danger={verb.typed} typed={verb.typed ? t.slug : undefined} reasoned={now} run={run} close={close}>
      <p>It is {t.status} now.{verb.verb === "resume" && " Its creation goes on where it was cut off, which may take minutes."}{verb.verb === "purge" && ` Its database and its record are removed for good${now ? "" : ", once the grace time is over"}.`}</p>
      {verb.verb === "purge" && t.status !== "purging" && <label class="check"><input type="checkbox" checked={now} onChange={(e) => setNow(e.currentTarget.checked)} /> Now, before its grace time is over</label>}
    </Confirm>
  );
}
