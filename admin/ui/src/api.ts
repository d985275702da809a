// The page uses the console's API and nothing else: whatever the page can do, a token can do.
import { signal } from "@preact/signals";

/** Problem is an error of the API (RFC 9457). */
export class Problem extends Error {
  /** The pointers of the fields whose texts a form shows itself. */
  readonly shown = new Set<string>();

  constructor(
    readonly status: number,
    readonly type: string,
    readonly title: string,
    readonly detail: string,
    readonly requestID: string,
    readonly fields: { pointer: string; code: string; text: string }[],
    readonly retryAfter: number,
  ) {
    super(detail || title);
  }

  /** is compares the last part of the type: is("step-up"). */
  is(name: string): boolean {
    return this.type.split(/[/#:]/).pop() === name;
  }
}

const base = new URL("api/tenancy/", document.baseURI);

/** signedOut is raised by the first answer that says the session has ended. */
export const signedOut = signal(false);

let ahead = 0;

/** now is the server's time, in milliseconds since 1970: the browser's clock may be wrong by a day. */
export const now = (): number => Date.now() + ahead;

export interface Reply<T> {
  data: T;
  etag: string;
}

export interface Call {
  method?: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  etag?: string;
  /** The page asks by itself: that keeps no session alive. */
  refresh?: boolean;
  /** Why; the audit keeps it. */
  reason?: string;
  /** What makes repeating this POST harmless; made if it is missing. */
  kept?: Kept;
  /** Asks for an answer of many lines, and is called with the value of each as it comes. */
  each?(value: unknown): void;
  /** Asks for a file, which is the data: a File with the name that the server gives it. */
  file?: boolean;
  signal?: AbortSignal;
}

export function address(path: string, query: Call["query"] = {}): string {
  const url = new URL(path, base);
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== "") url.searchParams.set(k, String(v));
  return url.toString();
}

/** askAgain is set by the page: it asks the operator for their credentials and reports whether they were right. */
export const askAgain: { stepUp?: () => Promise<boolean> } = {};

/** Kept is the key of the last request of a form, and what it sent and when, while nobody knows what became of it. */
export interface Kept {
  key?: string;
  of?: string;
  at?: number;
}

let keeper: Kept | undefined;

/** keeping begins run. If run begins with a POST whose like got no answer in the two minutes before, that has the same key: it is carried out once. */
export function keeping<T>(kept: Kept, run: () => Promise<T>): Promise<T> {
  keeper = kept;
  try {
    return run();
  } finally {
    keeper = undefined;
  }
}

/** call asks the API. Its errors are Problems, also when nobody answers. */
export async function call<T>(path: string, c: Call = {}): Promise<Reply<T>> {
  const method = c.method ?? (c.body === undefined ? "GET" : "POST");
  const headers: Record<string, string> = { Accept: c.file ? "*/*" : c.each ? "application/jsonl" : "application/json" };
  if (c.body !== undefined) headers["Content-Type"] = "application/json";
  if (c.etag) headers["If-Match"] = c.etag;
  if (c.refresh) headers["X-Refresh"] = "1";
  if (c.reason) headers["X-Reason"] = c.reason.replace(/[^\x20-\x7e]|%/gu, encodeURIComponent); // headers are ASCII
  const body = c.body === undefined ? undefined : JSON.stringify(c.body);
  const kept = c.kept ?? keeper ?? {};
  keeper = undefined;
  const of = [method, address(path, c.query), body].join(" ");
  // After two minutes things may have changed, and who presses the button wants it anew.
  if (kept.of !== of || Date.now() - kept.at! > 120_000) Object.assign(kept, { of, key: newKey() });
  kept.at = Date.now();
  if (method === "POST") headers["Idempotency-Key"] = kept.key!;
  let res: Response;
  try {
    res = await fetch(address(path, c.query), {
      method,
      headers,
      body,
      credentials: "same-origin",
      cache: "no-store",
      signal: c.signal,
    });
  } catch (err) {
    if (c.signal?.aborted) throw err;
    throw noAnswer("The server did not answer.");
  }
  const at = Date.parse(res.headers.get("Date") ?? "");
  if (at && Math.abs(at - now()) > 2000) ahead = at - Date.now(); // the header has whole seconds
  if (!res.ok) {
    const p = await problem(res);
    // That a password is wrong does not mean that the session has ended.
    if (p.status === 401 && !path.startsWith("auth/")) signedOut.value = true;
    if (p.is("step-up") && path !== "auth/step-up" && (await askAgain.stepUp?.())) return call(path, { ...c, kept });
    if (p.status < 500 && p.status !== 409) kept.of = undefined; // else it may be under way, or a proxy may have given up
    throw p;
  }
  if (c.file) return { data: (await file(res)) as T, etag: "" };
  if (c.each) await read(res, c.each);
  const text = c.each ? "" : await res.text().catch((err) => {
    throw c.signal?.aborted ? err : brokenOff();
  });
  kept.of = undefined;
  return { data: (text ? JSON.parse(text) : undefined) as T, etag: res.headers.get("ETag") ?? "" };
}

const noAnswer = (detail: string) => new Problem(0, "offline", "No answer", detail, "", [], 0);
const brokenOff = () => noAnswer("The answer broke off.");

/** read calls each with the value of every line of an answer. One that breaks off is a Problem. */
async function read(res: Response, each: (value: unknown) => void): Promise<void> {
  try {
    const from = res.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value = "" } = await from.read();
      const all = (rest + value).split("\n");
      rest = all.pop()!;
      for (const line of all) each(JSON.parse(line));
      if (done) return;
    }
  } catch {
    throw brokenOff();
  }
}

/** file keeps an answer. One that breaks off is a Problem, and no file. */
async function file(res: Response): Promise<File> {
  try {
    return new File([await res.blob()], res.headers.get("Content-Disposition")?.split('"')[1] ?? "export");
  } catch {
    throw new Problem(0, "offline", "No answer", "The answer broke off.", "", [], 0);
  }
}

export const get = async <T>(path: string, query?: Call["query"], signal?: AbortSignal, refresh = false): Promise<T> =>
  (await call<T>(path, { query, signal, refresh })).data;

export const post = async <T>(path: string, body: unknown = {}): Promise<T> => (await call<T>(path, { method: "POST", body })).data;

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function problem(res: Response): Promise<Problem> {
  let p: Record<string, unknown> = {};
  try {
    p = await res.json();
  } catch {
    // A proxy's page: the status says enough.
  }
  const text = (k: string) => (typeof p[k] === "string" ? (p[k] as string) : "");
  return new Problem(
    res.status,
    text("type"),
    text("title") || res.statusText,
    text("detail"),
    text("request_id"),
    (Array.isArray(p.errors) ? p.errors : []) as Problem["fields"],
    Number(res.headers.get("Retry-After")) || 0,
  );
}
