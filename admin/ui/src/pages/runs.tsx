import type { Run } from "../api-types";
import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { Paging, cursorOf } from "../paging";
import { href } from "../router";
import { Table, value } from "../table";

/** by says who made a run. */
export const by = (r: Run): string => r.actor.name || r.actor.id || r.actor.kind;

/** finished is of how many tenants a run has done what it does. */
export const finished = (r: Run): number => r.done + r.failed + r.skipped + r.cancelled;

export function Runs() {
  const { data, error, loading, reload } = useGet<{ runs: Run[]; next?: string }>("runs", { cursor: cursorOf(), limit: 50 }, 3);
  return (
    <Page title="Runs">
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} lines={4} />
      <RunsTable rows={data?.runs} />
      <Paging of={{ data, loading }} />
    </Page>
  );
}

export const RunsTable = ({ rows, empty }: { rows?: Run[]; empty?: string }) => (
  <Table<Run> label="Runs" rows={rows} id={(r) => r.id} empty={empty ?? <>No runs yet. Choose tenants and an action on the <a href={href(["tenants"])}>tenants' page</a>.</>} of={[
    { title: "Task", cell: (r) => <><a href={href(["runs", r.id])}>{r.task}</a> <span class="muted small mono">{r.id.slice(0, 8)}</span></> },
    { title: "State", cell: (r) => <State name={r.state} /> }, { title: "Progress", cell: (r) => <Bar run={r} /> },
    value("Tenants", (r) => r.total), value("Done", (r) => r.done), value("Failed", (r) => r.failed), value("Skipped", (r) => r.skipped),
    { title: "By", muted: true, cell: by }, { title: "Created", muted: true, cell: (r) => <When at={r.created_at} /> },
  ]} />
);

export function Bar({ run }: { run: Run }) {
  const done = finished(run);
  return <progress max={Math.max(run.total, 1)} value={done} aria-label={`${done} of ${run.total} tenants`} />;
}
