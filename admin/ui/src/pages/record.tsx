// What a tenant's record says, and its changes.
import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api";
import type { Reads, Tenant } from "../api-types";
import { Chart } from "../chart";
import { Confirm } from "../confirm";
import { figure, time } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Field, State, Value, Waiting, type Figure } from "../parts";
import { Paging, cursorOf } from "../paging";
import { setQuery } from "../router";
import { may, offered, wired } from "../session";
import { Facts, Table } from "../table";
import { Theirs, useTyped } from "../typed";
import { RunsTable } from "./runs";

const address = (t: Tenant) => "tenants/" + encodeURIComponent(t.id);
const list = (text: string) => text.split(/[\s,]+/).filter(Boolean);
const lines = (limits: Tenant["limits"]) => Object.entries(limits ?? {}).map(([k, v]) => `${k}=${v}`).join("\n");

/** change reads the record's ETag and makes the change under it. */
export async function change(id: string, make: (etag: string) => Promise<unknown>): Promise<void> {
  await make((await call("tenants/" + encodeURIComponent(id))).etag);
}

export function Details({ t }: { t: Tenant }) {
  return (
    <Facts of={[
      ["ID", <code>{t.id}</code>], ["Slug", t.slug], ["Name", t.name], ["Domains", t.domains?.join(", ") || "none"], ["Plan", t.plan || "none"], ["Tags", t.tags?.join(", ") || "none"],
      ["Record's version", t.version], ["Created", time(t.created_at)], ["Changed", time(t.updated_at)],
    ]} />
  );
}

/** Database shows where the tenant's data is, and who uses it now. */
export function Database({ t, size }: { t: Tenant; size?: { [name: string]: Figure } }) {
  const pool = useGet<Reads["pools"]>(offered({ permission: "health.read", part: "pool", everywhere: true }) ? "pools/" + encodeURIComponent(t.server) : null, {}, 3);
  const room = useGet<Reads["analytics/storage/{id}"]>(offered({ permission: "analytics.read", part: "reports" }) ? "analytics/storage/" + encodeURIComponent(t.id) : null, { window: "90d" });
  const now = pool.data?.tenants.find((x) => x.tenant === t.id);
  return (
    <>
      <Facts of={[
        ["Server", t.server], ["Database", <code>{t.database}</code>], ["Schema version", (t as { schema_version?: number }).schema_version || "not known"],
        ["Size", <Value f={size?.storage} />], ["Statements, 24 h", <Value f={size?.statements} />], ["Time of statements, 24 h", <Value f={size?.statement_time} />], ["Time of waiting for connections, 24 h", <Value f={size?.wait_time} />],
      ]} />
      {pool.data && (
        <section>
          <h2>Connections now</h2>
          {now ? (
            <Facts of={[["State", <State name={now.down ? "down" : "ok"} />], ["Connections", now.conns], ["Idle", now.idle], ["Requests that wait", now.waiting]]} />
          ) : <p class="muted">None of the instance that answers: the tenant is not among the busiest of its server.</p>}
        </section>
      )}
      {room.data && room.data.days.length > 1 && (
        <section>
          <Chart title="Size" unit="bytes" window="by day" times={room.data.days.map((d) => +new Date(d.day) / 1000)} lines={[{ name: "size", points: room.data.days.map((d) => d.bytes) }]} />
        </section>
      )}
      <Failure error={pool.error} retry={pool.reload} />
      <Schema t={t} />
    </>
  );
}

const works: { [verb: string]: [title: string, text: string] } = {
  migrate: ["Migrate", "The migrations that its database lacks are applied, in a run of its own."],
  seed: ["Seed", "Its database is filled with what the application gives new tenants, in a run of its own."],
};

