import { useState } from "preact/hooks";
import { call, post } from "../api";
import type { Maintenance as Status } from "../api-types";
import { time } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { may } from "../session";
import { Failure, Field, Page, State, Waiting } from "../parts";

/** Service is the maintenance of the whole service. */
export function Service() {
  return <Page title="Maintenance"><Maintenance path="maintenance" what="the service" permission="service.maintenance" /></Page>;
}

/** Maintenance shows and changes the maintenance of a tenant or of the service. */
export function Maintenance({ path, what, permission }: { path: string; what: string; permission: string }) {
  const { data, error, loading, reload } = useGet<Status>(path, {}, 5);
  const [f, set] = useState({ mode: "closed", message: "", minutes: "" });
  const begin = useForm(async () => {
    await post(path, { mode: f.mode, message: f.message, ...(Number(f.minutes) > 0 ? { for: Number(f.minutes) * 60 } : {}) });
    reload();
  });
  const end = useForm(async () => {
    await call(path, { method: "DELETE" });
    reload();
  });
  return (
    <>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      {data && (
        <section>
          <div class="row"><State name={data.in_force ? "in force" : "off"} /> {data.in_force ? `Maintenance of ${what} is in force${data.ends_at ? " until " + time(data.ends_at) : ""}.` : `Maintenance of ${what} is off.`}</div>
          {data.next && <p class="muted">Next: {time(data.next.starts_at)}{data.next.ends_at && " to " + time(data.next.ends_at)}.</p>}
          {data.record && <p class="muted">{data.record.mode.replaceAll("_", " ")}, begun {time(data.record.began_at)}. {data.record.message}</p>}
          <p class="muted small">{data.in_flight} requests in flight on this instance.</p>
          {data.record && may(permission) && (
            <form onSubmit={end.submit}>
              <Failure error={end.error} />
              <button disabled={end.busy}>End the maintenance</button>
            </form>
          )}
        </section>
      )}
      {data && !data.record && may(permission) && (
        <section>
          <h2>Begin</h2>
          <form onSubmit={begin.submit} style={{ maxWidth: "480px" }}>
            <div class="field">
              <label for="mode">Mode</label>
              <select id="mode" value={f.mode} onChange={(e) => set({ ...f, mode: e.currentTarget.value })}>
                <option value="closed">closed: requests get 503</option>
                <option value="read_only">read-only: down to the connections</option>
              </select>
            </div>
            <Field label="Message" hint="Clients read it." value={f.message} onInput={(e) => set({ ...f, message: e.currentTarget.value })} error={begin.of("message")} />
            <Field label="Minutes" hint="Empty: until you end it." inputMode="numeric" value={f.minutes} onInput={(e) => set({ ...f, minutes: e.currentTarget.value })} error={begin.of("for")} />
            <Failure error={begin.error} />
            <button class="danger" disabled={begin.busy}>Begin maintenance of {what}</button>
          </form>
        </section>
      )}
    </>
  );
}
