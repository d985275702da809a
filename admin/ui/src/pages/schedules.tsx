import { useState } from "preact/hooks";
import { call } from "../api";
import type { Run, Schedules as List } from "../api-types";
import { time } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Failure, Page, State, Waiting, When } from "../parts";
import { go, href } from "../router";
import { may } from "../session";
import { Table } from "../table";

type Schedule = List["schedules"][number];

/** Schedules lists the runs that are due again and again. */
export function Schedules() {
  const { data, error, loading, reload } = useGet<List>("schedules", {}, 10);
  const [what, setWhat] = useState<[name: string, verb: string]>(["", ""]);
  const act = useForm(async () => {
    const made = await call<Run>(`schedules/${encodeURIComponent(what[0])}/${what[1]}`, { method: "POST" });
    if (what[1] === "trigger") go(["runs", made.data.id]);
    else reload();
  });
  const button = (s: Schedule, verb: string, title: string) => <button disabled={act.busy} onClick={() => setWhat([s.name, verb])} aria-label={`${title} ${s.name}`}>{title}</button>;
  return (
    <Page title="Schedules">
      <Failure error={error} retry={reload} />
      <Failure error={act.error} />
      <Waiting on={loading && !data} />
      <Table<Schedule> label="Schedules" rows={data?.schedules} id={(s) => s.name} empty="The application has no schedules. It declares them where it makes the runner of runs." of={[
        { title: "Name", cell: (s) => s.name },
        { title: "Task", cell: (s) => s.task },
        { title: "State", cell: (s) => <><State name={s.paused ? "paused" : "active"} />{s.note && <div class="muted small">{s.note}</div>}</> },
        { title: "When", cell: (s) => <><code>{s.cron}</code> <span class="muted small">{s.zone}</span></> },
        { title: "Next", muted: true, cell: (s) => (s.paused ? "–" : time(s.next_at)) },
        { title: "Last run", muted: true, cell: (s) => (s.last_run ? <a href={href(["runs", s.last_run])}><When at={s.last_at} /></a> : "none yet") },
        may("schedules.write") && { title: "Actions", hidden: true, cell: (s) => <form class="row" onSubmit={act.submit}>{s.paused ? button(s, "resume", "Resume") : button(s, "pause", "Pause")}{button(s, "trigger", "Start now")}</form> },
      ]} />
    </Page>
  );
}
