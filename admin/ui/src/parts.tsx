// The small parts that all pages are made of.
import type { ComponentChildren, InputHTMLAttributes } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./api";
import { ago, figure, time } from "./format";
import { useLater } from "./load";

/** Figure is one value of the API: what it is, and how it was obtained. */
export interface Figure {
  value: number | null;
  unit?: string;
  method?: string;
  error?: number;
  measured_at?: string;
  partial?: boolean;
}

/** how says in words how a figure was obtained. */
export function how(f: Figure | undefined): string {
  if (!f) return "not measured";
  const parts = [];
  if (f.method && f.method !== "measured") parts.push(f.error ? `${f.method} ±${Math.round(f.error * 100)} %` : f.method);
  if (f.partial) parts.push("some instances are missing");
  if (f.measured_at && Date.now() - +new Date(f.measured_at) > 120_000) parts.push(ago(f.measured_at));
  return parts.join(", ");
}

export function Value({ f, unit }: { f?: Figure | number | null; unit?: string }) {
  const v = typeof f === "number" || f === null || f === undefined ? f : f.value;
  const t = figure(v, unit ?? (typeof f === "object" && f ? f.unit : "") ?? "");
  return (
    <>
      {t.number}
      {t.unit && <span class="unit">{t.unit}</span>}
    </>
  );
}

export function KeyFigure({ name, f, unit, note }: { name: string; f?: Figure | number | null; unit?: string; note?: string }) {
  const text = note ?? (typeof f === "object" && f ? how(f) : "");
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <div class="value"><Value f={f} unit={unit} /></div>
        {text && <div class="note">{text}</div>}
      </dd>
    </div>
  );
}

const shapes: Record<string, string> = {
  overview: "M2 9h4v5H2zM6 4h4v10H6zM10 7h4v7h-4z",
  tenants: "M2 14V4l6-2v12M8 6l6 2v6H2",
  runs: "M4 3l9 5-9 5z",
  audit: "M4 2h8v12H4zM6 5h4M6 8h4M6 11h2",
  performance: "M2 12l4-5 3 3 5-7",
  health: "M8 13.5S2 10 2 6a3 3 0 0 1 6-1 3 3 0 0 1 6 1c0 4-6 7.5-6 7.5z",
  operators: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 14a5.5 5.5 0 0 1 11 0",
  me: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 5v4M8 11v.5",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5L14 14",
  ok: "M3 8.5l3.5 3.5L13 5",
  bad: "M4 4l8 8M12 4l-8 8",
  warn: "M8 2l6.5 11.5h-13zM8 6v4M8 11.5v.5",
  off: "M3 8h10",
  wait: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.5V8l2.5 1.5",
  memory: "M4 4h8v8H4zM6 2v2M10 2v2M6 12v2M10 12v2M2 6h2M2 10h2M12 6h2M12 10h2",
  pool: "M3 4c0-2.7 10-2.7 10 0s-10 2.7-10 0v8c0 2.7 10 2.7 10 0V4M3 8c0 2.7 10 2.7 10 0",
  schedule: "M2.5 4h11v9.5h-11zM2.5 7h11M5.5 2v3M10.5 2v3",
  key: "M10.5 2.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8.4 7.6L2.5 13.5M4.5 11.5l2 2",
  settings: "M2 4.5h7M13 4.5h1M11 2.5v4M2 11.5h1M7 11.5h7M5 9.5v4",
  lock: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  compare: "M4 3v10M12 3v10M2 6h4M10 10h4",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={shapes[name] ?? ""} />
    </svg>
  );
}

const kinds: Record<string, [string, string]> = {
  active: ["ok", "ok"], whole: ["ok", "ok"], broken: ["bad", "bad"], working: ["ok", "wait"], done: ["ok", "ok"], ok: ["ok", "ok"], healthy: ["ok", "ok"], succeeded: ["ok", "ok"],
  suspended: ["warn", "warn"], paused: ["warn", "warn"], degraded: ["warn", "warn"], planned: ["off", "wait"], skipped: ["off", "off"],
  running: ["ok", "wait"], pending: ["off", "wait"], provisioning: ["off", "wait"],
  blocked: ["bad", "bad"], failed: ["bad", "bad"], stopped: ["bad", "bad"], denied: ["bad", "bad"], down: ["bad", "bad"],
  done_with_failures: ["warn", "warn"], not_known: ["warn", "warn"],
  closed: ["ok", "ok"], open: ["bad", "bad"], half_open: ["warn", "warn"], waiting: ["warn", "wait"], missing: ["bad", "warn"], unreachable: ["bad", "bad"], complete: ["ok", "ok"], "in force": ["warn", "warn"], enrolled: ["ok", "lock"], yes: ["ok", "ok"], none: ["warn", "off"], disabled: ["off", "off"],
};

