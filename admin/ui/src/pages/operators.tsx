import { useState } from "preact/hooks";
import { call, post } from "../api";
import { Confirm } from "../confirm";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Choice, Dialog, Failure, Field, link, Once, Page, split, State, Waiting, When } from "../parts";
import { Paging, cursorOf } from "../paging";
import { href, route, setQuery } from "../router";
import type { Operator } from "../api-types";
import { Facts, Table } from "../table";
import { may, me } from "../session";
import { Theirs, useTyped } from "../typed";
import { Sessions } from "./sessions";

export type Scope = Operator["scope"];
interface Link { token?: string; sent: boolean; expires_at: string }
interface Roles { roles: { [name: string]: string[] }; permissions: string[] }
interface Invitation { id: string; email: string; name: string; role: string; scope: Scope; invited_by: string; expires_at: string }

export function scopeText(s: Scope): string {
  if (s.all) return "all tenants";
  if (s.tags?.length) return "tags " + s.tags.join(", ");
  return s.ids?.length ? `${s.ids.length} tenants` : "none";
}

const tabs: [tab: string, title: string][] = [["", "People"], ["invitations", "Invitations"], ["roles", "Roles"]];

export function Operators() {
  const tab = route.value.query.get("tab") ?? "";
  return (
    <Page title="Operators" tools={may("operators.write") && <button type="button" class="primary" onClick={() => setQuery({ new: "1" })}>Invite</button>}>
      <nav class="tabs" aria-label="Views of operators">
        {tabs.map(([t, title]) => <a key={t} href={href(["operators"], { tab: t })} aria-current={t === tab ? "page" : undefined}>{title}</a>)}
      </nav>
      {tab === "" && <People />}
      {tab === "invitations" && <Invitations />}
      {tab === "roles" && <RoleTable />}
      {route.value.query.get("new") && may("operators.write") && <Invite close={() => setQuery({ new: "" }, true)} />}
    </Page>
  );
}

function People() {
  const { data, error, loading, reload } = useGet<{ operators: Operator[]; next?: string }>("operators", { limit: 100, cursor: cursorOf() }, 15);
  const [opened, open] = useState("");
  const one = data?.operators.find((o) => o.id === opened);
  return (
    <>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      <Table<Operator> label="Operators" rows={data?.operators} id={(o) => o.id} empty="There are no operators." of={[
        { title: "Name", cell: (o) => <><button type="button" class="link" onClick={() => open(o.id)}>{o.name || o.email}</button> {o.id === me.value?.id && <span class="tag">you</span>}</> },
        { title: "E-mail", cell: (o) => o.email }, { title: "Role", cell: (o) => o.role }, { title: "Scope", cell: (o) => scopeText(o.scope) }, { title: "Second factor", cell: (o) => <State name={o.second_factor ? "enrolled" : "none"} /> },
        { title: "State", cell: (o) => <State name={o.disabled ? "disabled" : "active"} /> }, { title: "Signed in", muted: true, cell: (o) => <When at={o.signed_in_at} /> },
      ]} />
      <Paging of={{ data, loading }} />
      {one && <One o={one} key={one.id} close={() => open("")} done={reload} />}
    </>
  );
}

/** One shows an operator: what they may do, where they are signed in, and what can be done about it. */
function One({ o, close, done }: { o: Operator; close(): void; done(): void }) {
  const path = "operators/" + encodeURIComponent(o.id);
  const self = o.id === me.value?.id;
  const writes = may("operators.write") && !self;
  const roles = useGet<Roles>("roles");
  const now = { role: o.role, tags: o.scope.tags?.join(" ") ?? "", disabled: o.disabled };
  const { f, type, keep, take, theirs, changed } = useTyped(now);
  const [all, setAll] = useState(false);
  const [lost, setLost] = useState(false);
  const [made, setMade] = useState<Link>();
  const widens = !o.scope.all && f.tags !== now.tags && !split(f.tags).length; // to every tenant, by one deletion
  const save = useForm(async () => {
    const tags = split(f.tags);
    const scope = f.tags === now.tags ? {} : { scope: tags.length ? { tags } : { all: true } };
    try {
      await call(path, { method: "PATCH", body: { role: f.role, disabled: f.disabled, ...scope }, etag: `"v${o.version}"` });
      close();
    } finally {
      done(); // also when somebody else was faster
    }
  });
  const reset = useForm(async () => setMade(await post<Link>(path + "/reset")));
  if (lost)
    return (
      <Confirm title="Reset the second factor" of={"of " + (o.name || o.email)} danger close={() => setLost(false)} run={async (reason) => {
        await call(path + "/second-factor", { method: "DELETE", reason });
        done();
      }}>
        <p>It is removed with the recovery codes, and every session ends. After the next sign-in, for which the password is enough, they set up a new one.</p>
      </Confirm>
    );
  if (made?.token) return <Once title={`Send this link to ${o.email}`} text={link("reset", made.token)} close={close}>With it they choose a new password. It works once, for an hour.</Once>;
  return (
    <Dialog title={o.name || o.email} close={close} cls="broad">
      <h2>{o.name || o.email}</h2>
      <Facts of={[["E-mail", o.email], ["Second factor", o.second_factor ? "enrolled" : "none"], ["Signed in", <When at={o.signed_in_at} />], ["Since", <When at={o.created_at} />], ...(writes ? [] : ([["Role", o.role], ["Scope", scopeText(o.scope)]] as [string, string][]))]} />
      {may("audit.read") && <p class="small" style={{ marginTop: "12px" }}><a href={href(["audit"], { actor: o.id })}>What they did, and sign-ins that failed</a></p>}
      {writes && (
        <form onSubmit={save.submit}>
          <Choice label="Role" value={f.role} of={Object.keys(roles.data?.roles ?? { [o.role]: [] })} set={(role) => type({ role })} />
          {!o.scope.ids?.length && <Field label="Only tenants tagged" hint="Separated by spaces; empty for all tenants." value={f.tags} onInput={(e) => type({ tags: e.currentTarget.value })} error={save.of("scope")} />}
          {widens && <label class="check"><input type="checkbox" checked={all} onChange={(e) => setAll(e.currentTarget.checked)} /> All tenants, also those that come later</label>}
          <label class="check"><input type="checkbox" checked={f.disabled} onChange={(e) => type({ disabled: e.currentTarget.checked })} /> Disabled: cannot sign in, and every session ends</label>
          <Failure error={save.error} />
          {theirs.length > 0 && <Theirs of={theirs} titles={{ role: "Role", tags: "Only tenants tagged", disabled: "Disabled" }} now={now} mine={f} take={take} keep={keep} />}
          <div class="actions"><button class="primary" disabled={save.busy || !changed || theirs.length > 0 || (widens && !all)}>Save</button></div>
        </form>
      )}
      <section>
        <h2>Sessions</h2>
        <Sessions path={path + "/sessions"} end={!self && may("sessions.end")} />
      </section>
      <form onSubmit={reset.submit}>
        <Failure error={reset.error} />
        {made?.sent && <div class="notice ok" role="status">A link was sent to {o.email}.</div>}
        <div class="actions">
          {writes && <button disabled={reset.busy}>Make a reset link</button>}
          {writes && o.second_factor && me.value?.role === "owner" && me.value.scope.all && <button type="button" onClick={() => setLost(true)}>Reset the second factor</button>}
          <button type="button" onClick={close}>Close</button>
        </div>
      </form>
    </Dialog>
  );
}

