import { useState } from "preact/hooks";
import { call, keeping, type Kept } from "../api";
import type { APIKey as Key } from "../api-types";
import { Table } from "../table";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Field, number, Once, split, Waiting, When } from "../parts";

/** Keys lists a tenant's API keys. The text of a new one is shown once. */
export function Keys({ tenant }: { tenant: string }) {
  const path = `tenants/${encodeURIComponent(tenant)}/keys`;
  const { data, error, loading, reload } = useGet<{ keys: Key[] }>(path, {}, 15);
  const [issuing, setIssuing] = useState(false);
  const [text, setText] = useState("");
  const [failure, setFailure] = useState<unknown>();
  const [kept] = useState<Kept>({});
  const change = async (run: () => Promise<string>) => {
    setFailure(undefined);
    try {
      setText(await keeping(kept, run));
      reload();
    } catch (err) {
      setFailure(err);
    }
  };
  const one = (k: Key) => path + "/" + encodeURIComponent(k.id);
  return (
    <>
      <div class="row" style={{ marginBottom: "16px" }}><button type="button" class="primary" onClick={() => setIssuing(true)}>Issue a key</button></div>
      <Failure error={error} retry={reload} />
      <Failure error={failure} />
      <Waiting on={loading && !data} />
      <Table<Key> label="API keys" rows={data?.keys} id={(k) => k.id} empty="The tenant has no API keys." of={[
        { title: "Name", cell: (k) => <>{k.name || "–"} {k.replaced_by && <span class="tag">replaced</span>}</> }, { title: "ID", cell: (k) => <code>{k.id}</code> }, { title: "Scopes", cell: (k) => k.scopes.map((s) => <span class="tag" key={s}>{s}</span>) },
        { title: "Used", muted: true, cell: (k) => <When at={k.used_at} /> }, { title: "Issued", muted: true, cell: (k) => <When at={k.created_at} /> }, { title: "Expires", muted: true, cell: (k) => (k.expires_at ? <When at={k.expires_at} /> : "when revoked") },
        { title: "Actions", hidden: true, cell: (k) => (
          <div class="row nowrap">
            <button type="button" onClick={() => void change(async () => (await call<{ text: string }>(one(k) + "/rotate", { body: { after: 86400 } })).data.text)}>Rotate</button>
            <button type="button" class="danger" onClick={() => void change(async () => (await call(one(k), { method: "DELETE" }), ""))}>Revoke</button>
          </div>
        ) },
      ]} />
      <p class="muted small">A key that is rotated stays valid for a day beside its successor.</p>
      {issuing && <Issue path={path} close={() => setIssuing(false)} done={(t) => { setIssuing(false); setText(t); reload(); }} />}
      {text && <Once title="Copy the key now" text={text} close={() => setText("")}>Only its hash is kept.</Once>}
    </>
  );
}

function Issue({ path, close, done }: { path: string; close(): void; done(text: string): void }) {
  const [f, set] = useState({ name: "", scopes: "", days: "" });
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const form = useForm(async () => {
    const body = { name: f.name, scopes: split(f.scopes), ttl: number("ttl", f.days, { unit: 86400, empty: 0, positive: true }) };
    done((await call<{ text: string }>(path, { body })).data.text);
  });
  return (
    <Dialog title="Issue a key" close={close}>
      <form onSubmit={form.submit}>
        <h2>Issue a key</h2>
        <Field label="Name" hint="What it is for." required value={f.name} onInput={on("name")} error={form.of("name")} autofocus />
        <Field label="Scopes" hint="Separated by spaces; the application says what they mean." value={f.scopes} onInput={on("scopes")} error={form.of("scopes")} />
        <Field label="Valid for days" hint="Empty: until it is revoked." inputMode="numeric" value={f.days} onInput={on("days")} error={form.of("ttl")} />
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Issue</button></div>
      </form>
    </Dialog>
  );
}
