import { useEffect, useState } from "preact/hooks";
import { call } from "../api";
import { Export } from "../export";
import { time } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Failure, Page, State, Waiting } from "../parts";
import { Paging, cursorOf } from "../paging";
import { route, setQuery } from "../router";
import { Table, TenantLink, useNames } from "../table";
import { may } from "../session";

interface Entry {
  id: string;
  time: string;
  action: string;
  result: string;
  tenant?: string;
  problem?: string;
  count: number;
  object?: string;
  request_id?: string;
  reason?: string;
  actor: { kind: string; id?: string; name?: string; address?: string };
  changes?: { field: string; before?: unknown; after?: unknown }[];
}

interface Verification {
  whole: boolean;
  up_to: number;
  entries: number;
  hash: string;
  late?: number;
  fault?: { kind: string; number: number; entry?: string; detail: string };
}

export function Audit() {
  return (
    <Page title="Audit" tools={may("audit.verify") && <Verify />}>
      <Entries />
    </Page>
  );
}

function Verify() {
  const [found, set] = useState<Verification>();
  const [at, setAt] = useState<{ number: number; last: number }>();
  const form = useForm(async () => {
    set(undefined);
    setAt(undefined);
    // The last line is the verdict, those before it say how far the verification is.
    await call("audit/verify", { method: "POST", each: (v) => ("whole" in (v as object) ? set(v as Verification) : setAt(v as typeof at)) });
  });
  const asked = route.value.query.get("verify");
  useEffect(() => {
    if (!asked) return;
    setQuery({ verify: "" }, true);
    void form.submit(new Event("submit"));
  }, [asked]);
  return (
    <form class="row" onSubmit={form.submit}>
      {form.error ? <span class="muted" role="alert">Verifying failed. {form.error instanceof Error ? form.error.message : ""}</span> : null}
      {found && !form.busy && (
        <span role="status">
          <State name={found.whole ? "whole" : "broken"} />{" "}
          {found.fault ? `Entry ${found.fault.number}: ${found.fault.detail}` : `${found.entries.toLocaleString("en")} entries whole up to number ${found.up_to.toLocaleString("en")}${found.late ? `; ${found.late.toLocaleString("en")} say they are older than a checkpoint before them` : ""}`}
        </span>
      )}
      {form.busy && at && <progress max={Math.max(at.last, 1)} value={at.number} aria-label={`${at.number} of ${at.last} entries`} />}
      <button disabled={form.busy}>{form.busy ? "Verifying" : "Verify"}</button>
    </form>
  );
}

/** Entries lists the audit, of one tenant or of all in the operator's scope. */
export function Entries({ tenant }: { tenant?: string }) {
  const q = route.value.query;
  const action = q.get("action") ?? "";
  const result = q.get("result") ?? "";
  const actor = q.get("actor") ?? "";
  const from = q.get("from") ?? "";
  const before = q.get("before") ?? "";
  const instant = (day: string) => (day ? day + "T00:00:00Z" : "");
  const filters = { tenant, action, result, actor, from: instant(from), before: instant(before) };
  const choose = (change: { [name: string]: string }) => setQuery({ cursor: "", ...change });
  const cursor = cursorOf();
  const { data, error, loading, reload } = useGet<{ entries: Entry[]; next?: string }>("audit", { ...filters, cursor, limit: 50 }, cursor ? 0 : 5);
  const names = useNames(!tenant && may("tenants.read") ? data?.entries.flatMap((e) => e.tenant ?? []) : undefined);
  return (
    <>
      <div class="row" style={{ marginBottom: "16px" }}>
        <input style={{ width: "240px" }} aria-label="Action" placeholder="Action, such as tenant.status" value={action} onChange={(e) => choose({ action: e.currentTarget.value.trim() })} />
        <select style={{ width: "auto" }} aria-label="Result" value={result} onChange={(e) => choose({ result: e.currentTarget.value })}>
          {["", "done", "denied", "failed", "unknown"].map((r) => <option key={r} value={r}>{r || "any result"}</option>)}
        </select>
        <label class="dated">from <input type="date" value={from} onChange={(e) => choose({ from: e.currentTarget.value })} /></label>
        <label class="dated">before <input type="date" value={before} onChange={(e) => choose({ before: e.currentTarget.value })} /></label>
        <span class="muted small">Days begin at midnight UTC.</span>
        {may("audit.export") && ["csv", "jsonl"].map((format) => <Export key={format} path="audit/export" query={{ ...filters, format }} />)}
        {actor && <span class="chip">by {data?.entries.find((e) => e.actor.id === actor)?.actor.name ?? actor.slice(-8)} <button type="button" class="plain" aria-label="Of everybody" onClick={() => choose({ actor: "" })}>×</button></span>}
      </div>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      <Table<Entry> label="Entries" rows={data?.entries} id={(e) => e.id} empty={action || result || actor || from || before ? "No entry matches." : "No entries."} of={[
        { title: "Time", muted: true, cell: (e) => time(e.time) },
        { title: "Who", cell: (e) => <>{e.actor.name || e.actor.id || e.actor.kind} <span class="muted small">{e.actor.id ? e.actor.kind : ""} {e.actor.address}</span></> },
        { title: "Action", cell: (e) => <><code>{e.action}</code>{e.count > 1 && <span class="muted"> {e.count}×</span>}</> }, { title: "Result", cell: (e) => <State name={e.result} /> },
        !tenant && { title: "Tenant", cell: (e) => (e.tenant ? <TenantLink id={e.tenant} name={names[e.tenant]?.name || names[e.tenant]?.slug || e.tenant.slice(-8)} tab="audit" /> : <span class="muted">–</span>) },
        { title: "Change", wide: true, cell: (e) => <Change e={e} /> },
      ]} />
      <Paging of={{ data, loading }} />
    </>
  );
}

function Change({ e }: { e: Entry }) {
  const changes = e.changes ?? [];
  const made = changes.every((c) => c.before === undefined || c.before === null); // nothing was there before
  const text = (v: unknown) => (v === undefined || v === null || v === "" ? "–" : typeof v === "string" ? v : JSON.stringify(v));
  return (
    <>
      {changes.slice(0, 4).map((c) => (
        <div key={c.field} class="small"><span class="muted">{c.field}</span> {made ? "" : text(c.before) + " → "}{text(c.after)}</div>
      ))}
      {changes.length > 4 && <span class="muted small">and {changes.length - 4} more</span>}
      {e.problem && <div class="small">{e.problem}</div>}
      {e.result !== "done" && e.request_id && <div class="small muted">request <code>{e.request_id}</code></div>}
      {e.reason && <div class="small muted">“{e.reason}”</div>}
    </>
  );
}
