import { useState } from "preact/hooks";
import { newKey, post } from "./api";
import { useForm } from "./gate";
import { Dialog, Failure, Field } from "./parts";
import { go } from "./router";

/** newTenant is who may make tenants, and what the palette calls it. */
export const newTenant = { title: "New tenant", query: { new: "1" }, permission: "tenants.create", part: "create", everywhere: true };

/** NewTenant makes a tenant with its database. */
export function NewTenant({ close }: { close(): void }) {
  const [f, set] = useState({ slug: "", name: "", plan: "", tags: "" });
  const [key] = useState(newKey);
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const form = useForm(async () => {
    const t = await post<{ id: string }>("tenants", { slug: f.slug.trim(), name: f.name.trim() || undefined, plan: f.plan.trim() || undefined, tags: f.tags.split(/[\s,]+/).filter(Boolean) }, key);
    close();
    go(["tenants", t.id]);
  });
  return (
    <Dialog title="New tenant" close={close}>
      <form onSubmit={form.submit}>
        <h2>New tenant</h2>
        <Field label="Slug" hint="Its name in addresses: lower-case letters, digits and hyphens." required pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" maxLength={63} value={f.slug} onInput={on("slug")} error={form.of("slug")} autofocus />
        <Field label="Name" value={f.name} onInput={on("name")} error={form.of("name")} />
        <Field label="Plan" value={f.plan} onInput={on("plan")} error={form.of("plan")} />
        <Field label="Tags" hint="Separated by spaces." value={f.tags} onInput={on("tags")} error={form.of("tags")} />
        <Failure error={form.error} />
        <div class="actions">
          <button type="button" onClick={close}>Cancel</button>
          <button class="primary" disabled={form.busy}>{form.busy ? "Making the database" : "Create"}</button>
        </div>
      </form>
    </Dialog>
  );
}
