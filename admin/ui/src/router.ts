// Routes live in the fragment (#/tenants?status=active), so the page works below any
// prefix and no access log shows which pages operators look at.
import { signal } from "@preact/signals";

export interface Route {
  /** The path's parts: "#/tenants/t1" is ["tenants", "t1"]. */
  path: string[];
  query: URLSearchParams;
}

function parse(hash: string): Route {
  const [path, query] = hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query ?? "") };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = signal<Route>(parse(location.hash));

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

/** href builds a link: href(["tenants", id], {tab: "usage"}). Empty values are left out. */
export function href(path: string[], query: Record<string, string | undefined> = {}): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v) q.set(k, v);
  const text = q.toString();
  return "#/" + path.map(encodeURIComponent).join("/") + (text ? "?" + text : "");
}

export function go(path: string[], query: Record<string, string | undefined> = {}): void {
  location.hash = href(path, query).slice(1);
}

/** setQuery changes parts of the query in place. Typing replaces the history's entry, a choice adds one. */
export function setQuery(change: Record<string, string | undefined>, replace = false): void {
  const q: Record<string, string | undefined> = Object.fromEntries(route.value.query);
  const to = href(route.value.path, { ...q, ...change });
  if (to === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  route.value = parse(to);
}
