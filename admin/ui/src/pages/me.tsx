import { useState } from "preact/hooks";
import { call } from "../api";
import { time, zoneName } from "../format";
import { Enrol, useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Page, Waiting, When } from "../parts";
import { me } from "../session";
import { Facts, Table } from "../table";
import { scopeText } from "./operators";

interface Session {
  id: string;
  current?: boolean;
  address?: string;
  user_agent?: string;
  created_at: string;
  last_seen_at: string;
  expires_at: string;
}

export function MyAccount() {
  const who = me.value!;
  const { data, error, loading, reload } = useGet<{ sessions: Session[] }>("sessions", {}, 15);
  const [enrolling, setEnrolling] = useState(false);
  const [ending, setEnding] = useState("");
  const end = useForm(async () => {
    await call(ending ? "sessions/" + encodeURIComponent(ending) : "sessions", { method: "DELETE" });
    reload();
  });
  return (
    <Page title="My account">
      <section>
        <Facts of={[
          ["Name", who.name], ["E-mail", who.email], ["Role", who.role], ["Scope", scopeText(who.scope)],
          ["Second factor", <>{who.second_factor ? "enrolled" : "not enrolled"} {!who.second_factor && <button type="button" onClick={() => setEnrolling(true)}>Enrol</button>}</>],
          ["Session ends", <>{time(who.session.expires_at)} <span class="muted">{zoneName()}</span></>],
        ]} />
      </section>
      <section>
        <div class="head"><h2 style={{ margin: 0 }}>Sessions</h2><form onSubmit={end.submit}><button onClick={() => setEnding("")} disabled={end.busy}>End all others</button></form></div>
        <Failure error={error ?? end.error} retry={reload} />
        <Waiting on={loading && !data} />
        <Table<Session> label="Sessions" rows={data?.sessions} id={(s) => s.id} of={[
          { title: "Where", cell: (s) => <>{s.address || "–"} {s.current && <span class="tag">this one</span>}</> }, { title: "With", muted: true, wide: true, cell: (s) => s.user_agent?.slice(0, 80) },
          { title: "Signed in", cell: (s) => <When at={s.created_at} /> }, { title: "Seen", cell: (s) => <When at={s.last_seen_at} /> },
          { title: "Actions", hidden: true, cell: (s) => !s.current && <form onSubmit={end.submit}><button onClick={() => setEnding(s.id)} disabled={end.busy}>End</button></form> },
        ]} />
      </section>
      {enrolling && <Dialog title="Second factor" close={() => setEnrolling(false)}><Enrol done={() => setEnrolling(false)} /></Dialog>}
    </Page>
  );
}