/** State is a word with a shape and a colour, in this order of importance. */
export function State({ name }: { name: string }) {
  const [kind, icon] = kinds[name] ?? ["off", "off"];
  return (
    <span class={"state " + kind}>
      <Icon name={icon} /> {name.replaceAll("_", " ")}
    </span>
  );
}

/** looks says for each kind of failure how it is called, its colour and its shape. */
const looks: { [status: number]: [title: string, kind: string, icon: string] } = {
  0: ["No answer", "bad", "off"], 401: ["Not signed in", "warn", "me"], 403: ["Not allowed", "warn", "lock"], 404: ["Not found", "", "search"], 409: ["Not possible now", "warn", "compare"],
  412: ["Changed meanwhile", "warn", "compare"], 422: ["Not accepted", "warn", "warn"], 429: ["Too many requests", "warn", "wait"], 503: ["Not available", "bad", "wait"],
};

/** Failure says what went wrong. What passes by itself is tried again after the time that the server names. */
export function Failure({ error, retry }: { error: unknown; retry?: (byItself?: boolean) => void }) {
  const p = error instanceof Problem ? error : null;
  const passes = !!retry && !!p && [0, 429, 503].includes(p.status);
  const [left, setLeft] = useState(0);
  useEffect(() => {
    if (!passes) return;
    let n = p.retryAfter || 5;
    setLeft(n);
    const timer = setInterval(() => {
      setLeft(--n);
      if (n > 0 || document.hidden) return;
      clearInterval(timer);
      retry(true);
    }, 1000);
    return () => clearInterval(timer);
  }, [error]);
  if (!error) return null;
  const wiring = p?.is("not-configured");
  const [title, kind, icon] = wiring ? ["Not wired", "", "pool"] : (looks[p?.status ?? -1] ?? [p && p.status < 500 ? "Not accepted" : "Failed", p && p.status < 500 ? "warn" : "bad", p && p.status < 500 ? "warn" : "bad"]);
  const text = wiring ? "The application has not wired this part. " + p!.detail : p ? p.detail || p.title : "The page failed: " + String(error);
  return (
    <div class={"notice " + kind} role="alert">
      <Icon name={icon} /> <b>{title}.</b> {text}
      {p?.fields.filter((f) => !p.shown.has(f.pointer)).map((f, i) => <div key={i}>{f.text}{f.pointer.lastIndexOf("/") > 0 && <> <code class="small muted">{f.pointer}</code></>}</div>)}
      {passes && left > 0 && <span class="muted" aria-live="off"> Next try in {left} s.</span>}
      {p?.requestID && <div class="muted small">Request <code>{p.requestID}</code></div>}
      {retry && (!p || p.status === 0 || p.status >= 500) && <div><button type="button" onClick={() => retry()}>Try again</button></div>}
    </div>
  );
}

export function Waiting({ on, lines = 3 }: { on: boolean; lines?: number }) {
  if (!useLater(on)) return null;
  return (
    <div aria-busy="true">
      <span class="sr">Loading</span>
      {Array.from({ length: lines }, (_, i) => <div class="skeleton" style={{ width: `${92 - 14 * i}%` }} key={i} />)}
    </div>
  );
}

export function Page({ title, tools, children }: { title: string; tools?: ComponentChildren; children: ComponentChildren }) {
  useEffect(() => {
    document.title = title + " · Tenancy";
  }, [title]);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>{title}</h1>
        {tools && <div class="tools">{tools}</div>}
      </div>
      {children}
    </>
  );
}

/** The windows that reports can be about. */
export const windows = ["1h", "24h", "7d", "30d", "90d"] as const;

export function Segments<T extends string>({ label, value, of, set }: { label: string; value: T; of: readonly T[]; set(v: T): void }) {
  return (
    <span class="segments" role="group" aria-label={label}>
      {of.map((v) => (
        <button type="button" key={v} aria-pressed={v === value} onClick={() => set(v)}>{v}</button>
      ))}
    </span>
  );
}

export function Field({ label, hint, error, ...input }: { label: string; hint?: string; error?: string } & InputHTMLAttributes<HTMLInputElement>) {
  const id = input.id ?? "f-" + label.toLowerCase().replaceAll(/[^a-z]+/g, "-");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input {...input} id={id} aria-invalid={error ? true : undefined} aria-describedby={hint || error ? id + "-note" : undefined} />
      {(hint || error) && (
        <div id={id + "-note"}>
          {hint && <div class="hint">{hint}</div>}
          {error && <div class="error">{error}</div>}
        </div>
      )}
    </div>
  );
}

