import { useState } from "preact/hooks";
import { call, post, Problem } from "../api";
import type { Maintenance as Status, MaintenanceWindow } from "../api-types";
import { plain, time, zoneName } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { may } from "../session";
import { Choice, Dialog, Failure, Field, Icon, number, Once, Page, split, State, Waiting, When } from "../parts";
import { Facts, Table } from "../table";

/** Service is the maintenance of the whole service. */
export function Service() {
  return <Page title="Maintenance"><Maintenance path="maintenance" what="the service" permission="service.maintenance" /></Page>;
}

export const modes: [string, string][] = [["closed", "closed: requests get 503"], ["read_only", "read-only: down to the connections"]];
const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Maintenance shows and changes the maintenance of a tenant or of the service. */
export function Maintenance({ path, what, permission }: { path: string; what: string; permission: string }) {
  const { data, error, loading, reload } = useGet<Status>(path, {}, 5);
  const writes = may(permission);
  const [open, setOpen] = useState<"" | "begin" | "extend" | "drain">("");
  const [bypass, setBypass] = useState("");
  const end = useForm(async () => {
    await call(path, { method: "DELETE" });
    reload();
  });
  const make = useForm(async () => setBypass((await call<{ path: string }>(path + "/bypass", { method: "POST" })).data.path));
  const close = () => {
    setOpen("");
    reload();
  };
  const r = data?.record;
  return (
    <>
      <Failure error={error} retry={reload} />
      <Failure error={end.error ?? make.error} />
      <Waiting on={loading && !data} />
      {data && (
        <section>
          <p class="row"><State name={data.in_force ? "in force" : r ? "planned" : "off"} /> {data.in_force ? `Maintenance of ${what} is in force${data.ends_at ? " until " + time(data.ends_at) : ""}.` : r ? `Maintenance of ${what} is planned.` : `Maintenance of ${what} is off.`}</p>
          <Facts of={[
            ["Requests in flight on this instance", data.in_flight],
            ...(r ? ([
              ["Mode", modes.find(([m]) => m === r.mode)?.[1] ?? r.mode], ["Begun", time(r.began_at)], ["Message", r.message || <span class="muted">none</span>],
              ...(r.contact ? [["Contact", r.contact]] : []), ...(r.allow.length ? [["Exempt addresses", r.allow.join(", ")]] : []), ...(r.paths.length ? [["Exempt paths", r.paths.join(", ")]] : []),
              ["Windows", r.windows.length ? r.windows.map((w, i) => <div key={i}>{windowText(w)}</div>) : "until it is ended"], ["Link that passes by", r.bypass ? "there is one" : "none"],
            ] as [string, string][]) : []),
          ]} />
          {writes && (
            <div class="row" style={{ marginTop: "16px" }}>
              <button type="button" class={r ? "" : "primary"} onClick={() => setOpen("begin")}>{r ? "Change" : "Begin or plan maintenance"}</button>
              {data.in_force && <button type="button" onClick={() => setOpen("extend")}>Extend</button>}
              {data.in_force && <button type="button" onClick={() => setOpen("drain")}>Drain</button>}
              {r && <form onSubmit={make.submit}><button disabled={make.busy}>{r.bypass ? "New link that passes by" : "Link that passes by"}</button></form>}
              {r && <form onSubmit={end.submit}><button class="danger" disabled={end.busy}>End the maintenance</button></form>}
            </div>
          )}
        </section>
      )}
      {data && data.upcoming.length > 0 && (
        <section>
          <h2>Calendar</h2>
          <Table label="The next times" rows={data.upcoming} id={(u) => u.starts_at} of={[
            { title: "Begins", cell: (u) => <>{time(u.starts_at)} <span class="muted">{zoneName()}</span></> }, { title: "In", muted: true, cell: (u) => <When at={u.starts_at} /> },
            { title: "Ends", cell: (u) => (u.ends_at ? time(u.ends_at) : "when it is ended") }, { title: "Lasts", num: true, cell: (u) => (u.ends_at ? plain((+new Date(u.ends_at) - +new Date(u.starts_at)) / 1000, "seconds") : "–") },
          ]} />
        </section>
      )}
      {r && <section><h2>What clients read</h2><Preview of={r} /></section>}
      {open === "begin" && <Begin path={path} what={what} was={r ?? undefined} close={close} />}
      {open === "extend" && <Extend path={path} ends={data?.ends_at} close={close} />}
      {open === "drain" && <Drain path={path} close={close} />}
      {bypass && <Once title="A link that passes by the maintenance" text={bypass} close={() => { setBypass(""); reload(); }}>It is a path below {what === "the service" ? "a tenant's own address" : "the tenant's own address"}; older links stop working.</Once>}
    </>
  );
}

