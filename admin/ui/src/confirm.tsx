import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useForm } from "./gate";
import { Dialog, Failure, Field } from "./parts";

/**
 * Confirm asks whether something is to be done, and why. typed is what must be repeated before; reasoned says that there must be a reason.
 * It closes when run has done it.
 */
export function Confirm({ title, of, danger, typed, reasoned, children, run, close }: { title: string; of?: string; danger?: boolean; typed?: string; reasoned?: boolean; children?: ComponentChildren; run(reason: string): Promise<unknown>; close(): void }) {
  const [repeated, repeat] = useState("");
  const [reason, setReason] = useState("");
  const form = useForm(async () => {
    await run(reason.trim());
    close();
  });
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={form.submit}>
        <h2>{title} {of}</h2>
        {children}
        <Field label="Reason" hint={reasoned ? "It is needed here. The audit keeps it." : "The audit keeps it."} value={reason} onInput={(e) => setReason(e.currentTarget.value)} autofocus />
        {typed && <Field label={`Type "${typed}"`} value={repeated} onInput={(e) => repeat(e.currentTarget.value)} autocomplete="off" />}
        <Failure error={form.error} />
        <div class="actions">
          <button type="button" onClick={close}>Cancel</button>
          <button class={danger ? "danger" : "primary"} disabled={form.busy || (!!typed && repeated.trim() !== typed) || (reasoned && !reason.trim())}>{title}</button>
        </div>
      </form>
    </Dialog>
  );
}
