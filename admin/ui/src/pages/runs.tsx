import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { Paging, cursorOf } from "../paging";
import { href } from "../router";
import { Table, value } from "../table";

export interface RunRow {
  id: string;
  task: string;
  state: string;
  actor?: { kind: string; id?: string; name?: string };
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

/** by says who made a run. */
export const by = (r: RunRow): string => r.actor?.name || r.actor?.id || r.actor?.kind || "unknown";

export function Runs() {
  const { data, error, loading, reload } = useGet<{ runs: RunRow[]; next?: string }>("runs", { cursor: cursorOf(), limit: 50 }, 3);
  return (
    <Page title="Runs">
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      <RunsTable rows={data?.runs} />
      <Paging next={data?.next} />
    </Page>
  );
}

export const RunsTable = ({ rows, empty }: { rows?: RunRow[]; empty?: string }) => (
  <Table<RunRow> label="Runs" rows={rows} id={(r) => r.id} empty={empty ?? <>No runs yet. Choose tenants and an action on the <a href={href(["tenants"])}>tenants' page</a>.</>} of={[
    { title: "Task", cell: (r) => <><a href={href(["runs", r.id])}>{r.task}</a> <span class="muted small mono">{r.id.slice(0, 8)}</span></> },
    { title: "State", cell: (r) => <State name={r.state} /> }, { title: "Progress", cell: (r) => <Bar run={r} /> },
    value("Tenants", (r) => r.total), value("Done", (r) => r.done), value("Failed", (r) => r.failed), value("Skipped", (r) => r.skipped),
    { title: "By", muted: true, cell: by }, { title: "Created", muted: true, cell: (r) => <When at={r.created_at} /> },
  ]} />
);

export function Bar({ run }: { run: RunRow }) {
  const done = run.done + run.failed + run.skipped + run.cancelled;
  return <progress max={Math.max(run.total, 1)} value={done} aria-label={`${done} of ${run.total} tenants`} />;
}