/** Schema shows the migrations of a tenant's database and the runs about the tenant, and starts such runs. */
function Schema({ t }: { t: Tenant }) {
  const reads = offered({ permission: "runs.read", part: "runs" });
  const open = !!t.database && !["provisioning", "archived", "purging"].includes(t.status);
  const schema = useGet<Reads["tenants/{id}/migrations"]>(wired("migrations") && open ? address(t) + "/migrations" : null);
  const cursor = cursorOf();
  const runs = useGet<Reads["tenants/{id}/runs"]>(reads ? address(t) + "/runs" : null, { limit: 10, cursor }, cursor ? 0 : 3);
  const [verb, setVerb] = useState("");
  const migrated = runs.data?.runs.filter((r) => r.task === "migrate" && r.ended_at).map((r) => r.id).join();
  useEffect(() => {
    if (schema.data) schema.reload(true); // a run has ended
  }, [migrated]);
  const s = schema.data;
  const start = async (reason: string) => {
    await call(`${address(t)}/${verb}`, { method: "POST", reason });
    setQuery({ cursor: "" }, true);
    runs.reload();
  };
  return (
    <>
      <section>
        <div class="head" style={{ marginBottom: "12px" }}>
          <h2 style={{ margin: 0 }}>Migrations</h2>
          {open && offered({ permission: "tenants.migrate", part: "runs" }) && <div class="tools">{Object.entries(works).map(([v, [title]]) => <button type="button" key={v} onClick={() => setVerb(v)}>{title}</button>)}</div>}
        </div>
        {!wired("migrations") && <p class="muted">The application has not said how the schemas of databases stand.</p>}
        <Failure error={schema.error} retry={schema.reload} />
        <Waiting on={schema.loading && !s && wired("migrations") && open} />
        {s?.half && (
          <div class="notice warn">
            <code>{s.half.file}</code> was {s.half.down ? "being taken back" : "being applied"} and stopped at statement {s.half.statement}, {s.half.failed ? "which failed" : "and nobody knows whether that was carried out"}.
            Nothing is migrated before somebody has looked at the database: see <code>db resume</code> and <code>db mark</code> of the command line.
          </div>
        )}
        {s && <p>{s.up_to_date ? `All are applied, up to version ${s.version}.` : `Applied up to version ${s.version} of ${s.target}.`}</p>}
        {!!s?.unknown.length && <div class="notice warn">The database has migrations that this application does not know: {s.unknown.join(", ")}.</div>}
        {!!s?.pending.length && <Table label="Pending migrations" rows={s.pending} id={(m) => String(m.version)} of={[{ title: "Pending", cell: (m) => <code>{m.file}</code> }, { title: "Version", num: true, cell: (m) => m.version }]} />}
      </section>
      {reads && (
        <section>
          <h2>Runs</h2>
          <Failure error={runs.error} retry={runs.reload} />
          <RunsTable rows={runs.data?.runs} empty="No run was about this tenant." />
          <Paging of={runs} />
        </section>
      )}
      {verb && <Confirm title={works[verb][0]} of={t.name || t.slug} run={start} close={() => setVerb("")}><p>{works[verb][1]}</p></Confirm>}
    </>
  );
}

/** limitsOf reads lines of the form name=number. What it cannot send as it was typed is a Problem. */
function limitsOf(text: string): { [name: string]: number } {
  const limits: { [name: string]: number } = Object.create(null);
  for (const line of text.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const [, name, value] = /^([^=]*[^=\s])\s*=\s*(-?\d+)$/.exec(line) ?? [];
    const wrong = !name ? "is not of the form name=number." : name in limits ? "is there twice." : !Number.isSafeInteger(+value) && "is too large for this page. Use the command line.";
    if (wrong) throw new Problem(422, "validation", "Limits", `“${line}” ${wrong}`, "", [], 0);
    limits[name] = +value;
  }
  return limits;
}

/** Limits shows and changes the tenant's limits. */
export function Limits({ t: read, done }: { t: Tenant; done(): void }) {
  const [saved, setSaved] = useState(read);
  const t = saved.version > read.version ? saved : read;
  const now = { limits: lines(t.limits) };
  const { f, type, keep, take, forget, theirs, changed } = useTyped(now);
  const form = useForm(async () => {
    const limits = limitsOf(f.limits);
    const { data: at } = await call<Tenant>(address(t));
    setSaved(at);
    if (lines(at.limits) !== now.limits) return; // somebody has changed them: the operator chooses
    setSaved((await call<Tenant>(address(t) + "/limits", { method: "PUT", body: { limits }, etag: at.etag })).data);
    forget();
    done();
  });
  const rows = Object.entries(t.limits ?? {});
  return (
    <>
      {!rows.length && <p class="muted">The tenant has no limits of its own: those of its plan or of the application apply.</p>}
      <Table label="Limits" rows={rows} id={(r) => r[0]} of={[{ title: "Limit", cell: (r) => r[0] }, { title: "Value", num: true, cell: (r) => figure(r[1]).number }]} />
      {may("tenants.limits") && (
        <section>
          <form onSubmit={form.submit} style={{ maxWidth: "480px" }}>
            <div class="field">
              <label for="limits">Limits, one name=number a line</label>
              <textarea id="limits" rows={5} class="mono" value={f.limits} onInput={(e) => type({ limits: e.currentTarget.value })} />
            </div>
            <Failure error={form.error} />
            {theirs.length > 0 && <Theirs of={theirs} titles={{ limits: "Limits" }} now={now} mine={f} take={take} keep={keep} />}
            <button class="primary" disabled={form.busy || !changed || theirs.length > 0}>Save the limits</button>
          </form>
        </section>
      )}
    </>
  );
}

