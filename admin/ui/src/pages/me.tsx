import { useState } from "preact/hooks";
import { call } from "../api";
import { time, zoneName } from "../format";
import { Enrol, useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Page, Waiting, When } from "../parts";
import { me } from "../session";
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
        <table>
          <tbody>
            <tr><th scope="row">Name</th><td>{who.name}</td></tr>
            <tr><th scope="row">E-mail</th><td>{who.email}</td></tr>
            <tr><th scope="row">Role</th><td>{who.role}</td></tr>
            <tr><th scope="row">Scope</th><td>{scopeText(who.scope)}</td></tr>
            <tr><th scope="row">Second factor</th><td>{who.second_factor ? "enrolled" : "not enrolled"} {!who.second_factor && <button type="button" onClick={() => setEnrolling(true)}>Enrol</button>}</td></tr>
            <tr><th scope="row">Session ends</th><td>{time(who.session.expires_at)} <span class="muted">{zoneName()}</span></td></tr>
          </tbody>
        </table>
      </section>
      <section>
        <div class="head"><h2 style={{ margin: 0 }}>Sessions</h2><form onSubmit={end.submit}><button onClick={() => setEnding("")} disabled={end.busy}>End all others</button></form></div>
        <Failure error={error ?? end.error} retry={reload} />
        <Waiting on={loading && !data} />
        {data && (
          <div class="scroll" tabIndex={0} role="region" aria-label="Sessions">
            <table>
              <thead><tr><th scope="col">Where</th><th scope="col">With</th><th scope="col">Signed in</th><th scope="col">Seen</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
              <tbody>
                {data.sessions.map((s) => (
                  <tr key={s.id}>
                    <td>{s.address || "–"} {s.current && <span class="tag">this one</span>}</td>
                    <td class="muted">{s.user_agent?.slice(0, 80)}</td>
                    <td><When at={s.created_at} /></td>
                    <td><When at={s.last_seen_at} /></td>
                    <td>{!s.current && <form onSubmit={end.submit}><button onClick={() => setEnding(s.id)} disabled={end.busy}>End</button></form>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
      {enrolling && <Dialog title="Second factor" close={() => setEnrolling(false)}><Enrol done={() => setEnrolling(false)} /></Dialog>}
    </Page>
  );
}
