import { useState } from "preact/hooks";
import { call } from "../api";
import type { Operator } from "../api-types";
import { Stale, useForm } from "../gate";
import { useGet } from "../load";
import { Choice, Failure, Icon, Page, split, Waiting } from "../parts";
import { Table } from "../table";
import { useDraft } from "../typed";

interface Rules { all?: string[]; roles?: { [role: string]: string[] }; operators?: { [id: string]: string[] } }
interface Shown { rules: Rules; version: number; your_address: string }
interface Lockout { you: boolean; owners: boolean; your_address: string; sessions: { operator: { id: string; name: string; email: string }; address: string }[] }

/** Texts are rules as somebody edits them: "all", "role NAME" or "operator ID" with prefixes. */
type Texts = { [of: string]: string };

const textsOf = (r: Rules): Texts => ({
  all: (r.all ?? []).join(" "),
  ...Object.fromEntries(Object.entries(r.roles ?? {}).map(([k, v]) => ["role " + k, v.join(" ")])),
  ...Object.fromEntries(Object.entries(r.operators ?? {}).map(([k, v]) => ["operator " + k, v.join(" ")])),
});

function rulesOf(t: Texts): Rules {
  const out: Rules = { all: split(t.all ?? ""), roles: {}, operators: {} };
  for (const [k, v] of Object.entries(t)) {
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
      {shown.data && <Edit shown={shown.data} done={shown.reload} />}
    </Page>
  );
}

function Edit({ shown, done }: { shown: Shown; done(): void }) {
  const operators = useGet<{ operators: Operator[] }>("operators", { limit: 200 }).data?.operators ?? [];
  const roles = Object.keys(useGet<{ roles: { [name: string]: string[] } }>("roles").data?.roles ?? {});
  // The rules as a whole: one that is removed is not what is there.
  const { draft: { texts }, type, saved } = useDraft({ texts: textsOf(shown.rules) }, shown.version);
  const set = (texts: Texts) => type({ texts });
  const [checked, setChecked] = useState<{ of: string; found: Lockout }>();
  const body = rulesOf(texts);
  const now = JSON.stringify(body);
  const found = checked?.of === now ? checked.found : undefined;
  const changed = now !== JSON.stringify(rulesOf(textsOf(shown.rules)));
  const check = useForm(async () => setChecked({ of: now, found: (await call<Lockout>("ip-rules/check", { body, method: "POST" })).data }));
  const save = useForm(async () => {
    await call("ip-rules", { method: "PUT", body, etag: `"v${shown.version}"` });
    saved();
    setChecked(undefined);
    done();
  });
  const who = (k: string) => (k === "all" ? "Everybody" : k.startsWith("role ") ? "Role " + k.slice(5) : (operators.find((o) => "operator " + o.id === k)?.name ?? k));
  const others = [...roles.map((r): [string, string] => ["role " + r, "Role " + r]), ...operators.map((o): [string, string] => ["operator " + o.id, o.name || o.email])].filter(([k]) => !(k in texts));
  return (
    <form onSubmit={found ? save.submit : check.submit} class="narrow">
      <p>Your address: <code>{shown.your_address || "not known"}</code>{shown.your_address && !split(texts.all).length && <> <button type="button" onClick={() => set({ ...texts, all: shown.your_address })}>Allow it alone</button></>}</p>
      <p class="muted">Networks such as <code>203.0.113.0/24</code>, separated by spaces. No network means any address. Where several rules are about somebody, their address must be in each.</p>
      {Object.keys(texts).map((k, i) => (
        <div class="field" key={k}>
          <label for={"rule-" + i}>{who(k)}</label>
          <div class="row nowrap">
            <input id={"rule-" + i} value={texts[k]} placeholder="any address" onInput={(e) => set({ ...texts, [k]: e.currentTarget.value })} />
            {k !== "all" && <button type="button" aria-label={"Remove the rule of " + who(k)} onClick={() => set(Object.fromEntries(Object.entries(texts).filter(([x]) => x !== k)))}>Remove</button>}
          </div>
        </div>
      ))}
      {others.length > 0 && <Choice label="Add a rule for" value="" of={[["", "choose"], ...others]} set={(k) => k && set({ ...texts, [k]: "" })} />}
      <Stale form={save} read={done} />
      <Failure error={check.error} />
      {found && <Consequences of={found} />}
      <div class="actions">
        <button type="button" disabled={!changed} onClick={() => set(textsOf(shown.rules))}>Undo</button>
        <button class={found?.sessions.length ? "danger" : "primary"} disabled={!changed || check.busy || save.busy || found?.you || found?.owners}>{found ? "Save the rules" : "Check who would be locked out"}</button>
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
