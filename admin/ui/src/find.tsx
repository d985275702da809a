import { useEffect, useState } from "preact/hooks";
import { get } from "./api";

export interface Hit { id: string; slug: string; name: string; status: string }

/** Found are the tenants that a text names. Those of another text are none: while waiting says that the answer is not there yet, nobody can take them. */
export interface Found { hits: Hit[]; error?: unknown; waiting: boolean }

/** useFind looks tenants up while somebody types. */
export function useFind(text: string): Found {
  const [found, set] = useState<{ of: string; hits: Hit[]; error?: unknown }>({ of: "", hits: [] });
  const of = text.trim();
  useEffect(() => {
    if (!of) return set({ of, hits: [] });
    const stop = new AbortController();
    const timer = setTimeout(() => {
      get<{ found: { tenant: Hit }[] }>("lookup", { q: of }, stop.signal).then(
        (r) => set({ of, hits: r.found.slice(0, 8).map((f) => f.tenant) }),
        (error) => stop.signal.aborted || set({ of, hits: [], error }),
      );
    }, 120);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [of]);
  return found.of === of ? { hits: found.hits, error: found.error, waiting: false } : { hits: [], waiting: true };
}
