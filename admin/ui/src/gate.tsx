// What stands before the console: setting up, signing in, the second factor.
import { useEffect, useState } from "preact/hooks";
import { call, keeping, post, Problem, signedOut, type Kept } from "./api";
import { save } from "./download";
import { Failure, Field } from "./parts";
import { go, route } from "./router";
import { again, changed, elsewhere, me, refresh, signIn, signOut, unkept } from "./session";

/** useForm runs one submission at a time and keeps its error. A POST with which run begins and that gets no answer has the same key when it is sent again. */
export function useForm(run: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [kept] = useState<Kept>({});
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await keeping(kept, run);
    } catch (err) {
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  /** of is what is wrong with a field, for the form that shows it there. */
  const of = (pointer: string) => (error instanceof Problem ? error.shown.add("/" + pointer) && error.fields.find((f) => f.pointer === "/" + pointer)?.text : undefined);
  return { busy, error, submit, of, forgive: () => setError(undefined) };
}

/** Stale says why something was not saved. If it is another one by now, it offers to read that. */
export function Stale({ form, read }: { form: Pick<ReturnType<typeof useForm>, "error" | "forgive">; read(): void }) {
  return (
    <>
      <Failure error={form.error} />
      {form.error instanceof Problem && form.error.status === 412 && <p><button type="button" onClick={() => { form.forgive(); read(); }}>Read what is there now</button></p>}
    </>
  );
}

/** Each kind of link that leads here: what it is called, what it says, and which request uses it. */
const links: { [page: string]: { title: string; text: string; button: string; path: string; token: string } } = {
  setup: { title: "Set up the console", text: "You become its owner. The link works once, and for an hour after the start.", button: "Create the owner", path: "auth/setup", token: "The program printed it when it started." },
  invitation: { title: "You are invited", text: "Choose a password. The link works once, for a day.", button: "Begin", path: "auth/accept", token: "It is in the link." },
  reset: { title: "Choose a new password", text: "The link works once, for an hour. Sessions that are open end.", button: "Set the password", path: "auth/reset", token: "It is in the link." },
  rescue: { title: "Get in again", text: "Choose a new password; then you enrol a new second factor. The link works once, for 15 minutes.", button: "Continue", path: "auth/rescue", token: "It is in the link." },
};

/** isLink reports whether a page is reached by a link with a token, whoever is signed in. */
export const isLink = (page: string | undefined): boolean => page !== undefined && page in links;

export function NewPassword({ value, set, error }: { value: string; set(v: string): void; error?: string }) {
  return <Field label="New password" hint="15 characters or more; a sentence is good." type="password" value={value} onInput={(e) => set(e.currentTarget.value)} required minLength={15} maxLength={256} autocomplete="new-password" error={error} />;
}

/** ByLink makes the first owner or the operator of an invitation, or lets somebody in again. The token comes in the fragment and leaves the address at once. */
export function ByLink({ page }: { page: string }) {
  const of = links[page];
  const setup = page === "setup";
  const [token] = useState(() => {
    const t = route.value.query.get("token") ?? "";
    if (t) history.replaceState(null, "", "#/" + page);
    return t;
  });
  const [f, set] = useState({ token, name: "", email: "", password: "" });
  const [done, setDone] = useState(false);
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const leave = async () => {
    signedOut.value = false;
    await changed();
    go([]);
  };
  const form = useForm(async () => {
    await post(of.path, setup ? f : { token: f.token, password: f.password });
    if (page === "reset") setDone(true);
    else await leave();
  });
  if (done)
    return (
      <main class="gate">
        <div>
          <h1>The password is changed</h1>
          <p class="muted" role="status">Sign in with it.</p>
          <button type="button" class="primary" onClick={() => void leave()} autofocus>Sign in</button>
        </div>
      </main>
    );
  const dead = form.error instanceof Problem && [401, 404, 410].includes(form.error.status);
  return (
    <main class="gate">
      <div>
        <h1>{of.title}</h1>
        <p class="muted">{of.text}</p>
        <form onSubmit={form.submit}>
          {!token && <Field label="Token" hint={of.token} value={f.token} onInput={on("token")} required autocomplete="off" error={form.of("token")} />}
          {setup && <Field label="Name" value={f.name} onInput={on("name")} required autocomplete="name" error={form.of("name")} />}
          {setup && <Field label="E-mail" type="email" value={f.email} onInput={on("email")} required autocomplete="username" error={form.of("email")} />}
          <NewPassword value={f.password} set={(password) => set({ ...f, password })} error={form.of("password")} />
          {dead ? <p class="error" role="alert">This link does not work any more: it was used, or its time is over. Ask for another.</p> : <Failure error={form.error} />}
          <button class="primary" disabled={form.busy}>{of.button}</button>
        </form>
        {!setup && <p><button type="button" class="plain" onClick={() => void leave()}>Sign in instead</button></p>}
      </div>
    </main>
  );
}

