import { useState } from "preact/hooks";
import { call } from "../api";
import { time } from "../format";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Field, number, Once, Page, split, Waiting, When } from "../parts";
import { Paging, cursorOf } from "../paging";
import { route, setQuery } from "../router";
import { me } from "../session";
import { Table } from "../table";
import { scopeText, type Scope } from "./operators";

interface Token {
  id: string;
  owner: { id: string; name: string; email: string };
  name: string;
  permissions: string[];
  step_up: string[];
  scope: Scope;
  allow: string[];
  created_at: string;
  expires_at: string;
  used_at?: string;
  used_from?: string;
  replaced_by?: string;
}

const at = (t: Token) => "tokens/" + encodeURIComponent(t.id);

/** Tokens are for machines: each may do a part of what its owner may. */
export function Tokens() {
  const { data, error, loading, reload } = useGet<{ tokens: Token[]; next?: string }>("tokens", { limit: 50, cursor: cursorOf() }, 15);
  const [text, setText] = useState("");
  const [asked, ask] = useState<{ t: Token; verb: "rotate" | "revoke" }>();
  return (
    <Page title="Tokens" tools={<button type="button" class="primary" onClick={() => setQuery({ new: "1" })}>Issue a token</button>}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      <Table<Token> label="Tokens" rows={data?.tokens} id={(t) => t.id} empty="There are no tokens. A machine uses one instead of a sign-in." of={[
        { title: "Name", cell: (t) => <>{t.name} {t.replaced_by && <span class="tag">replaced</span>}</> },
        { title: "Owner", cell: (t) => t.owner.name || t.owner.email },
        { title: "May", cell: (t) => <span title={t.permissions.join(", ")}>{t.permissions.length === 1 ? t.permissions[0] : t.permissions.length + " permissions"}</span> },
        { title: "Scope", cell: (t) => scopeText(t.scope) },
        { title: "From", muted: true, cell: (t) => t.allow.join(", ") || "anywhere" },
        { title: "Used", muted: true, cell: (t) => <><When at={t.used_at} /> {t.used_from}</> },
        { title: "Expires", muted: true, cell: (t) => <time dateTime={t.expires_at}>{time(t.expires_at)}</time> },
        { title: "Actions", hidden: true, cell: (t) => (
          <div class="row nowrap">
            {t.owner.id === me.value?.id && !t.replaced_by && <button type="button" onClick={() => ask({ t, verb: "rotate" })} aria-label={"Rotate " + t.name}>Rotate</button>}
            <button type="button" class="danger" onClick={() => ask({ t, verb: "revoke" })} aria-label={"Revoke " + t.name}>Revoke</button>
          </div>
        ) },
      ]} />
      <Paging of={{ data, loading }} />
      {route.value.query.get("new") && <Issue close={() => setQuery({ new: "" }, true)} done={(t) => { setQuery({ new: "" }, true); setText(t); reload(); }} />}
      {asked && <Sure {...asked} close={() => ask(undefined)} done={(t) => { ask(undefined); setText(t); reload(); }} />}
      {text && <Once title="Copy the token now" text={text} close={() => setText("")}>Machines send it as <code>Authorization: Bearer …</code></Once>}
    </Page>
  );
}

/** Sure asks before a token is rotated or revoked. */
function Sure({ t, verb, close, done }: { t: Token; verb: "rotate" | "revoke"; close(): void; done(text: string): void }) {
  const [hours, setHours] = useState("24");
  const form = useForm(async () => {
    if (verb === "revoke") {
      await call(at(t), { method: "DELETE" });
      return done("");
    }
    done((await call<{ text: string }>(at(t) + "/rotate", { body: { after: number("after", hours, { unit: 3600 }) } })).data.text);
  });
  const title = verb === "revoke" ? "Revoke" : "Rotate";
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={form.submit}>
        <h2>{title} {t.name}</h2>
        <p>{verb === "revoke" ? "Whoever uses it is refused from now on." : "A new token takes its place. The old one stays valid for a while, so that machines can change over."}</p>
        {verb === "rotate" && <Field label="The old one stays valid for hours" inputMode="numeric" value={hours} onInput={(e) => setHours(e.currentTarget.value)} error={form.of("after")} autofocus />}
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class={verb === "revoke" ? "danger" : "primary"} disabled={form.busy}>{title}</button></div>
      </form>
    </Dialog>
  );
}

function Issue({ close, done }: { close(): void; done(text: string): void }) {
  const roles = useGet<{ for_tokens: string[] }>("roles");
  const [f, set] = useState({ name: "", days: "90", tags: "", allow: "" });
  const [chosen, choose] = useState<{ [permission: string]: boolean }>({});
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const possible = roles.data?.for_tokens.filter((p) => me.value?.permissions?.includes(p)) ?? [];
  const permissions = possible.filter((p) => chosen[p]);
  const form = useForm(async () => {
    const tags = split(f.tags);
    const body = { name: f.name, permissions, step_up: chosen.fresh ? permissions : [], ...(tags.length ? { scope: { tags } } : {}), allow: split(f.allow), ttl: number("ttl", f.days, { unit: 86400, positive: true }) };
    done((await call<{ text: string }>("tokens", { body })).data.text);
  });
  return (
    <Dialog title="Issue a token" close={close}>
      <form onSubmit={form.submit}>
        <h2>Issue a token</h2>
        <Field label="Name" hint="What it is for." required value={f.name} onInput={on("name")} error={form.of("name")} autofocus />
        <fieldset>
          <legend>It may</legend>
          <div class="checks">{possible.map((p) => <label key={p}><input type="checkbox" checked={!!chosen[p]} onChange={(e) => choose({ ...chosen, [p]: e.currentTarget.checked })} /> {p}</label>)}</div>
          {form.of("permissions") && <div class="error">{form.of("permissions")}</div>}
        </fieldset>
        <label class="check"><input type="checkbox" checked={!!chosen.fresh} onChange={(e) => choose({ ...chosen, fresh: e.currentTarget.checked })} /> Also actions that ask people for their credentials again</label>
        <Field label="Only tenants tagged" hint="Separated by spaces; empty for your whole scope." value={f.tags} onInput={on("tags")} error={form.of("scope")} />
        <Field label="Only from addresses" hint="Such as 203.0.113.0/24; empty for any." value={f.allow} onInput={on("allow")} error={form.of("allow")} />
        <Field label="Valid for days" inputMode="numeric" required value={f.days} onInput={on("days")} error={form.of("ttl")} />
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy || !permissions.length}>Issue</button></div>
      </form>
    </Dialog>
  );
}