const fields = { name: "Name", slug: "Slug", plan: "Plan", tags: "Tags", domains: "Domains" };
type Form = { [name in keyof typeof fields]: string };
const formOf = (t: Tenant): Form => ({ name: t.name, slug: t.slug, plan: t.plan ?? "", tags: (t.tags ?? []).join(" "), domains: (t.domains ?? []).join(" ") });

/** Edit changes the record. Each kind of change has a permission, a call and an entry of its own; the ETag of one answer is the condition of the next. */
export function Edit({ t: opened, close, done }: { t: Tenant; close(): void; done(): void }) {
  const [t, setT] = useState(opened); // what the changes are changes of
  const [f, set] = useState(formOf(t));
  const [theirs, setTheirs] = useState<Tenant>();
  const form = useForm(async () => {
    const path = address(t);
    const was = formOf(t);
    let at = t;
    // A call that was answered is over: what comes after it, and another try, begin with what it has left behind.
    const send = async (of: (keyof Form)[], to: string, method: string, body?: unknown) => {
      at = (await call<Tenant>(to, { method, body, etag: at.etag })).data;
      setT(at);
      set((old) => ({ ...old, ...Object.fromEntries(of.map((k) => [k, formOf(at)[k]])) }));
    };
    const [before, after] = [list(was.domains), list(f.domains.toLowerCase())];
    try {
      if (f.name !== was.name || f.plan !== was.plan) await send(["name", "plan"], path, "PATCH", { name: f.name, plan: f.plan });
      if (f.slug.trim() !== was.slug) await send(["slug"], path + "/slug", "PUT", { slug: f.slug.trim() });
      if (f.tags !== was.tags) await send(["tags"], path + "/tags", "PUT", { tags: list(f.tags) });
      for (const d of before.filter((d) => !after.includes(d))) await send([], `${path}/domains/${encodeURIComponent(d)}`, "DELETE");
      for (const d of after.filter((d) => !before.includes(d))) await send([], `${path}/domains/${encodeURIComponent(d)}`, "PUT");
    } catch (err) {
      if (at !== t) done();
      if (err instanceof Problem && err.status === 412) setTheirs((await call<Tenant>(path)).data);
      throw err;
    }
    done();
    close();
  });
  const field = (name: keyof Form, hint?: string) => <Field label={fields[name]} hint={hint} value={f[name]} onInput={(e) => set({ ...f, [name]: e.currentTarget.value })} error={form.of(name)} />;
  const differ = theirs && (Object.keys(fields) as (keyof Form)[]).filter((k) => formOf(theirs)[k] !== f[k]);
  return (
    <Dialog title="Edit" close={close}>
      <form onSubmit={form.submit}>
        <h2>Edit {t.slug}</h2>
        {field("name")}
        {field("slug")}
        {f.slug !== t.slug && <div class="notice warn" role="status">Addresses with <code>{t.slug}</code> stop working as soon as you save: nobody is sent on from there.</div>}
        {field("plan")}
        {offered({ permission: "tenants.tag", everywhere: true }) && field("tags", "Separated by spaces.")}
        {field("domains", "Separated by spaces.")}
        <Failure error={form.error} />
        {theirs && (
          <Theirs of={differ!} titles={fields} now={formOf(theirs)} mine={f} take={() => { set(formOf(theirs)); setT(theirs); setTheirs(undefined); }} keep={() => { setT(theirs); setTheirs(undefined); }} />
        )}
        <div class="actions">
          <button type="button" onClick={close}>Cancel</button>
          <button class="primary" disabled={form.busy || !!theirs}>Save</button>
        </div>
      </form>
    </Dialog>
  );
}