export function SignIn() {
  const [f, set] = useState({ email: "", password: "" });
  const [forgotten, setForgotten] = useState(false);
  const form = useForm(() => signIn(f.email, f.password));
  if (elsewhere.value)
    return (
      <main class="gate">
        <div>
          <h1>Sign in</h1>
          <p>Sign in at your application, then come back here.{me.value && " What you typed is kept."}</p>
          <button type="button" class="primary" onClick={() => void refresh()} autofocus>I have signed in</button>
        </div>
      </main>
    );
  if (forgotten) return <Forgotten email={f.email} close={() => setForgotten(false)} />;
  return (
    <main class="gate">
      <div>
        <h1>Sign in</h1>
        {me.value && <p class="muted">{signedOut.value ? "Your session has ended." : "Your session ends soon."} What you typed is kept.</p>}
        <form onSubmit={form.submit}>
          <Field label="E-mail" type="email" value={f.email} onInput={(e) => set({ ...f, email: e.currentTarget.value })} required autocomplete="username" />
          <Field label="Password" type="password" value={f.password} onInput={(e) => set({ ...f, password: e.currentTarget.value })} required autocomplete="current-password" />
          {form.error instanceof Problem && form.error.status === 401 ? (
            <p class="error" role="alert">E-mail or password is wrong.</p>
          ) : (
            <Failure error={form.error} />
          )}
          <button class="primary" disabled={form.busy}>Sign in</button>
        </form>
        <p class="row">
          <button type="button" class="plain" onClick={() => setForgotten(true)}>I forgot my password</button>
          {again.value && !signedOut.value && <button type="button" class="plain" onClick={() => (again.value = false)}>Not now</button>}
        </p>
      </div>
    </main>
  );
}

/** Forgotten sends a link by mail. The answer says nothing about whether there is such an operator. */
function Forgotten({ email, close }: { email: string; close(): void }) {
  const [to, set] = useState(email);
  const [sent, setSent] = useState(false);
  const form = useForm(async () => {
    await post("auth/forgot", { email: to });
    setSent(true);
  });
  const byHand = form.error instanceof Problem && form.error.is("not-configured");
  return (
    <main class="gate">
      <div>
        <h1>A new password</h1>
        {sent ? <p role="status">If there is an operator with this address, a link is on its way. It works once, for an hour.</p> : (
          <form onSubmit={form.submit}>
            <Field label="E-mail" type="email" value={to} onInput={(e) => set(e.currentTarget.value)} required autocomplete="username" autofocus />
            {byHand ? <p class="error" role="alert">This console sends no mail. Ask another operator for a reset link.</p> : <Failure error={form.error} />}
            <button class="primary" disabled={form.busy}>Send a link</button>
          </form>
        )}
        <p><button type="button" class="plain" onClick={close}>Back to the sign-in</button></p>
      </div>
    </main>
  );
}

