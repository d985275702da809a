import { useEffect, useState } from "preact/hooks";
import { get, post } from "../api";
import type { Run as Of } from "../api-types";
import { time } from "../format";
import { csv, save } from "../download";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Failure, KeyFigure, Page, Segments, State, Waiting, When } from "../parts";
import { Paging, cursorOf } from "../paging";
import { route, setQuery } from "../router";
import { may } from "../session";
import { Table, TenantLink, value } from "../table";
import { Bar, by, finished } from "./runs";

interface Result {
  tenant: string;
  slug: string;
  state: string;
  attempt?: number;
  text?: string;
  started_at?: string;
  ended_at?: string;
}

const verbs: Record<string, [string, string][]> = {
  planned: [["cancel", "Cancel"]],
  running: [["pause", "Pause"], ["cancel", "Cancel"]],
  paused: [["resume", "Resume"], ["cancel", "Cancel"]],
  stopped: [["resume", "Resume"], ["cancel", "Cancel"], ["retry", "Retry the failed"]],
  done_with_failures: [["retry", "Retry the failed"]],
};

const states = ["all", "failed", "skipped", "done", "pending", "working", "cancelled"] as const;

/** useRate is how many tenants a run finishes in a second, by what the page sees of it, smoothed over ten seconds. It is null at first. */
function useRate(r: Of | undefined): number | null {
  const [seen, see] = useState<{ at: number; finished: number; rate: number | null }>();
  useEffect(() => {
    if (!r) return;
    const next = { at: performance.now() / 1000, finished: finished(r) };
    see((last) => {
      if (!last || r.state !== "running" || next.finished < last.finished) return { ...next, rate: null };
      const passed = next.at - last.at;
      const now = (next.finished - last.finished) / passed;
      return { ...next, rate: last.rate ? last.rate + Math.min(1, passed / 10) * (now - last.rate) : now };
    });
  }, [r]);
  return seen?.rate ?? null;
}

export function Run({ id }: { id: string }) {
  const path = "runs/" + encodeURIComponent(id);
  const asked = route.value.query.get("state");
  const state = states.find((s) => s === asked) ?? "all";
  const run = useGet<Of>(path, {}, 1);
  const results = useGet<{ tenants: Result[]; next?: string }>(path + "/tenants", { state: state === "all" ? undefined : state, limit: 100, cursor: cursorOf() }, 2);
  const [verb, setVerb] = useState("");
  const act = useForm(async () => {
    await post(`${path}/${verb}`);
    run.reload();
    results.reload();
  });
  const take = useForm(async () => {
    const all: Result[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined; ) {
      const page: { tenants: Result[]; next?: string } = await get(path + "/tenants", { state: state === "all" ? undefined : state, limit: 200, cursor });
      all.push(...page.tenants);
      cursor = page.next || undefined;
    }
    save(`run-${id}.csv`, csv([["tenant", "slug", "state", "attempt", "text", "started_at", "ended_at"], ...all.map((x) => [x.tenant, x.slug, x.state, x.attempt, x.text, x.started_at, x.ended_at])]), "text/csv");
  });
  const r = run.data;
  const rate = useRate(r);
  return (
    <Page
      title={r ? `Run: ${r.task}` : "Run"}
      tools={
        r && may("runs.control") && (verbs[r.state] ?? []).map(([v, title]) => (
          <form key={v} onSubmit={act.submit}><button disabled={act.busy} onClick={() => setVerb(v)}>{title}</button></form>
        ))
      }
    >
      <Failure error={run.error} retry={run.reload} />
      <Failure error={act.error} />
      <Waiting on={run.loading && !r} />
      {r && (
        <>
          <section>
            <div class="row" style={{ marginBottom: "16px" }}>
              <State name={r.state} /> {r.reason && <span class="muted">{r.reason}</span>}
              <span class="muted small">by {by(r)}, created {time(r.created_at)}</span>
            </div>
            <Bar run={r} />
            <dl class="figures" style={{ marginTop: "16px" }}>
              <KeyFigure name="Tenants" f={r.total} />
              <KeyFigure name="Done" f={r.done} />
              <KeyFigure name="Failed" f={r.failed} />
              <KeyFigure name="Skipped" f={r.skipped} />
              {r.state === "running" && <KeyFigure name="Rate" f={rate} unit="1/s" />}
              {r.state === "running" && <KeyFigure name="Time left" f={rate ? (r.total - finished(r)) / rate : null} unit="seconds" note="at this rate" />}
            </dl>
          </section>
          {r.waves.length > 1 && (
            <section>
              <h2>Waves</h2>
              <Table<Of["waves"][number]> label="Waves" rows={r.waves} id={(w) => String(w.number)} marked={(w) => w.number === r.wave && r.state === "running"} of={[
                { title: "Wave", cell: (w) => (w.number === 1 ? "1, canary" : w.number) }, value("Tenants", (w) => w.total), value("Done", (w) => w.done), value("Failed", (w) => w.failed), value("Skipped", (w) => w.skipped),
              ]} />
            </section>
          )}
          <section>
            <div class="head" style={{ marginBottom: "12px" }}>
              <h2 style={{ margin: 0 }}>Tenants</h2>
              <div class="tools">
                <Segments label="State" value={state} of={states} set={(s) => setQuery({ state: s === "all" ? "" : s, cursor: "" })} />
                <form onSubmit={take.submit}><button disabled={take.busy}>Export CSV</button></form>
              </div>
            </div>
            <Failure error={results.error ?? take.error} />
            <Table<Result> label="Tenants of the run" rows={results.data?.tenants} id={(t) => t.tenant} empty="No tenant is in this state." of={[
              { title: "Tenant", cell: (t) => <TenantLink id={t.tenant} name={t.slug} /> }, { title: "State", cell: (t) => <State name={t.state} /> }, { title: "Attempt", num: true, cell: (t) => t.attempt || "–" },
              value("Took", (t) => (t.started_at && t.ended_at ? (+new Date(t.ended_at) - +new Date(t.started_at)) / 1000 : null), "seconds"),
              { title: "What happened", wide: true, cell: (t) => t.text }, { title: "Ended", muted: true, cell: (t) => (t.ended_at ? <When at={t.ended_at} /> : "–") },
            ]} />
            <Paging of={results} />
          </section>
        </>
      )}
    </Page>
  );
}
