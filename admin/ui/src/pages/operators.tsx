import { useState } from "preact/hooks";
import { call } from "../api";
import { useForm } from "../gate";
import { useGet } from "../load";
import { Dialog, Failure, Page, State, Waiting, When } from "../parts";
import { may, me } from "../session";

interface Operator {
  id: string;
  email: string;
  name: string;
  role: string;
  scope: { all?: boolean; tags?: string[]; ids?: string[] };
  disabled: boolean;
  second_factor: boolean;
  signed_in_at?: string;
}

export function Operators() {
  const { data, error, loading, reload } = useGet<{ operators: Operator[] }>("operators", { limit: 200 }, 15);
  const [edited, setEdited] = useState<Operator>();
  return (
    <Page title="Operators">
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      {data && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Operators">
          <table>
            <thead><tr><th scope="col">Name</th><th scope="col">E-mail</th><th scope="col">Role</th><th scope="col">Scope</th><th scope="col">Second factor</th><th scope="col">State</th><th scope="col">Signed in</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
            <tbody>
              {data.operators.map((o) => (
                <tr key={o.id}>
                  <td>{o.name} {o.id === me.value?.id && <span class="tag">you</span>}</td>
                  <td>{o.email}</td>
                  <td>{o.role}</td>
                  <td>{scopeText(o.scope)}</td>
                  <td>{o.second_factor ? "yes" : "no"}</td>
                  <td><State name={o.disabled ? "disabled" : "active"} /></td>
                  <td class="muted"><When at={o.signed_in_at} /></td>
                  <td>{may("operators.write") && o.id !== me.value?.id && <button type="button" onClick={() => setEdited(o)}>Change</button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {edited && <Change o={edited} close={() => setEdited(undefined)} done={reload} />}
    </Page>
  );
}

export function scopeText(s: Operator["scope"]): string {
  if (s.all) return "all tenants";
  if (s.tags?.length) return "tags " + s.tags.join(", ");
  return s.ids?.length ? `${s.ids.length} tenants` : "none";
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
