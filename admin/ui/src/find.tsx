import { useEffect, useState } from "preact/hooks";
import { get } from "./api";

export interface Hit { id: string; slug: string; name: string; status: string }

/** useFind searches tenants while somebody types. */
export function useFind(text: string): Hit[] {
  const [hits, setHits] = useState<Hit[]>([]);
  useEffect(() => {
    if (!text.trim()) return setHits([]);
    const stop = new AbortController();
    const timer = setTimeout(() => {
      get<{ tenants: Hit[] }>("tenants", { filter: text, limit: 8 }, stop.signal).then((r) => setHits(r.tenants), () => stop.signal.aborted || setHits([]));
    }, 120);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  return hits;
}
