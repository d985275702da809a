// What stands between requests and a tenant, and its settings: read and changed under the version of its record.
import { useState } from "preact/hooks";
import { call } from "../api";
import type { Reads, Tenant } from "../api-types";
import { Confirm } from "../confirm";
import { Stale, useForm } from "../gate";
import { useGet, type Loaded } from "../load";
import { Failure, Field, split, Waiting } from "../parts";
import { may } from "../session";
import { Table } from "../table";
import { Theirs, useTyped } from "../typed";

/** Access shows and changes settings, addresses and the homepage of a tenant. */
export function Access({ t, done }: { t: Tenant; done(): void }) {
  const path = "tenants/" + encodeURIComponent(t.id);
  const settings = useGet<Reads["tenants/{id}/settings"]>(path + "/settings", {}, 15);
  const addresses = useGet<Reads["tenants/{id}/addresses"]>(path + "/addresses");
  const homepage = useGet<Reads["tenants/{id}/homepage"]>(path + "/homepage", {}, 15);
  const all: Loaded<unknown>[] = [settings, addresses, homepage];
  const [after, setAfter] = useState<{ [etag: string]: string }>({}); // what changes of this page have made of which version of the record
  const changed = () => {
    for (const each of all) each.reload();
    done();
  };
  /** part is a part of the record. What has read the version before a change of another part may be changed, too: nobody else was between. */
  const part = <T extends { etag: string }>(at: Loaded<T>, data: T) => {
    let { etag } = data;
    while (after[etag]) etag = after[etag];
    const saved = (now: T) => {
      at.saved(now);
      if (now.etag !== etag) setAfter((old) => ({ ...old, [etag]: now.etag }));
      changed();
    };
    return { path, of: { ...data, etag }, done: saved, read: at.reload };
  };
  return (
    <>
      <Failure error={all.find((each) => each.error)?.error} retry={(byItself) => all.forEach((each) => each.reload(byItself))} />
      <Waiting on={all.some((each) => each.loading && !each.data)} lines={4} />
      {settings.data && <Settings {...part(settings, settings.data)} />}
      {addresses.data && <Addresses {...part(addresses, addresses.data)} />}
      {homepage.data && <Homepage {...part(homepage, homepage.data)} />}
      {may("tenants.keys") && <SignOut path={path} of={t.name || t.slug} done={changed} />}
    </>
  );
}

/** Part is a part of the record: what was read of it, what to do once it is changed, and how it is read again. */
interface Part<K extends "settings" | "addresses" | "homepage"> { path: string; of: Reads[`tenants/{id}/${K}`]; done(now: Reads[`tenants/{id}/${K}`]): void; read(): void }

function Settings({ path, of, done, read }: Part<"settings">) {
  const [f, set] = useState({ name: "", value: "" });
  const send = async (name: string, value: string | null) => {
    done((await call<typeof of>(path + "/settings", { method: "PATCH", body: { settings: { [name]: value } }, etag: of.etag })).data);
  };
  const form = useForm(async () => {
    await send(f.name.trim(), f.value);
    set({ name: "", value: "" });
  });
  const [gone, setGone] = useState("");
  const remove = useForm(() => send(gone, null));
  return (
    <section>
      <h2>Settings</h2>
      <Table label="Settings" rows={of.settings} id={(s) => s.name} empty="The tenant has no settings." of={[
        { title: "Setting", cell: (s) => <code>{s.name}</code> },
        { title: "Value", wide: true, cell: (s) => (s.hidden ? <span class="muted">hidden: it may be a secret</span> : s.value) },
        may("tenants.write") && { title: "Actions", hidden: true, cell: (s) => <form onSubmit={remove.submit}><button disabled={remove.busy} aria-label={"Remove " + s.name} onClick={() => setGone(s.name)}>Remove</button></form> },
      ]} />
      <Stale form={remove} read={read} />
      {may("tenants.write") && (
        <form onSubmit={form.submit} style={{ maxWidth: "480px", marginTop: "16px" }}>
          <Field label="Setting" required value={f.name} onInput={(e) => set({ ...f, name: e.currentTarget.value })} error={form.of("settings")} autocomplete="off" />
          <Field label="Value" value={f.value} onInput={(e) => set({ ...f, value: e.currentTarget.value })} autocomplete="off" />
          <Stale form={form} read={read} />
          <button class="primary" disabled={form.busy || !f.name.trim()}>Set</button>
        </form>
      )}
    </section>
  );
}

function Addresses({ path, of, done, read }: Part<"addresses">) {
  const now = { allow: of.allow.join(" "), deny: of.deny.join(" ") };
  const { f, type, keep, take, forget, theirs, changed } = useTyped(now);
  const form = useForm(async () => {
    const { data } = await call<typeof of>(path + "/addresses", { method: "PUT", body: { allow: split(f.allow), deny: split(f.deny) }, etag: of.etag });
    forget();
    done(data);
  });
  const wrong = (name: string, text: string) => split(text).map((_, i) => form.of(`${name}/${i}`)).find(Boolean);
  return (
    <section>
      <h2>Addresses</h2>
      <form onSubmit={form.submit} style={{ maxWidth: "480px" }}>
        <Field label="Served alone" hint="Addresses or prefixes of clients; empty for all." disabled={!may("tenants.write")} value={f.allow} onInput={(e) => type({ allow: e.currentTarget.value })} error={wrong("allow", f.allow)} />
        <Field label="Refused" hint="Addresses or prefixes of clients." disabled={!may("tenants.write")} value={f.deny} onInput={(e) => type({ deny: e.currentTarget.value })} error={wrong("deny", f.deny)} />
        <Stale form={form} read={read} />
        {theirs.length > 0 && <Theirs of={theirs} titles={{ allow: "Served alone", deny: "Refused" }} now={now} mine={f} take={take} keep={keep} />}
        {may("tenants.write") && <button class="primary" disabled={form.busy || !changed || theirs.length > 0}>Save the addresses</button>}
      </form>
    </section>
  );
}

function Homepage({ path, of, done, read }: Part<"homepage">) {
  const form = useForm(async () => {
    done((await call<typeof of>(path + "/homepage", { method: "PUT", body: { on: !of.on }, etag: of.etag })).data);
  });
  return (
    <section>
      <h2>Homepage</h2>
      <form class="row" onSubmit={form.submit}>
        <span>{of.on ? "Served." : "Off: visitors are sent elsewhere."}</span>
        {may("tenants.write") && <button disabled={form.busy}>{of.on ? "Switch it off" : "Switch it on"}</button>}
      </form>
      <Stale form={form} read={read} />
    </section>
  );
}

const signOut = "Sign all users out";

/** SignOut makes all tokens of the tenant's users invalid. */
function SignOut({ path, of, done }: { path: string; of: string; done(): void }) {
  const [asks, ask] = useState(false);
  const [out, setOut] = useState(false);
  const run = async (reason: string) => {
    await call(path + "/tokens/revoke", { method: "POST", reason });
    setOut(true);
    done();
  };
  return (
    <section>
      <h2>Users</h2>
      <div class="row">
        <span role="status">{out ? "All users were signed out." : "Every token that the tenant's users have becomes invalid."}</span>
        <button type="button" class="danger" onClick={() => ask(true)}>{signOut}</button>
      </div>
      {asks && <Confirm title={signOut} of={"of " + of} danger run={run} close={() => ask(false)}><p>All of them must sign in again. API keys stay valid.</p></Confirm>}
    </section>
  );
}