export function Factor() {
  const [code, set] = useState("");
  const form = useForm(async () => {
    await post("auth/second-factor", { code: code.trim() });
    await changed();
  });
  const leave = useForm(signOut);
  return (
    <main class="gate">
      <div>
        <h1>Second factor</h1>
        <form onSubmit={form.submit}>
          <Field label="Code" hint="Six digits of your authenticator, or a recovery code." value={code} onInput={(e) => set(e.currentTarget.value)} required autocomplete="one-time-code" inputMode="text" />
          {form.error instanceof Problem && form.error.status === 401 ? <p class="error" role="alert">The code is wrong or was used before.</p> : <Failure error={form.error} />}
          <button class="primary" disabled={form.busy}>Continue</button>
        </form>
        <p><button type="button" class="plain" onClick={leave.submit}>Sign in as somebody else</button></p>
        <Failure error={leave.error} />
      </div>
    </main>
  );
}

/** Codes shows recovery codes, once. */
export function Codes({ codes, done }: { codes: string[]; done(): void }) {
  return (
    <div>
      <h1>Recovery codes</h1>
      <p class="muted">Each works once, in place of the authenticator. They are not shown again: print them, or keep them in a password manager.</p>
      <ul class="codes printed">{codes.map((c) => <li key={c}>{c}</li>)}</ul>
      <div class="row">
        <button type="button" onClick={() => print()}>Print</button>
        <button type="button" onClick={() => save("recovery-codes.txt", codes.join("\n") + "\n")}>Download</button>
        <button type="button" class="primary grow" onClick={done}>I have kept them</button>
      </div>
    </div>
  );
}

interface Enrolment {
  url: string;
  qr: { size: number; path: string };
  secret: string;
}

/** Enrol sets up a second factor: in a dialog if there is a done, and else as the gate of a sign-in that lacks one. */
export function Enrol({ done }: { done?(): void }) {
  const [e, setE] = useState<Enrolment>();
  const [codes, setCodes] = useState<string[]>();
  const [code, set] = useState("");
  const begin = useForm(async () => setE((await call<Enrolment>("auth/enrolment", { body: {} })).data));
  const end = useForm(async () => {
    unkept.value = !done;
    try {
      setCodes((await call<{ recovery_codes: string[] }>("auth/enrolment/confirm", { body: { code: code.trim() } })).data.recovery_codes);
    } catch (err) {
      unkept.value = false;
      throw err;
    }
    if (done) await changed(); // a gate would open, and its codes go unseen
  });
  const leave = useForm(signOut);
  useEffect(() => () => void (unkept.value = false), []);
  const finish = async () => {
    unkept.value = false;
    if (done) done();
    else await changed();
  };
  if (codes) return <Codes codes={codes} done={() => void finish()} />;
  if (!e)
    return (
      <form onSubmit={begin.submit}>
        <h1>Second factor</h1>
        <p class="muted">The console wants a code of an authenticator app at each sign-in.</p>
        {begin.error instanceof Problem && begin.error.status === 401 ? <p class="error" role="alert">Your sign-in was too long ago for this. Sign in again.</p> : <Failure error={begin.error} />}
        <button class="primary" disabled={begin.busy}>Begin</button>
        {!done && <p><button type="button" class="plain" onClick={leave.submit}>Sign in again</button></p>}
        <Failure error={leave.error} />
      </form>
    );
  return (
    <form onSubmit={end.submit}>
      <h1>Second factor</h1>
      <p class="muted">Scan this with your authenticator app, or type the secret.</p>
      <svg class="qr" viewBox={`0 0 ${e.qr.size} ${e.qr.size}`} shape-rendering="crispEdges" role="img" aria-label="QR code of the secret">
        <path fill="#000" d={e.qr.path} />
      </svg>
      <p><code>{e.secret}</code></p>
      <Field label="Code" value={code} onInput={(ev) => set(ev.currentTarget.value)} required autocomplete="one-time-code" inputMode="numeric" />
      {end.error instanceof Problem && end.error.status === 401 ? <p class="error" role="alert">The code is wrong.</p> : <Failure error={end.error} />}
      <button class="primary" disabled={end.busy}>Confirm</button>
    </form>
  );
}
