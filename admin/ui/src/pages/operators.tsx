import { useState } from "preact/hooks";
import { call, post } from "../api";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Field, Page, State, Waiting, When } from "../parts";
import { route, setQuery } from "../router";
import type { Operator } from "../api-types";
import { Table } from "../table";
import { may, me } from "../session";

export function Operators() {
  const { data, error, loading, reload } = useGet<{ operators: Operator[] }>("operators", { limit: 200 }, 15);
  const [edited, setEdited] = useState<Operator>();
  return (
    <Page title="Operators" tools={may("operators.write") && <button type="button" class="primary" onClick={() => setQuery({ new: "1" })}>Invite</button>}>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      <Table<Operator> label="Operators" rows={data?.operators} id={(o) => o.id} of={[
        { title: "Name", cell: (o) => <>{o.name} {o.id === me.value?.id && <span class="tag">you</span>}</> },
        { title: "E-mail", cell: (o) => o.email }, { title: "Role", cell: (o) => o.role }, { title: "Scope", cell: (o) => scopeText(o.scope) }, { title: "Second factor", cell: (o) => (o.second_factor ? "yes" : "no") },
        { title: "State", cell: (o) => <State name={o.disabled ? "disabled" : "active"} /> }, { title: "Signed in", muted: true, cell: (o) => <When at={o.signed_in_at} /> },
        may("operators.write") && { title: "Actions", hidden: true, cell: (o) => o.id !== me.value?.id && <button type="button" onClick={() => setEdited(o)}>Change</button> },
      ]} />
      {route.value.query.get("new") && may("operators.write") && <Invite close={() => setQuery({ new: "" }, true)} />}
      {edited && <Change o={edited} close={() => setEdited(undefined)} done={reload} />}
    </Page>
  );
}

export function scopeText(s: Operator["scope"]): string {
  if (s.all) return "all tenants";
  if (s.tags?.length) return "tags " + s.tags.join(", ");
  return s.ids?.length ? `${s.ids.length} tenants` : "none";
}

/** Invite makes a link that is shown once. Its token is in the fragment, so that no log has it. */
function Invite({ close }: { close(): void }) {
  const roles = useGet<{ roles: { [name: string]: string[] } }>("roles");
  const [f, set] = useState({ email: "", name: "", role: "viewer", tags: "" });
  const [link, setLink] = useState("");
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const form = useForm(async () => {
    const tags = f.tags.split(/[\s,]+/).filter(Boolean);
    const { token } = await post<{ token: string }>("invitations", { email: f.email, name: f.name, role: f.role, scope: tags.length ? { tags } : { all: true } });
    setLink(new URL("#/invitation?token=" + encodeURIComponent(token), location.href.split("#")[0]).toString());
  });
  if (link)
    return (
      <Dialog title="Invitation" close={close}>
        <h2>Send this link to {f.email}</h2>
        <p class="muted">It works once, for a day, and is not shown again.</p>
        <p><code style={{ overflowWrap: "anywhere" }}>{link}</code></p>
        <div class="actions">
          <button type="button" onClick={() => void navigator.clipboard?.writeText(link)}>Copy</button>
          <button type="button" class="primary" onClick={close}>Done</button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title="Invite an operator" close={close}>
      <form onSubmit={form.submit}>
        <h2>Invite an operator</h2>
        <Field label="E-mail" type="email" required value={f.email} onInput={on("email")} error={form.of("email")} autofocus />
        <Field label="Name" value={f.name} onInput={on("name")} error={form.of("name")} />
        <div class="field">
          <label for="invite-role">Role</label>
          <select id="invite-role" value={f.role} onChange={on("role")}>
            {Object.keys(roles.data?.roles ?? { viewer: [] }).map((r) => <option key={r} value={r}>{r}</option>)}
          </select>
        </div>
        <Field label="Only tenants tagged" hint="Separated by spaces; empty for all tenants." value={f.tags} onInput={on("tags")} error={form.of("scope")} />
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Make the link</button></div>
      </form>
    </Dialog>
  );
}

function Change({ o, close, done }: { o: Operator; close(): void; done(): void }) {
  const roles = useGet<{ roles: { [name: string]: string[] } }>("roles");
  const [f, set] = useState({ role: o.role, disabled: o.disabled });
  const path = "operators/" + encodeURIComponent(o.id);
  const form = useForm(async () => {
    const { etag } = await call(path);
    await call(path, { method: "PATCH", body: f, etag });
    done();
    close();
  });
  return (
    <Dialog title="Change an operator" close={close}>
      <form onSubmit={form.submit}>
        <h2>{o.name}</h2>
        <div class="field">
          <label for="role">Role</label>
          <select id="role" value={f.role} onChange={(e) => set({ ...f, role: e.currentTarget.value })}>
            {Object.keys(roles.data?.roles ?? { [o.role]: [] }).map((r) => <option key={r} value={r}>{r}</option>)}
          </select>
        </div>
        <div class="field">
          <label for="disabled"><input id="disabled" type="checkbox" checked={f.disabled} onChange={(e) => set({ ...f, disabled: e.currentTarget.checked })} /> Disabled: cannot sign in, and every session ends</label>
        </div>
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Save</button></div>
      </form>
    </Dialog>
  );
}