function windowText(w: MaintenanceWindow): string {
  const bounds = [w.start && "from " + time(w.start), w.end && "to " + time(w.end)].filter(Boolean).join(" ");
  if (!w.rule) return bounds || "now";
  const weekly = /^(\d+) (\d+) \* \* (\d|\*)$/.exec(w.rule);
  const when = weekly ? `${weekly[3] === "*" ? "every day" : "every " + days[Number(weekly[3]) % 7]} at ${weekly[2].padStart(2, "0")}:${weekly[1].padStart(2, "0")}` : w.rule;
  return [`${when} for ${plain(w.length ?? 0, "seconds")}, ${w.zone || "UTC"}`, bounds].filter(Boolean).join(", ");
}

/** Preview is what the answer says. How a page looks that says it is the application's. */
function Preview({ of }: { of: { mode: string; message: string; contact: string } }) {
  return (
    <div class="preview">
      <Icon name="wait" />
      <b>{of.mode === "read_only" ? "Read-only" : "Under maintenance"}</b>
      <div>{of.message || <span class="muted">no message</span>}</div>
      {of.contact && <div class="muted small">{of.contact}</div>}
      <div class="muted small">{of.mode === "read_only" ? "Reading works. What would write gets this." : "Each request gets 503, and when to try again."}</div>
    </div>
  );
}

const zones: string[] = Intl.supportedValuesOf("timeZone");

