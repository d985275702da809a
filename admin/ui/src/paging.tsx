// Lists page by page. Which page is shown is in the address, so that a link and Back find it again.
import { route, setQuery } from "./router";

/** before has the cursor of the page in front of a page, for pages that were shown before this one. */
const before = new Map<string, string>();

/** cursorOf is where the page begins that is shown; name is its name in the address, where a page has several lists. What chooses other rows also sets it to "". */
export const cursorOf = (name = "cursor"): string => route.value.query.get(name) ?? "";

/** Paging are the buttons below a list. Who came by a link goes back to the first page. What was answered to another question has no next page: More waits. */
export function Paging({ of: { data, loading }, name = "cursor" }: { of: { data?: { next?: string }; loading: boolean }; name?: string }) {
  const cursor = cursorOf(name);
  const next = data?.next;
  return (
    <div class="actions">
      {cursor && <button type="button" onClick={() => setQuery({ [name]: before.get(cursor) })}>Before</button>}
      {next && <button type="button" aria-disabled={loading || undefined} onClick={() => { if (loading) return; before.set(next, cursor); setQuery({ [name]: next }); }}>More</button>}
    </div>
  );
}
