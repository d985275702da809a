// Saved views: a filter, an order and columns of a list under a name.
import { useState } from "preact/hooks";
import { call } from "./api";
import { useForm } from "./gate";
import { useGet } from "./load";
import { Dialog, Failure, Field } from "./parts";

export interface View {
  id: string;
  name: string;
  page: string;
  filter: string;
  sort: string;
  columns: string[];
  shared: boolean;
  mine: boolean;
  owner: { name: string; email: string };
  version: number;
}

export interface Shown { filter: string; sort: string; columns: string[] }

/** Views offers the saved views of a list, and saves what is shown. */
export function Views({ page, shown, use }: { page: string; shown: Shown; use(v: View): void }) {
  const { data, error, reload } = useGet<{ views: View[] }>("views");
  const [saving, setSaving] = useState(false);
  const [id, setID] = useState("");
  const all = data?.views.filter((v) => v.page === page) ?? [];
  const remove = useForm(async () => {
    const v = all.find((x) => x.id === id)!;
    await call("views/" + encodeURIComponent(id), { method: "DELETE", etag: `"v${v.version}"` });
    reload();
  });
  return (
    <details class="menu">
      <summary class="button">Views</summary>
      <div>
        {all.map((v) => (
          <form class="row nowrap" key={v.id} onSubmit={remove.submit}>
            <button type="button" class="plain grow" title={v.filter} onClick={(e) => { use(v); e.currentTarget.closest("details")!.open = false; }}>{v.name} {!v.mine && <span class="muted small">of {v.owner.name || v.owner.email}</span>}</button>
            {v.mine && <button class="plain" aria-label={"Delete the view " + v.name} onClick={() => setID(v.id)}>×</button>}
          </form>
        ))}
        {!all.length && <p class="muted small">No views are saved yet.</p>}
        <Failure error={error ?? remove.error} />
        <hr />
        <button type="button" class="plain" onClick={() => setSaving(true)}>Save what is shown</button>
      </div>
      {saving && <Save page={page} shown={shown} close={() => setSaving(false)} done={reload} />}
    </details>
  );
}

function Save({ page, shown, close, done }: { page: string; shown: Shown; close(): void; done(): void }) {
  const [name, setName] = useState("");
  const [shared, setShared] = useState(false);
  const form = useForm(async () => {
    await call("views", { body: { ...shown, page, name, shared } });
    done();
    close();
  });
  return (
    <Dialog title="Save a view" close={close}>
      <form onSubmit={form.submit}>
        <h2>Save a view</h2>
        <p class="muted">It keeps the filter {shown.filter ? <code>{shown.filter}</code> : "(none)"}, the order and the columns.</p>
        <Field label="Name" required maxLength={200} value={name} onInput={(e) => setName(e.currentTarget.value)} error={form.of("name") ?? form.of("filter")} autofocus />
        <label class="check"><input type="checkbox" checked={shared} onChange={(e) => setShared(e.currentTarget.checked)} /> Other operators see it too</label>
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Save</button></div>
      </form>
    </Dialog>
  );
}
