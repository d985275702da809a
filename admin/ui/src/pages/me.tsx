import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { askAgain, post, Problem } from "../api";
import { setZone, time, zone, zoneName } from "../format";
import { Codes, Enrol, NewPassword, useForm } from "../gate";
import { Dialog, Failure, Field, Page, Segments } from "../parts";
import { me, refresh } from "../session";
import { theme, type Theme } from "../theme";
import { Facts } from "../table";
import { scopeText } from "./operators";
import { Sessions } from "./sessions";

const themes: readonly Theme[] = ["system", "light", "dark"];

export function MyAccount() {
  const who = me.value!;
  const [open, setOpen] = useState<"" | "factor" | "codes" | "password">("");
  const close = () => setOpen("");
  const enrol = async () => {
    await refresh();
    if (me.value?.session.fresh || (await askAgain.stepUp?.())) setOpen("factor");
  };
  return (
    <Page title="My account">
      <section>
        <Facts of={[
          ["Name", who.name], ["E-mail", who.email], ["Role", who.role], ["Scope", scopeText(who.scope)],
          ...(who.own_sign_in ? ([
            ["Password", <button type="button" onClick={() => setOpen("password")}>Change the password</button>],
            ["Second factor", who.second_factor ? <>enrolled <button type="button" onClick={() => setOpen("codes")}>New recovery codes</button> <span class="muted">If you lose it, another owner can reset it.</span></> : <>not enrolled <button type="button" onClick={() => void enrol()}>Enrol</button></>],
            ["Session ends", <>{time(who.session.expires_at)} <span class="muted">{zoneName()}</span></>],
          ] as [string, ComponentChildren][]) : []),
        ]} />
      </section>
      <section>
        <h2>On this browser</h2>
        <Facts of={[
          ["Theme", <Segments label="Theme" value={theme.value} of={themes} set={(t) => (theme.value = t)} />],
          ["Times", <><Segments label="Times" value={zone.value} of={["local", "utc"]} set={setZone} /> <span class="muted">{zoneName()}</span></>],
        ]} />
      </section>
      {who.own_sign_in && (
        <section>
          <h2>Sessions</h2>
          <Sessions path="sessions" end />
        </section>
      )}
      {open === "factor" && <Dialog title="Second factor" close={close}><Enrol done={close} /></Dialog>}
      {open === "codes" && <NewCodes close={close} />}
      {open === "password" && <Password close={close} />}
    </Page>
  );
}

/** NewCodes makes recovery codes in place of the old ones, and shows them once. */
function NewCodes({ close }: { close(): void }) {
  const [codes, setCodes] = useState<string[]>();
  const form = useForm(async () => setCodes((await post<{ recovery_codes: string[] }>("auth/recovery-codes")).recovery_codes));
  if (codes) return <Dialog title="Recovery codes" close={close} key="codes"><Codes codes={codes} done={close} /></Dialog>;
  return (
    <Dialog title="New recovery codes" close={close}>
      <form onSubmit={form.submit}>
        <h2>New recovery codes</h2>
        <p>Your present codes stop working.</p>
        <Failure error={form.error} />
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy} autofocus>Make new codes</button></div>
      </form>
    </Dialog>
  );
}

/** Password changes it, and ends all other sessions. */
function Password({ close }: { close(): void }) {
  const [f, set] = useState({ current: "", password: "" });
  const [done, setDone] = useState(false);
  const form = useForm(async () => {
    await post("auth/password", f);
    setDone(true);
  });
  if (done)
    return (
      <Dialog title="Password" close={close} key="done">
        <h2>The password is changed</h2>
        <p role="status">Your other sessions have ended.</p>
        <div class="actions"><button type="button" class="primary" onClick={close} autofocus>Done</button></div>
      </Dialog>
    );
  return (
    <Dialog title="Change the password" close={close}>
      <form onSubmit={form.submit}>
        <h2>Change the password</h2>
        <input class="sr" type="text" autocomplete="username" value={me.value?.email} readOnly tabIndex={-1} aria-hidden="true" />
        <Field label="Current password" type="password" required autocomplete="current-password" value={f.current} onInput={(e) => set({ ...f, current: e.currentTarget.value })} autofocus />
        <NewPassword value={f.password} set={(password) => set({ ...f, password })} error={form.of("password")} />
        {form.error instanceof Problem && form.error.status === 401 ? <p class="error" role="alert">The current password is wrong.</p> : <Failure error={form.error} />}
        <div class="actions"><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={form.busy}>Change</button></div>
      </form>
    </Dialog>
  );
}
