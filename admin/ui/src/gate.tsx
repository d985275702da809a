// What stands before the console: setting up, signing in, the second factor.
import { useState } from "preact/hooks";
import { call, post, Problem, signedOut } from "./api";
import { Failure, Field } from "./parts";
import { go, route } from "./router";
import { again, me, refresh, signIn, signOut } from "./session";

/** useForm runs one submission at a time and keeps its error. */
export function useForm(run: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await run();
    } catch (err) {
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  const of = (pointer: string) => (error instanceof Problem ? error.fields.find((f) => f.pointer === "/" + pointer)?.text : undefined);
  return { busy, error, submit, of };
}

/** Setup makes the first owner, or the operator of an invitation. The token comes in the fragment and leaves the address at once. */
export function Setup() {
  const [invited] = useState(() => route.value.path[0] === "invitation");
  const [token] = useState(() => {
    const t = route.value.query.get("token") ?? "";
    if (t) history.replaceState(null, "", invited ? "#/invitation" : "#/setup");
    return t;
  });
  const [f, set] = useState({ token, name: "", email: "", password: "" });
  const on = (k: keyof typeof f) => (e: Event) => set({ ...f, [k]: (e.target as HTMLInputElement).value });
  const form = useForm(async () => {
    await (invited ? post("auth/accept", { token: f.token, password: f.password }) : post("auth/setup", f));
    signedOut.value = false;
    await refresh();
    go(["overview"]);
  });
  return (
    <main class="gate">
      <div>
        <h1>{invited ? "You are invited" : "Set up the console"}</h1>
        <p class="muted">{invited ? "Choose a password. The link works once, for a day." : "You become its owner. The link works once, and for an hour after the start."}</p>
        <form onSubmit={form.submit}>
          {!token && <Field label="Token" hint={invited ? "It is in the link." : "The program printed it when it started."} value={f.token} onInput={on("token")} required autocomplete="off" error={form.of("token")} />}
          {!invited && <Field label="Name" value={f.name} onInput={on("name")} required autocomplete="name" error={form.of("name")} />}
          {!invited && <Field label="E-mail" type="email" value={f.email} onInput={on("email")} required autocomplete="username" error={form.of("email")} />}
          <Field label="Password" hint="15 characters or more; a sentence is good." type="password" value={f.password} onInput={on("password")} required minLength={15} maxLength={256} autocomplete="new-password" error={form.of("password")} />
          <Failure error={form.error} />
          <button class="primary" disabled={form.busy}>{invited ? "Begin" : "Create the owner"}</button>
        </form>
      </div>
    </main>
  );
}

export function SignIn() {
  const [f, set] = useState({ email: "", password: "" });
  const form = useForm(() => signIn(f.email, f.password));
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
        {again.value && !signedOut.value && <p><button type="button" class="plain" onClick={() => (again.value = false)}>Not now</button></p>}
      </div>
    </main>
  );
}

export function Factor() {
  const [code, set] = useState("");
  const form = useForm(async () => {
    await post("auth/second-factor", { code: code.trim() });
    await refresh();
  });
  return (
    <main class="gate">
      <div>
        <h1>Second factor</h1>
        <form onSubmit={form.submit}>
          <Field label="Code" hint="Six digits of your authenticator, or a recovery code." value={code} onInput={(e) => set(e.currentTarget.value)} required autocomplete="one-time-code" inputMode="text" />
          {form.error instanceof Problem && form.error.status === 401 ? <p class="error" role="alert">The code is wrong or was used before.</p> : <Failure error={form.error} />}
          <button class="primary" disabled={form.busy}>Continue</button>
        </form>
        <p><button type="button" class="plain" onClick={() => void signOut()}>Sign in as somebody else</button></p>
      </div>
    </main>
  );
}

interface Enrolment {
  url: string;
  qr: { size: number; path: string };
  secret: string;
}

export function Enrol({ done }: { done?(): void }) {
  const [e, setE] = useState<Enrolment>();
  const [codes, setCodes] = useState<string[]>();
  const [code, set] = useState("");
  const begin = useForm(async () => setE((await call<Enrolment>("auth/enrolment", { body: {} })).data));
  const end = useForm(async () => setCodes((await call<{ recovery_codes: string[] }>("auth/enrolment/confirm", { body: { code: code.trim() } })).data.recovery_codes));
  const finish = async () => {
    await refresh();
    done?.();
  };
  if (codes)
    return (
      <div>
        <h1>Recovery codes</h1>
        <p class="muted">Each works once, in place of the authenticator. They are not shown again: print them, or keep them in a password manager.</p>
        <ul class="codes">{codes.map((c) => <li key={c}>{c}</li>)}</ul>
        <div class="row">
          <button type="button" onClick={() => print()}>Print</button>
          <button type="button" onClick={() => save(codes)}>Download</button>
          <button type="button" class="primary grow" onClick={() => void finish()}>I have kept them</button>
        </div>
      </div>
    );
  if (!e)
    return (
      <form onSubmit={begin.submit}>
        <h1>Second factor</h1>
        <p class="muted">The console wants a code of an authenticator app at each sign-in.</p>
        <Failure error={begin.error} />
        <button class="primary" disabled={begin.busy}>Begin</button>
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

function save(codes: string[]): void {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([codes.join("\n") + "\n"], { type: "text/plain" }));
  a.download = "recovery-codes.txt";
  a.click();
  URL.revokeObjectURL(a.href);
}
