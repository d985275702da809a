// Bulk actions: choose, plan, confirm by typing, then follow the run. The set of tenants is frozen by the server's plan.
import { useState } from "preact/hooks";
import { call, now, Problem } from "./api";
import type { Run } from "./api-types";
import { time } from "./format";
import { useForm } from "./gate";
import { useGet } from "./load";
import { modes } from "./pages/maintenance";
import { by, finished } from "./pages/runs";
import { Choice, Dialog, Failure, Field, KeyFigure, number } from "./parts";
import { go, href } from "./router";
import { may, me, type Offer } from "./session";

export interface Plan {
  plan: string;
  eligible: number;
  skipped?: number;
  sample?: { tenant: string; slug: string }[];
  left_out?: { tenant: string; slug: string; text?: string }[];
  expected_seconds?: number;
  expires_at: string;
  step_up?: boolean;
}

type Params = { [name: string]: string };

/** Input is what an action asks for. */
interface Input {
  name: string;
  label: string;
  hint?: string;
  type?: "date";
  /** The values that there are; the first is chosen. */
  of?: [value: string, text: string][];
}

export interface Action extends Offer {
  verb: string;
  title: string;
  danger?: boolean;
  /** In the list of further actions. */
  more?: boolean;
  inputs?: Input[];
  /** params are the parameters of what was typed, without what is empty; the same unless it says otherwise. */
  params?(typed: Params): Params;
}

export const actions: Action[] = [
  { verb: "activate", title: "Activate", permission: "tenants.status" },
  { verb: "suspend", title: "Suspend", permission: "tenants.status" },
  { verb: "block", title: "Block", permission: "tenants.status", danger: true },
  { verb: "deactivate", title: "Deactivate", permission: "tenants.status" },
  { verb: "migrate", title: "Migrate", permission: "tenants.migrate" },
  { verb: "archive", title: "Archive", permission: "tenants.archive", danger: true },
  {
    verb: "revoke-keys", title: "Revoke API keys", permission: "tenants.keys", part: "keys", danger: true, params: (typed) => (Object.keys(typed).length ? typed : { all: "yes" }),
    inputs: [{ name: "name", label: "Keys of this name", hint: "Empty for keys of all names." }, { name: "before", label: "Issued before", hint: "Empty for whenever it was.", type: "date" }],
  },
  {
    verb: "tag", title: "Tag", permission: "tenants.tag", everywhere: true, more: true,
    inputs: [{ name: "add", label: "Tags to add", hint: "Separated by commas." }, { name: "remove", label: "Tags to remove", hint: "Separated by commas." }],
  },
  {
    verb: "limits", title: "Set a limit", permission: "tenants.limits", more: true,
    inputs: [{ name: "name", label: "Limit", hint: "Its name, such as requests_per_day." }, { name: "to", label: "To", hint: "A number; empty: the limit is removed." }],
  },
  {
    verb: "update", title: "Change plan or setting", permission: "tenants.write", more: true,
    params: ({ setting = "", value = "", plan = "" }) => ({ ...(plan && { plan }), ...(setting && { ["setting." + setting]: value }) }),
    inputs: [
      { name: "plan", label: "Plan", hint: "Empty: it stays." }, { name: "setting", label: "Setting", hint: "Its name; empty: settings stay." }, { name: "value", label: "Value", hint: "Empty: the setting is removed." },
    ],
  },
  { verb: "seed", title: "Seed", permission: "tenants.migrate", more: true },
  {
    verb: "maintenance", title: "Begin maintenance", permission: "tenants.maintenance", part: "maintenance", danger: true, more: true,
    params: ({ minutes = "", ...typed }) => (minutes ? { ...typed, for: number("minutes", minutes, { positive: true }) + "m" } : typed),
    inputs: [
      { name: "mode", label: "Mode", hint: "What clients get.", of: modes }, { name: "minutes", label: "For minutes", hint: "Empty: until you end it." },
      { name: "message", label: "Message", hint: "Clients read it." }, { name: "contact", label: "Contact", hint: "Clients read it." },
    ],
  },
  { verb: "maintenance-end", title: "End maintenance", permission: "tenants.maintenance", part: "maintenance", more: true },
];

