import { useState } from "preact/hooks";
import { call } from "../api";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Failure, Waiting, When } from "../parts";
import { Table } from "../table";

interface Session {
  id: string;
  current?: boolean;
  address?: string;
  user_agent?: string;
  created_at: string;
  last_seen_at: string;
  expires_at: string;
}

/** agent says in a few words with what somebody is signed in. */
function agent(text = ""): string {
  const browser = ["Edg", "OPR", "Firefox", "Chrome", "Safari"].find((b) => text.includes(b + "/"));
  const system = ["Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux"].find((s) => text.includes(s));
  return browser ? [{ Edg: "Edge", OPR: "Opera" }[browser] ?? browser, system].filter(Boolean).join(" on ") : text.slice(0, 60) || "–";
}

/** Sessions lists where an operator is signed in, and ends sessions. */
export function Sessions({ path, end }: { path: string; end: boolean }) {
  const { data, error, loading, reload } = useGet<{ sessions: Session[] }>(path, {}, 15);
  const [id, setID] = useState("");
  const form = useForm(async () => {
    await call(id ? path + "/" + encodeURIComponent(id) : path, { method: "DELETE" });
    reload();
  });
  const others = data?.sessions.filter((s) => !s.current) ?? [];
  return (
    <>
      <Failure error={error} retry={reload} />
      <Failure error={form.error} />
      <Waiting on={loading && !data} />
      <Table<Session> label="Sessions" rows={data?.sessions} id={(s) => s.id} empty="Nobody is signed in." of={[
        { title: "Where", cell: (s) => <>{s.address || "–"} {s.current && <span class="tag">this one</span>}</> }, { title: "With", muted: true, cell: (s) => <span title={s.user_agent}>{agent(s.user_agent)}</span> },
        { title: "Signed in", cell: (s) => <When at={s.created_at} /> }, { title: "Seen", cell: (s) => <When at={s.last_seen_at} /> }, { title: "Ends", muted: true, cell: (s) => <When at={s.expires_at} /> },
        end && { title: "Actions", hidden: true, cell: (s) => !s.current && <form onSubmit={form.submit}><button onClick={() => setID(s.id)} disabled={form.busy} aria-label={"End the session from " + (s.address ?? "nowhere")}>End</button></form> },
      ]} />
      {end && others.length > 1 && <form class="actions" onSubmit={form.submit}><button onClick={() => setID("")} disabled={form.busy}>End all {data?.sessions.some((s) => s.current) ? "others" : "of them"}</button></form>}
    </>
  );
}
