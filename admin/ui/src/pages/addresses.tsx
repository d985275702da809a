import { useState } from "preact/hooks";
import { call } from "../api";
import type { Operator } from "../api-types";
import { Stale, useForm } from "../gate";
import { useGet } from "../load";
import { Choice, Failure, Icon, Page, split, Waiting } from "../parts";
import { Table } from "../table";
import { Theirs, useTyped } from "../typed";

interface Rules { all?: string[]; roles?: { [role: string]: string[] }; operators?: { [id: string]: string[] } }
interface Shown { rules: Rules; version: number; your_address: string }
interface Lockout { you: boolean; owners: boolean; your_address: string; sessions: { operator: { id: string; name: string; email: string }; address: string }[] }

/** Texts are rules as somebody edits them: "all", "role NAME" or "operator ID" with prefixes, or with nothing where there is no rule. */
type Texts = { [of: string]: string | undefined };

const textsOf = (r: Rules): Texts => ({
  all: (r.all ?? []).join(" "),
  ...Object.fromEntries(Object.entries(r.roles ?? {}).map(([k, v]) => ["role " + k, v.join(" ")])),
  ...Object.fromEntries(Object.entries(r.operators ?? {}).map(([k, v]) => ["operator " + k, v.join(" ")])),
});

function rulesOf(t: Texts): Rules {
  const out: Rules = { all: split(t.all ?? ""), roles: {}, operators: {} };
  for (const [k, v] of Object.entries(t)) {
    if (v === undefined) continue;
    const [kind, name] = [k.slice(0, k.indexOf(" ")), k.slice(k.indexOf(" ") + 1)];
    if (kind === "role") out.roles![name] = split(v);
    if (kind === "operator") out.operators![name] = split(v);
  }
  return out;
}

/** Addresses says from where the console may be used. */
export function Addresses() {
  const shown = useGet<Shown>("ip-rules");
  return (
    <Page title="Addresses">
      <Failure error={shown.error} retry={shown.reload} />
      <Waiting on={shown.loading && !shown.data} />
      {shown.data && <Edit shown={shown.data} read={shown.reload} done={shown.saved} />}
    </Page>
  );
}

function Edit({ shown, read, done }: { shown: Shown; read(): void; done(now: Shown): void }) {
  const operators = useGet<{ operators: Operator[] }>("operators", { limit: 200 }).data?.operators ?? [];
  const roles = Object.keys(useGet<{ roles: { [name: string]: string[] } }>("roles").data?.roles ?? {});
  const there = textsOf(shown.rules);
  const { f: texts, type, keep, take, forget, theirs, changed } = useTyped<Texts>(there);
  const [checked, setChecked] = useState<{ of: string; found: Lockout }>();
  const body = rulesOf(texts);
  const now = JSON.stringify(body);
  const found = checked?.of === now ? checked.found : undefined;
  const check = useForm(async () => setChecked({ of: now, found: (await call<Lockout>("ip-rules/check", { body, method: "POST" })).data }));
  const save = useForm(async () => {
    const { data } = await call<Shown>("ip-rules", { method: "PUT", body, etag: `"v${shown.version}"` });
    forget();
    setChecked(undefined);
    done(data);
  });
  const who = (k: string) => (k === "all" ? "Everybody" : k.startsWith("role ") ? "Role " + k.slice(5) : (operators.find((o) => "operator " + o.id === k)?.name ?? k));
  const others = [...roles.map((r): [string, string] => ["role " + r, "Role " + r]), ...operators.map((o): [string, string] => ["operator " + o.id, o.name || o.email])].filter(([k]) => texts[k] === undefined);
  const rules = Object.keys(texts).filter((k) => texts[k] !== undefined);
  return (
    <form onSubmit={found ? save.submit : check.submit} class="narrow">
      <p>Your address: <code>{shown.your_address || "not known"}</code>{shown.your_address && !split(texts.all ?? "").length && <> <button type="button" onClick={() => type({ all: shown.your_address })}>Allow it alone</button></>}</p>
      <p class="muted">Networks such as <code>203.0.113.0/24</code>, separated by spaces. No network means any address. Where several rules are about somebody, their address must be in each.</p>
      {rules.map((k, i) => (
        <div class="field" key={k}>
          <label for={"rule-" + i}>{who(k)}</label>
          <div class="row nowrap">
            <input id={"rule-" + i} value={texts[k]} placeholder="any address" onInput={(e) => type({ [k]: e.currentTarget.value })} />
            {k !== "all" && <button type="button" aria-label={"Remove the rule of " + who(k)} onClick={() => type({ [k]: undefined })}>Remove</button>}
          </div>
        </div>
      ))}
      {others.length > 0 && <Choice label="Add a rule for" value="" of={[["", "choose"], ...others]} set={(k) => k && type({ [k]: "" })} />}
      <Stale form={save} read={read} />
      <Failure error={check.error} />
      {theirs.length > 0 && <Theirs of={theirs} titles={Object.fromEntries(theirs.map((k) => [k, who(k)]))} now={there} mine={texts} take={take} keep={keep} />}
      {found && <Consequences of={found} />}
      <div class="actions">
        <button type="button" disabled={!changed} onClick={forget}>Undo</button>
        <button class={found?.sessions.length ? "danger" : "primary"} disabled={!changed || theirs.length > 0 || check.busy || save.busy || found?.you || found?.owners}>{found ? "Save the rules" : "Check who would be locked out"}</button>
      </div>
    </form>
  );
}

/** Consequences says who would be locked out. Rules that lock out the operator who makes them, or all owners, are not accepted. */
function Consequences({ of }: { of: Lockout }) {
  return (
    <div role="status">
      {of.you && <div class="notice bad"><Icon name="lock" /> <b>You would be locked out.</b> Your address {of.your_address} is in none of the networks.</div>}
      {of.owners && <div class="notice bad"><Icon name="lock" /> <b>All owners would be locked out.</b></div>}
      {of.sessions.length === 0 ? (
        <div class="notice ok"><Icon name="ok" /> Nobody who is signed in would be locked out.</div>
      ) : (
        <Table label="Who would be locked out" rows={of.sessions} id={(s) => s.operator.id + s.address} of={[{ title: "Would be locked out", cell: (s) => s.operator.name || s.operator.email }, { title: "Signed in from", cell: (s) => <code>{s.address}</code> }]} />
      )}
    </div>
  );
}
