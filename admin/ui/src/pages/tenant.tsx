import { useState } from "preact/hooks";
import { call, Problem } from "../api";
import { Chart } from "../chart";
import { figure, time } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { useLive } from "../live";
import { Dialog, Failure, Field, how, KeyFigure, Page, Segments, State, Value, Waiting, windows, type Figure } from "../parts";
import { href, route, setQuery } from "../router";
import { may, wired } from "../session";
import { Activities, type Activity } from "../timeline";
import { useRates, type Now } from "./overview";
import { Entries } from "./audit";
import { Keys } from "./keys";
import { Maintenance } from "./maintenance";

export interface Record {
  id: string;
  slug: string;
  name: string;
  domains?: string[];
  status: string;
  server: string;
  database: string;
  plan?: string;
  tags?: string[];
  limits?: { [name: string]: number };
  settings?: { [name: string]: string };
  version: number;
  schema_version?: number;
  created_at: string;
  updated_at: string;
}

interface SeriesReport {
  series: { [name: string]: { unit: string; points: { at: string; value: number | null; max: number | null }[] } };
}

interface Report {
  usage: { [name: string]: Figure };
  own?: { [name: string]: Figure };
  activities: Activity[];
}

/** unknown reports whether the reports have not heard of the tenant yet: nothing was counted so far. */
const unknown = (error: unknown): boolean => error instanceof Problem && error.status === 404;

const verbs: { verb: string; title: string; permission: string; from: string[]; typed?: boolean; part?: string; confirm?: boolean }[] = [
  { verb: "activate", title: "Activate", permission: "tenants.status", from: ["suspended", "blocked", "inactive", "provisioning"] },
  { verb: "suspend", title: "Suspend", permission: "tenants.status", from: ["active"], typed: true },
  { verb: "block", title: "Block", permission: "tenants.status", from: ["active", "suspended", "inactive"], typed: true },
  { verb: "deactivate", title: "Deactivate", permission: "tenants.status", from: ["active", "suspended", "blocked"] },
  { verb: "archive", title: "Archive", permission: "tenants.archive", from: ["active", "suspended", "blocked", "inactive"], typed: true, part: "lifecycle" },
  { verb: "restore", title: "Restore", permission: "tenants.restore", from: ["archived"], part: "lifecycle" },
  { verb: "purge", title: "Purge", permission: "tenants.purge", from: ["archived", "purging"], typed: true, part: "lifecycle", confirm: true },
];

/** useRecord loads one tenant with the ETag that a change needs. */
function useRecord(id: string) {
  return useGet<Record>("tenants/" + encodeURIComponent(id), {}, 10);
}

