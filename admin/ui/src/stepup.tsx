import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { askAgain, post, Problem } from "./api";
import { useForm } from "./gate";
import { Dialog, Failure, Field } from "./parts";
import { elsewhere, me } from "./session";

const waiting = signal<((right: boolean) => void) | undefined>(undefined);

askAgain.stepUp = () =>
  new Promise((resolve) => {
    waiting.value?.(false);
    waiting.value = (right) => {
      waiting.value = undefined;
      resolve(right);
    };
  });

/** StepUp asks for credentials before an action that wants them to be fresh. */
export function StepUp() {
  useEffect(() => () => waiting.value?.(false), []); // somebody else has signed in
  if (!waiting.value) return null;
  return elsewhere.value ? <Elsewhere close={() => waiting.value?.(false)} /> : <Ask answer={waiting.value} />;
}

/** Elsewhere says where credentials can be shown again. */
function Elsewhere({ close }: { close(): void }) {
  return (
    <Dialog title="Sign in again" close={close}>
      <h2>Sign in again at your application</h2>
      <p>Your sign-in was too long ago for this action. Repeat it here afterwards.</p>
      <div class="actions"><button type="button" class="primary" onClick={close} autofocus>Close</button></div>
    </Dialog>
  );
}

function Ask({ answer }: { answer(right: boolean): void }) {
  const [f, set] = useState({ password: "", code: "" });
  const form = useForm(async () => {
    await post("auth/step-up", me.value?.second_factor ? f : { password: f.password });
    answer(true);
  });
  return (
    <Dialog title="Confirm that it is you" close={() => answer(false)}>
      <form onSubmit={form.submit}>
        <h2>Confirm that it is you</h2>
        <p class="muted">This action wants your credentials again. They count for ten minutes.</p>
        <Field label="Password" type="password" required autocomplete="current-password" value={f.password} onInput={(e) => set({ ...f, password: e.currentTarget.value })} autofocus />
        {me.value?.second_factor && <Field label="Code" required autocomplete="one-time-code" value={f.code} onInput={(e) => set({ ...f, code: e.currentTarget.value })} />}
        {form.error instanceof Problem && form.error.status === 401 ? <p class="error" role="alert">Password or code is wrong.</p> : <Failure error={form.error} />}
        <div class="actions">
          <button type="button" onClick={() => answer(false)}>Cancel</button>
          <button class="primary" disabled={form.busy}>Continue</button>
        </div>
      </form>
    </Dialog>
  );
}