/** Choice is a field whose values are known. */
export function Choice({ label, value, of, set, hint }: { label: string; value: string; of: (string | [value: string, text: string])[]; set(v: string): void; hint?: string }) {
  const id = "c-" + label.toLowerCase().replaceAll(/[^a-z]+/g, "-");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(e) => set(e.currentTarget.value)} aria-describedby={hint ? id + "-note" : undefined}>
        {of.map((o) => (typeof o === "string" ? [o, o] : o)).map(([v, text]) => <option key={v} value={v}>{text}</option>)}
      </select>
      {hint && <div class="hint" id={id + "-note"}>{hint}</div>}
    </div>
  );
}

/** Once shows a text that is not shown again, such as a key or a link. */
export function Once({ title, text, children, close }: { title: string; text: string; children?: ComponentChildren; close(): void }) {
  const [copied, setCopied] = useState(false);
  return (
    <Dialog title={title} close={close}>
      <h2>{title}</h2>
      <p class="muted">It is not shown again. {children}</p>
      <p><code class="once">{text}</code></p>
      <div class="actions">
        <button type="button" onClick={() => void navigator.clipboard?.writeText(text).then(() => setCopied(true))}>{copied ? "Copied" : "Copy"}</button>
        <button type="button" class="primary" onClick={close} autofocus>Done</button>
      </div>
    </Dialog>
  );
}

/** link is an address of this page whose token is in the fragment, so that no log has it. */
export const link = (page: string, token: string): string => new URL(`#/${page}?token=${encodeURIComponent(token)}`, location.href.split("#")[0]).toString();

/** words splits what people type into a list. */
export const split = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

/**
 * number reads what people typed into the field of that name, in units of which the API has unit each. empty is what no text means; without it there
 * must be some. What is no number, or not above zero though it must be, is a Problem at the field, and nothing is sent.
 */
export function number(name: string, text: string, { unit = 1, empty, positive }: { unit?: number; empty?: number; positive?: boolean } = {}): number {
  const typed = text.trim();
  if (!typed && empty !== undefined) return empty;
  const n = (unit === 1 ? /^\d+$/ : /^\d+(\.\d+)?$/).test(typed) ? Math.round(Number(typed) * unit) : NaN;
  if (Number.isSafeInteger(n) && (n > 0 || !positive)) return n;
  const wanted = `a ${unit === 1 ? "whole " : ""}number${positive ? " above zero" : ""}`;
  throw new Problem(422, "validation", "Not accepted", typed ? `“${typed}” is not ${wanted}.` : `${wanted.replace("a", "A")} is missing.`, "", [{ pointer: "/" + name, code: "malformed", text: `Type ${wanted}.` }], 0);
}

/** Dialog is open while it is in the document. Escape closes it. */
export function Dialog({ title, close, children, cls }: { title: string; close(): void; children: ComponentChildren; cls?: string }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => { // a key that is pressed as soon as the dialog is seen is the dialog's
    const d = ref.current!;
    const before = document.activeElement as HTMLElement | null;
    d.showModal();
    return () => {
      d.close();
      if (before?.isConnected) before.focus(); // the dialog has left the document, and took the focus with it
    };
  }, []);
  return (
    <dialog ref={ref} class={cls} aria-label={title} onCancel={(e) => { e.preventDefault(); close(); }} onClose={() => { if (ref.current) close(); /* browsers do not always ask */ }}>
      {children}
    </dialog>
  );
}

export const When = ({ at }: { at?: string | null }) => (at ? <time dateTime={at} title={time(at)}>{ago(at)}</time> : <span class="muted">never</span>);

export function Spark({ points, label }: { points?: (number | null)[]; label: string }) {
  const known = (points ?? []).filter((p): p is number => p !== null);
  if (!points || known.length < 2) return <span class="muted small">–</span>;
  const max = Math.max(...known, 1e-9);
  let d = "";
  let pen = "M";
  points.forEach((p, i) => {
    if (p === null) {
      pen = "M"; // a gap is a gap
      return;
    }
    d += `${pen}${((i / (points.length - 1)) * 94 + 1).toFixed(1)} ${(23 - (p / max) * 22).toFixed(1)}`;
    pen = "L";
  });
  return (
    <svg class="spark" viewBox="0 0 96 24" role="img" aria-label={label}>
      <path d={d} />
    </svg>
  );
}