/** Bulk shows the plan for one action over a filter or a list of IDs, and starts it. */
export function Bulk({ action, filter, ids, close }: { action: Action; filter?: string; ids?: string[]; close(): void }) {
  const [f, set] = useState({ canary: "", then: "", parallel: "4", budget: "", reason: "" });
  const inputs = action.inputs ?? [];
  const [typed, type] = useState<Params>(Object.fromEntries(inputs.map((i) => [i.name, i.of?.[0][0] ?? ""])));
  const [approval, setApproval] = useState(false);
  const [plan, setPlan] = useState<Plan>();
  const [repeated, repeat] = useState("");
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const path = "actions/bulk-" + action.verb;
  const planning = useForm(async () => {
    const some = Object.fromEntries(inputs.map((i) => [i.name, typed[i.name].trim()]).filter(([, v]) => v));
    const body = {
      dry_run: true,
      params: inputs.length ? (action.params?.(some) ?? some) : undefined,
      ...(ids ? { ids } : { filter: filter || "status:active,suspended,blocked,inactive,provisioning,archived" }),
      canary: number("canary", f.canary, { empty: 0 }),
      then: f.then.trim(),
      approval: approval || undefined,
      parallel: number("parallel", f.parallel, { empty: 0 }),
      budget: f.budget.trim(),
    };
    setPlan((await call<Plan>(path, { method: "POST", body, reason: f.reason })).data);
  });
  const others = useGet<{ runs: Run[] }>(plan && may("runs.read") ? "runs" : null, { state: "running", limit: 5 }, 5).data?.runs ?? [];
  const waves = useGet<Run>(plan && may("runs.read") ? "runs/" + encodeURIComponent(plan.plan) : null).data?.waves ?? [];
  const confirm = plan ? `${action.verb} ${plan.eligible}` : "";
  const starting = useForm(async () => {
    const run = (await call<{ id: string }>(path, { method: "POST", body: { plan: plan!.plan, confirm: repeated.trim() }, reason: f.reason })).data;
    close();
    go(["runs", run.id]);
  });
  if (!plan)
    return (
      <Dialog title={action.title} close={close}>
        <form onSubmit={planning.submit}>
          <h2>{action.title}{action.more && ":"} {ids ? `${ids.length} tenants` : "all that match"}</h2>
          {!ids && <p>Filter: <code>{filter || "all tenants of your scope"}</code></p>}
          {inputs.length > 0 && (
            <div class="row">
              {inputs.map((i) => (
                <div class="grow" key={i.name}>
                  {i.of
                    ? <Choice label={i.label} hint={i.hint} of={i.of} value={typed[i.name]} set={(v) => type({ ...typed, [i.name]: v })} />
                    : <Field label={i.label} hint={i.hint} type={i.type as "date"} value={typed[i.name]} onInput={(e) => type({ ...typed, [i.name]: e.currentTarget.value })} error={planning.of(i.name)} />}
                </div>
              ))}
            </div>
          )}
          <div class="row">
            <div class="grow"><Field label="Canary" hint="How many tenants go first; empty for none." inputMode="numeric" value={f.canary} onInput={on("canary")} error={planning.of("canary")} /></div>
            <div class="grow"><Field label="Then waves of" hint="Such as 25% or 10,50; empty for all at once." value={f.then} onInput={on("then")} /></div>
          </div>
          <label class="check"><input type="checkbox" checked={approval} onChange={(e) => setApproval(e.currentTarget.checked)} /> Wait after each wave until somebody lets the run go on</label>
          <div class="row">
            <div class="grow"><Field label="At once" hint="Tenants at a time." inputMode="numeric" value={f.parallel} onInput={on("parallel")} error={planning.of("parallel")} /></div>
            <div class="grow"><Field label="Stop after failures" hint="A number or a share; empty for never." value={f.budget} onInput={on("budget")} /></div>
          </div>
          <Field label="Reason" hint="The audit keeps it." value={f.reason} onInput={on("reason")} />
          <Failure error={planning.error} />
          <div class="actions">
            <button type="button" onClick={close}>Cancel</button>
            <button class="primary" disabled={planning.busy}>Show the plan</button>
          </div>
        </form>
      </Dialog>
    );
  return (
    <Dialog title="Plan" close={close} key="plan">
      <form onSubmit={starting.submit}>
        <h2>{action.title}: {plan.eligible.toLocaleString("en")} tenants</h2>
        <dl class="figures">
          <KeyFigure name="Eligible" f={plan.eligible} />
          <KeyFigure name="Left out" f={plan.skipped ?? 0} />
          {!!plan.expected_seconds && <KeyFigure name="Expected time" f={plan.expected_seconds} unit="seconds" />}
        </dl>
        {waves.length > 1 && <p>Waves of {waves.slice(0, 12).map((w) => w.total.toLocaleString("en")).join(", ")}{waves.length > 12 ? ", …" : ""} tenants.</p>}
        {!!plan.sample?.length && <p class="muted small">Such as {plan.sample.slice(0, 6).map((s) => s.slug).join(", ")}.</p>}
        {plan.left_out?.slice(0, 4).map((s) => <p class="muted small" key={s.tenant}>{s.slug} is left out: {s.text}</p>)}
        {others.map((r) => <div class="notice warn" key={r.id}>A run is under way: <a href={href(["runs", r.id])}>{r.task}</a>, {finished(r)} of {r.total} tenants, by {r.actor.id === me.value?.id ? "you" : by(r)}.</div>)}
        <p class="muted small">Tenants that begin to match later are not touched. The plan expires at {time(plan.expires_at)}. {+new Date(plan.expires_at) - now() < 60_000 && <b>It is about to expire.</b>}</p>
        <Field label={`Type "${confirm}" to start`} value={repeated} onInput={(e) => repeat(e.currentTarget.value)} autocomplete="off" autofocus />
        <Failure error={starting.error} />
        <div class="actions">
          {starting.error instanceof Problem && <button type="button" onClick={() => { setPlan(undefined); repeat(""); }}>Make a new plan</button>}
          <button type="button" onClick={close}>Cancel</button>
          <button class={action.danger ? "danger" : "primary"} disabled={starting.busy || repeated.trim() !== confirm || plan.eligible === 0}>{action.title}</button>
        </div>
      </form>
    </Dialog>
  );
}
