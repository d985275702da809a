import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { href, route, setQuery } from "../router";

export interface RunRow {
  id: string;
  task: string;
  state: string;
  actor?: { kind: string; id?: string };
  reason?: string;
  wave?: number;
  total: number;
  done: number;
  failed: number;
  skipped: number;
  cancelled: number;
  waves?: { number: number; total: number; done: number; failed: number; skipped: number; cancelled: number }[];
  created_at: string;
  started_at?: string;
  ended_at?: string;
  expires_at?: string;
  rate?: number;
  left_seconds?: number;
}

export function Runs() {
  const cursor = route.value.query.get("cursor") ?? "";
  const { data, error, loading, reload } = useGet<{ runs: RunRow[]; next?: string }>("runs", { cursor, limit: 50 }, 3);
  return (
    <Page title="Runs">
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      {data?.runs.length === 0 && <div class="empty">No runs yet. Choose tenants and an action on the <a href={href(["tenants"])}>tenants' page</a>.</div>}
      {!!data?.runs.length && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Runs">
          <table>
            <thead>
              <tr>
                <th scope="col">Task</th><th scope="col">State</th><th scope="col">Progress</th>
                <th scope="col" class="num">Tenants</th><th scope="col" class="num">Done</th><th scope="col" class="num">Failed</th><th scope="col" class="num">Skipped</th>
                <th scope="col">By</th><th scope="col">Created</th>
              </tr>
            </thead>
            <tbody>
              {data.runs.map((r) => (
                <tr key={r.id}>
                  <td><a href={href(["runs", r.id])}>{r.task}</a> <span class="muted small mono">{r.id.slice(0, 8)}</span></td>
                  <td><State name={r.state} /></td>
                  <td style={{ minWidth: "120px" }}><Bar run={r} /></td>
                  <td class="num">{r.total.toLocaleString("en")}</td><td class="num">{r.done.toLocaleString("en")}</td>
                  <td class="num">{r.failed.toLocaleString("en")}</td><td class="num">{r.skipped.toLocaleString("en")}</td>
                  <td class="muted">{r.actor?.id ?? r.actor?.kind}</td>
                  <td class="muted"><When at={r.created_at} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data?.next && <div class="actions"><button type="button" onClick={() => setQuery({ cursor: data.next })}>Older</button></div>}
    </Page>
  );
}

export function Bar({ run }: { run: RunRow }) {
  const done = run.done + run.failed + run.skipped + run.cancelled;
  return <progress max={Math.max(run.total, 1)} value={done} aria-label={`${done} of ${run.total} tenants`} />;
}
