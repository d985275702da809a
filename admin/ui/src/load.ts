import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, Problem, signedOut, type Call } from "./api";

/** behind counts what is shown of one question while the answer to another, such as that of another window, is awaited. */
export const behind = signal(0);

/** useBehind counts one more as long as `on` is true. */
export function useBehind(on: boolean): void {
  useEffect(() => {
    if (!on) return;
    behind.value++;
    return () => {
      behind.value--;
    };
  }, [on]);
}

export interface Loaded<T> {
  data?: T;
  error?: unknown;
  loading: boolean;
  /** reload asks anew, for the operator or, when the page does it by itself, without counting as use of the session. */
  reload(byItself?: boolean): void;
  /** saved shows what a change was answered with, and asks anew. */
  saved(data: T): void;
}

/** asked are the questions that this turn of the browser has begun: parts of the page that ask the same share the answer. Later ones ask anew. */
const asked = new Map<string, { answer: Promise<unknown>; stop: AbortController; users: number }>();

/** share asks, and returns the answer and what to call when nobody waits for it any more. */
function share<T>(key: string, path: string, query: Call["query"], refresh: boolean): [answer: Promise<T>, leave: () => void] {
  let one = asked.get(key);
  if (!one) {
    const stop = new AbortController();
    one = { answer: get<T>(path, query, stop.signal, refresh), stop, users: 0 };
    asked.set(key, one);
    setTimeout(() => asked.delete(key));
  }
  const mine = one;
  mine.users++;
  return [mine.answer as Promise<T>, () => {
    if (--mine.users > 0) return;
    mine.stop.abort();
    if (asked.get(key) === mine) asked.delete(key);
  }];
}

/**
 * useGet asks for path whenever path or query change, and each `every` seconds while the page is visible and no answer is awaited, for a minute at most. It keeps the last
 * answer while it asks. follows says that path and query follow from another answer: then no question counts as use of the session. beside says that the answer stands beside what
 * the page shows: while another is awaited, the page is not of before.
 */
export function useGet<T>(path: string | null, query: Call["query"] = {}, every = 0, follows = false, beside = follows): Loaded<T> {
  const [state, set] = useState<{ key?: string; data?: T; error?: unknown }>({});
  const [turn, again] = useState(0);
  const byItself = useRef(false);
  const awaited = useRef(0); // until when the timer leaves the question alone that has no answer yet
  const key = path + JSON.stringify(query);
  const reload = (itself = false) => {
    byItself.current = itself;
    again((n) => n + 1);
  };
  const saved = (data: T) => {
    set({ key, data });
    reload();
  };
  useEffect(() => {
    const refresh = follows || byItself.current;
    byItself.current = false;
    if (path === null) return;
    let left = false;
    awaited.current = Date.now() + 60_000; // then the connection may be dead
    const end = (next: Parameters<typeof set>[0]) => {
      if (left) return;
      awaited.current = 0;
      set(next);
    };
    const [answer, leave] = share<T>(key + refresh, path, query, refresh);
    answer.then(
      (data) => end({ key, data }),
      (error) => end((old) => ({ key, error, data: old.key === key ? old.data : undefined })),
    );
    return () => {
      left = true;
      awaited.current = 0;
      leave();
    };
  }, [key, turn]);
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => {
      if (document.hidden || signedOut.value || Date.now() < awaited.current) return; // a session that has ended asks nothing
      reload(true);
    }, every * 1000);
    return () => clearInterval(timer);
  }, [every]);
  useBehind(!beside && path !== null && state.data !== undefined && state.key !== key);
  const out = signedOut.value;
  useEffect(() => {
    if (!out && state.error instanceof Problem && state.error.status === 401) reload(); // signed in again
  }, [out]);
  return { data: state.data, error: state.key === key ? state.error : undefined, loading: state.key !== key, reload, saved };
}

/** useLater is true once `on` has been true for 200 ms: nothing flickers for answers that come at once. */
export function useLater(on: boolean): boolean {
  const [late, set] = useState(false);
  useEffect(() => {
    set(false);
    if (!on) return;
    const timer = setTimeout(() => set(true), 200);
    return () => clearTimeout(timer);
  }, [on]);
  return on && late;
}
