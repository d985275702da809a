import { useState } from "preact/hooks";
import { post } from "./api";
import { useForm } from "./gate";
import type { Reads } from "./api-types";
import { useGet } from "./load";
import { Choice, Dialog, Failure, Field, split } from "./parts";
import { go } from "./router";
import { offered } from "./session";

/** newTenant is who may make tenants, and what the palette calls it. */
export const newTenant = { title: "New tenant", query: { new: "1" }, permission: "tenants.create", part: "create", everywhere: true };

/** NewTenant makes a tenant with its database. */
export function NewTenant({ close }: { close(): void }) {
  const [f, set] = useState({ slug: "", name: "", plan: "", tags: "", domains: "", server: "" });
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const slug = f.slug.trim();
  const taken = useGet<{ found: { kind: string }[] }>(slug ? "lookup" : null, { q: slug }, 0, false, true).data?.found.some((h) => h.kind === "slug");
  const servers = useGet<Reads["pools"]>(offered({ permission: "health.read", part: "pool", everywhere: true }) ? "pools" : null).data?.pools.filter((p) => !p.replica).sort((a, b) => b.budget - b.conns - (a.budget - a.conns)) ?? [];
  const form = useForm(async () => {
    const t = await post<{ id: string }>("tenants", { slug: f.slug.trim(), name: f.name.trim() || undefined, plan: f.plan.trim() || undefined, tags: split(f.tags), domains: split(f.domains), server: f.server || undefined });
    close();
    go(["tenants", t.id]);
  });
  return (
    <Dialog title="New tenant" close={close}>
      <form onSubmit={form.submit}>
        <h2>New tenant</h2>
        <Field label="Slug" hint={taken ? undefined : "Its name in addresses: lower-case letters, digits and hyphens."} required pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" maxLength={63} value={f.slug} onInput={on("slug")} error={form.of("slug") ?? (taken ? "Another tenant has this slug." : undefined)} autofocus />
        <Field label="Name" value={f.name} onInput={on("name")} error={form.of("name")} />
        <Field label="Plan" value={f.plan} onInput={on("plan")} error={form.of("plan")} />
        <Field label="Domains" hint="Separated by spaces." value={f.domains} onInput={on("domains")} error={form.of("domains")} />
        {servers.length > 1 && <Choice label="Server" value={f.server} set={(server) => set({ ...f, server })} of={[["", "as the application chooses"], ...servers.map((p): [string, string] => [p.server, `${p.server}: ${p.budget - p.conns} of ${p.budget} connections free`])]} />}
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