export function Tenant({ id }: { id: string }) {
  const record = useRecord(id);
  const t = record.data;
  const tab = route.value.query.get("tab") ?? "overview";
  const [verb, setVerb] = useState<(typeof verbs)[number]>();
  const [editing, setEditing] = useState(false);
  const tabs = [
    "overview",
    ...(wired("reports") && may("analytics.read") ? ["usage", "performance"] : []),
    ...(wired("reports") && may("activities.read") ? ["activity", "sign-ins"] : []),
    "record",
    ...(wired("keys") && may("tenants.keys") ? ["keys"] : []),
    ...(wired("maintenance") && may("tenants.maintenance") ? ["maintenance"] : []),
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
            {verbs.filter((v) => may(v.permission) && (!v.part || wired(v.part)) && v.from.includes(t.status)).map((v) => (
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
            {tabs.map((x) => <a key={x} href={href(["tenants", id], { tab: x })} aria-current={x === tab ? "page" : undefined}>{x}</a>)}
          </nav>
          {tab === "overview" && <Present t={t} />}
          {tab === "usage" && <Usage t={t} />}
          {tab === "performance" && <Usage t={t} performance />}
          {tab === "activity" && <History t={t} of="activities" key={tab} />}
          {tab === "sign-ins" && <History t={t} of="logins" key={tab} />}
          {tab === "record" && <Details t={t} />}
          {tab === "keys" && <Keys tenant={t.id} />}
          {tab === "maintenance" && <Maintenance path={`tenants/${encodeURIComponent(t.id)}/maintenance`} what={t.slug} />}
          {tab === "audit" && <Entries tenant={t.id} />}
          {verb && <Confirm t={t} verb={verb} close={() => setVerb(undefined)} done={record.reload} />}
          {editing && <Edit t={t} close={() => setEditing(false)} done={record.reload} />}
        </>
      )}
    </Page>
  );
}

function Present({ t }: { t: Record }) {
  const { data, error } = useGet<Report>(wired("reports") ? "analytics/tenant/" + encodeURIComponent(t.id) : null, { window: "24h" }, 10);
  const live = useLive<Now>(wired("reports") ? "tenant:" + t.id : null);
  const points = useRates(live);
  const last = points.findLast((p) => p.rps !== null);
  if (!wired("reports")) return <p class="muted">The application has not wired usage figures.</p>;
  return (
    <>
      <Failure error={unknown(error) ? undefined : error} />
      <section>
        <dl class="figures">
          <KeyFigure name="Requests a second" f={last?.rps ?? null} note={last ? "now" : "waiting for the stream"} />
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
      {may("activities.read") && (
        <section>
          <h2>Recent activity</h2>
          <Activities rows={data?.activities} tenant={false} />
        </section>
      )}
    </>
  );
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

function Usage({ t, performance = false }: { t: Record; performance?: boolean }) {
  const window = (route.value.query.get("window") ?? "24h") as (typeof windows)[number];
  const shown = performance ? performanceGroups : groups;
  const path = "analytics/tenant/" + encodeURIComponent(t.id);
  const { data, error, loading, reload } = useGet<Report>(path, { window }, 30);
  const series = useGet<SeriesReport>(path + "/series", { window, names: shown.flatMap((g) => g.columns).join() }, 30);
  const found = series.data?.series ?? {};
  return (
    <>
      <div class="row" style={{ marginBottom: "16px" }}>
        <Segments label="Window" value={window} of={windows} set={(w) => setQuery({ window: w })} />
      </div>
      <Failure error={unknown(error) ? undefined : error} retry={reload} />
      <Failure error={unknown(series.error) ? undefined : series.error} retry={series.reload} />
      <Waiting on={loading && !data} />
      {(unknown(series.error) || (series.data && Object.keys(found).length === 0)) && <div class="empty">Nothing was counted in this window yet.</div>}
      <h2 class="sr">Over time</h2>
      <div class="charts">
        {shown.map((g) => {
          const columns = g.columns.filter((c) => found[c]?.points.length);
          if (!columns.length) return null;
          return (
            <Chart key={g.title} title={g.title} unit={found[columns[0]].unit} window={"last " + window} times={found[columns[0]].points.map((p) => +new Date(p.at) / 1000)}
              lines={columns.map((c) => ({ name: c.replaceAll("_", " "), points: found[c].points.map((p) => p.value), colour: c === "errors" ? "bad" : undefined }))} />
          );
        })}
      </div>
      {data && (
        <section>
          <h2>All figures, last {window}</h2>
          <FiguresTable figures={{ ...data.usage, ...data.own }} />
        </section>
      )}
    </>
  );
}

function FiguresTable({ figures }: { figures: { [name: string]: Figure } }) {
  const names = Object.keys(figures).filter((n) => figures[n]).sort();
  return (
    <table>
      <thead><tr><th scope="col">Figure</th><th scope="col" class="num">Value</th><th scope="col">How it was obtained</th></tr></thead>
      <tbody>
        {names.map((n) => (
          <tr key={n}>
            <td>{n.replaceAll("_", " ")}</td>
            <td class="num">{figures[n].unit === "us_since_1970" ? time(new Date((figures[n].value ?? 0) / 1000).toISOString()) : <Value f={figures[n]} unit={figures[n].unit === "count" ? "" : undefined} />}</td>
            <td class="muted">{how(figures[n]) || figures[n].method}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function History({ t, of }: { t: Record; of: "activities" | "logins" }) {
  const { data, error, loading } = useGet<{ activities: Activity[] }>("analytics/" + of, { tenant: t.id, limit: 100 }, 10);
  return (
    <>
      <Failure error={error} />
      <Waiting on={loading && !data} />
      {data && <Activities rows={data.activities} tenant={false} empty={of === "logins" ? "Nobody has signed in yet." : undefined} />}
    </>
  );
}

function Details({ t }: { t: Record }) {
  const rows: [string, string][] = [
    ["ID", t.id], ["Slug", t.slug], ["Name", t.name], ["Domains", t.domains?.join(", ") || "none"], ["Plan", t.plan || "none"], ["Tags", t.tags?.join(", ") || "none"],
    ["Server", t.server], ["Database", t.database], ["Schema version", t.schema_version ? String(t.schema_version) : "not known"],
    ["Record's version", String(t.version)], ["Created", time(t.created_at)], ["Changed", time(t.updated_at)],
  ];
  const limits = Object.entries(t.limits ?? {});
  return (
    <>
      <table><tbody>{rows.map(([k, v]) => <tr key={k}><th scope="row">{k}</th><td>{v}</td></tr>)}</tbody></table>
      {limits.length > 0 && (
        <section>
          <h2>Limits</h2>
          <table><tbody>{limits.map(([k, v]) => <tr key={k}><th scope="row">{k}</th><td class="num">{figure(v).number}</td></tr>)}</tbody></table>
        </section>
      )}
    </>
  );
}

function Confirm({ t, verb, close, done }: { t: Record; verb: (typeof verbs)[number]; close(): void; done(): void }) {
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const form = useForm(async () => {
    await change(t.id, (etag) => call(`tenants/${encodeURIComponent(t.id)}/${verb.verb}`, { method: "POST", reason, etag, body: verb.confirm ? { confirm: typed.trim() } : undefined }));
    done();
    close();
  });
  return (
    <Dialog title={verb.title} close={close}>
      <form onSubmit={form.submit}>
        <h2>{verb.title} {t.name}</h2>
        <p>It is {t.status} now.{verb.verb === "purge" && " Its database and its record are removed for good, once the grace time is over."}</p>
        <Field label="Reason" hint="The audit keeps it." value={reason} onInput={(e) => setReason(e.currentTarget.value)} autofocus />
        {verb.typed && <Field label={`Type "${t.slug}"`} value={typed} onInput={(e) => setTyped(e.currentTarget.value)} autocomplete="off" />}
        <Failure error={form.error} />
        <div class="actions">
          <button type="button" onClick={close}>Cancel</button>
          <button class={verb.typed ? "danger" : "primary"} disabled={form.busy || (verb.typed && typed.trim() !== t.slug)}>{verb.title}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** change reads the record's ETag and makes the change under it. */
async function change(id: string, make: (etag: string) => Promise<unknown>): Promise<void> {
  const now = await call<Record>("tenants/" + encodeURIComponent(id));
  await make(now.etag);
}

function Edit({ t, close, done }: { t: Record; close(): void; done(): void }) {
  const [f, set] = useState({
    name: t.name,
    plan: t.plan ?? "",
    tags: (t.tags ?? []).join(" "),
    limits: Object.entries(t.limits ?? {}).map(([k, v]) => `${k}=${v}`).join("\n"),
  });
  const form = useForm(async () => {
    const limits: { [name: string]: number } = {};
    for (const line of f.limits.split("\n").map((l) => l.trim()).filter(Boolean)) {
      const [k, v] = line.split("=", 2);
      if (!k || v === undefined || !/^-?\d+$/.test(v.trim())) throw new Problem(422, "validation", "Limits", `"${line}" is not of the form name=number.`, "", [], 0);
      limits[k.trim()] = Number(v);
    }
    // Each kind of change has a permission, a call and an entry of its own. The ETag of one answer is the condition of the next.
    const path = "tenants/" + encodeURIComponent(t.id);
    const tags = f.tags.split(/[\s,]+/).filter(Boolean);
    let etag = `"v${t.version}"`;
    if (f.name !== t.name || f.plan !== (t.plan ?? "")) etag = (await call(path, { method: "PATCH", body: { name: f.name, plan: f.plan }, etag })).etag;
    if (may("tenants.tag") && tags.join() !== (t.tags ?? []).join()) etag = (await call(path + "/tags", { method: "PUT", body: { tags }, etag })).etag;
    if (may("tenants.limits") && JSON.stringify(limits) !== JSON.stringify(t.limits ?? {})) await call(path + "/limits", { method: "PUT", body: { limits }, etag });
    done();
    close();
  });
  return (
    <Dialog title="Edit" close={close}>
      <form onSubmit={form.submit}>
        <h2>Edit {t.slug}</h2>
        <Field label="Name" value={f.name} onInput={(e) => set({ ...f, name: e.currentTarget.value })} error={form.of("name")} />
        <Field label="Plan" value={f.plan} onInput={(e) => set({ ...f, plan: e.currentTarget.value })} error={form.of("plan")} />
        {may("tenants.tag") && <Field label="Tags" hint="Separated by spaces." value={f.tags} onInput={(e) => set({ ...f, tags: e.currentTarget.value })} error={form.of("tags")} />}
        {may("tenants.limits") && (
          <div class="field">
            <label for="limits">Limits, one name=number a line</label>
            <textarea id="limits" rows={4} class="mono" value={f.limits} onInput={(e) => set({ ...f, limits: e.currentTarget.value })} />
          </div>
        )}
        {form.error instanceof Problem && form.error.status === 412 ? <div class="notice warn" role="alert">Somebody changed the tenant meanwhile. Close this, look at it again, and repeat your change.</div> : <Failure error={form.error} />}
        <div class="actions">
          <button type="button" onClick={close}>Cancel</button>
          <button class="primary" disabled={form.busy}>Save</button>
        </div>
      </form>
    </Dialog>
  );
}