/** Begin begins maintenance now, or plans it: once, or again and again in a zone. */
function Begin({ path, what, was, close }: { path: string; what: string; was?: NonNullable<Status["record"]>; close(): void }) {
  const [f, set] = useState({
    mode: was?.mode ?? "closed", message: was?.message ?? "", contact: was?.contact ?? "", allow: was?.allow.join(" ") ?? "", paths: was?.paths.join(" ") ?? "",
    when: was?.windows.length ? "as it is" : "now", minutes: "", from: "", to: "", day: "0", at: "03:00", zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const iso = (text: string) => (text ? new Date(text).toISOString() : undefined);
  const windows = (): MaintenanceWindow[] => {
    if (f.when === "as it is") return was!.windows;
    const [hour, minute] = f.at.split(":").map(Number);
    if (f.when === "once") return [{ start: iso(f.from), end: iso(f.to) }];
    if (f.when === "again") return [{ rule: `${minute} ${hour} * * ${f.day}`, length: number("length", f.minutes, { unit: 60, positive: true }), zone: f.zone }];
    return [];
  };
  const form = useForm(async () => {
    const lasts = f.when === "now" && f.minutes.trim() ? { for: number("for", f.minutes, { unit: 60, positive: true }) } : {};
    await post(path, { mode: f.mode, message: f.message, contact: f.contact, allow: split(f.allow), paths: split(f.paths), windows: windows(), ...lasts });
    close();
  });
  return (
    <Dialog title="Maintenance" close={close} cls="broad">
      <form onSubmit={form.submit}>
        <h2>Maintenance of {what}</h2>
        <Choice label="When" value={f.when} set={(when) => set({ ...f, when })} of={[...(was?.windows.length ? [["as it is", "as it is: " + was.windows.map(windowText).join("; ")] as [string, string]] : []), ["now", "now"], ["once", "once, at a time"], ["again", "again and again"]]} />
        {f.when === "now" && <Field label="For minutes" hint="Empty: until you end it." inputMode="numeric" value={f.minutes} onInput={on("minutes")} error={form.of("for")} />}
        {f.when === "once" && (
          <div class="row">
            <div class="grow"><Field label="From" type="datetime-local" required value={f.from} onInput={on("from")} hint={Intl.DateTimeFormat().resolvedOptions().timeZone} /></div>
            <div class="grow"><Field label="To" type="datetime-local" value={f.to} onInput={on("to")} hint="Empty: until you end it." /></div>
          </div>
        )}
        {f.when === "again" && (
          <div class="row">
            <div class="grow"><Choice label="Day" value={f.day} set={(day) => set({ ...f, day })} of={[["*", "every day"], ...days.map((d, i): [string, string] => [String(i), "every " + d])]} /></div>
            <div class="grow"><Field label="At" type="time" required value={f.at} onInput={on("at")} /></div>
            <div class="grow"><Field label="For minutes" inputMode="numeric" required value={f.minutes} onInput={on("minutes")} error={form.of("length")} /></div>
            <div class="grow"><Choice label="Zone" value={f.zone} set={(zone) => set({ ...f, zone })} of={[...new Set([f.zone, "UTC", ...zones])]} /></div>
          </div>
        )}
        <Choice label="Mode" value={f.mode} set={(mode) => set({ ...f, mode: mode as typeof f.mode })} of={modes} />
        <Field label="Message" hint="Clients read it." value={f.message} onInput={on("message")} error={form.of("message")} />
        <Field label="Contact" hint="Such as an address of your support; clients read it." value={f.contact} onInput={on("contact")} error={form.of("contact")} />
        <Field label="Exempt addresses" hint="Networks such as 203.0.113.0/24 that pass by." value={f.allow} onInput={on("allow")} error={form.of("allow")} />
        <Field label="Exempt paths" hint="Such as /healthz, separated by spaces." value={f.paths} onInput={on("paths")} error={form.of("paths")} />
        <Preview of={f} />
        <Failure error={form.error} />
        <div class="actions">
          <button type="button" onClick={close}>Cancel</button>
          <button class="danger" disabled={form.busy}>{f.when === "now" ? "Begin" : f.when === "as it is" ? "Change" : "Plan"} maintenance of {what}</button>
        </div>
      </form>
    </Dialog>
  );
}

function Extend({ path, ends, close }: { path: string; ends?: string; close(): void }) {
  const [minutes, set] = useState("30");
  const form = useForm(async () => {
    const from = ends ? +new Date(ends) : Date.now();
    await post(path + "/extend", { until: new Date(from + number("until", minutes, { unit: 60_000, positive: true })).toISOString() });
    close();
  });
  return (
    <Dialog title="Extend" close={close}>
      <form onSubmit={form.submit}>
        <h2>Extend the maintenance</h2>
        <p>It ends {ends ? "at " + time(ends) : "when it is ended"}.</p>
        <Field label="Minutes more" inputMode="numeric" required value={minutes} onInput={(e) => set(e.currentTarget.value)} error={form.of("until")} autofocus />
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Extend</button></div>
      </form>
    </Dialog>
  );
}

interface Drained { drained: boolean; in_flight: number; missing: string[] }

/** Drain waits until nothing is under way that the maintenance refuses, and shows meanwhile how much is left. */
function Drain({ path, close }: { path: string; close(): void }) {
  const [found, set] = useState<Drained>();
  const form = useForm(async () => set((await call<Drained>(path + "/drain", { body: { for: 60 } })).data));
  const now = useGet<Status>(form.busy ? path : null, {}, 1).data;
  return (
    <Dialog title="Drain" close={close}>
      <form onSubmit={form.submit}>
        <h2>Drain</h2>
        <p>Requests that have begun go on. This waits until they have ended, for a minute at most.</p>
        {form.busy && <p role="status">{now ? `${now.in_flight} requests are in flight on this instance.` : "Waiting."}</p>}
        {found && !form.busy && (
          <div class={"notice " + (found.drained ? "ok" : "warn")} role="status">
            <State name={found.drained ? "done" : "waiting"} /> {found.drained ? "Nothing is under way any more." : `${found.in_flight} requests are still in flight on this instance.`}
            {found.missing.length > 0 && ` Instances that did not answer: ${found.missing.join(", ")}.`}
          </div>
        )}
        {form.error instanceof Problem ? <Failure error={form.error} /> : null}
        <div class="actions"><button type="button" onClick={close}>Close</button><button class="primary" disabled={form.busy}>{form.busy ? "Waiting" : "Wait until it is drained"}</button></div>
      </form>
    </Dialog>
  );
}