function Invitations() {
  const { data, error, loading, reload } = useGet<{ invitations: Invitation[] }>("invitations", {}, 15);
  const [id, setID] = useState("");
  const revoke = useForm(async () => {
    await call("invitations/" + encodeURIComponent(id), { method: "DELETE" });
    reload();
  });
  return (
    <>
      <Failure error={error} retry={reload} />
      <Failure error={revoke.error} />
      <Waiting on={loading && !data} />
      <Table<Invitation> label="Invitations" rows={data?.invitations} id={(i) => i.id} empty="No invitation waits for an answer." of={[
        { title: "E-mail", cell: (i) => i.email }, { title: "Name", cell: (i) => i.name || "–" }, { title: "Role", cell: (i) => i.role }, { title: "Scope", cell: (i) => scopeText(i.scope) }, { title: "Expires", muted: true, cell: (i) => <When at={i.expires_at} /> },
        may("operators.write") && { title: "Actions", hidden: true, cell: (i) => <form onSubmit={revoke.submit}><button class="danger" disabled={revoke.busy} onClick={() => setID(i.id)} aria-label={"Revoke the invitation of " + i.email}>Revoke</button></form> },
      ]} />
    </>
  );
}

/** RoleTable says which role may do what. */
function RoleTable() {
  const { data, error, loading, reload } = useGet<Roles>("roles");
  const roles = Object.keys(data?.roles ?? {});
  return (
    <>
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      <Table<string> label="Roles" rows={data?.permissions} id={(p) => p} empty="There are no permissions." of={[
        { title: "Permission", cell: (p) => <code>{p}</code> },
        ...roles.map((r) => ({ title: r, cell: (p: string) => (data!.roles[r].includes(p) ? <State name="yes" /> : <span class="muted">no</span>) })),
      ]} />
    </>
  );
}

/** Invite makes a link, which is mailed or shown once. */
function Invite({ close }: { close(): void }) {
  const roles = useGet<Roles>("roles");
  const [f, set] = useState({ email: "", name: "", role: "viewer", tags: "" });
  const [made, setMade] = useState<Link>();
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const form = useForm(async () => {
    const tags = split(f.tags);
    setMade(await post<Link>("invitations", { email: f.email, name: f.name, role: f.role, scope: tags.length ? { tags } : { all: true } }));
  });
  if (made?.token) return <Once title={`Send this link to ${f.email}`} text={link("invitation", made.token)} close={close}>It works once, for a day.</Once>;
  return (
    <Dialog title="Invite an operator" close={close} key={made ? "made" : "form"}>
      {made ? (
        <>
          <h2>Invited</h2>
          <p role="status">A link was sent to {f.email}.</p>
          <div class="actions"><button type="button" class="primary" onClick={close} autofocus>Done</button></div>
        </>
      ) : (
        <form onSubmit={form.submit}>
          <h2>Invite an operator</h2>
          <Field label="E-mail" type="email" required value={f.email} onInput={on("email")} error={form.of("email")} autofocus />
          <Field label="Name" value={f.name} onInput={on("name")} error={form.of("name")} />
          <Choice label="Role" value={f.role} of={Object.keys(roles.data?.roles ?? { viewer: [] })} set={(role) => set({ ...f, role })} />
          <Field label="Only tenants tagged" hint="Separated by spaces; empty for all tenants." value={f.tags} onInput={on("tags")} error={form.of("scope")} />
          <Failure error={form.error} />
          <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Invite</button></div>
        </form>
      )}
    </Dialog>
  );
}
