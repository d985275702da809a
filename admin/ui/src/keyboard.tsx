// The keyboard: tables without a mouse, the palette, and what the keys are.
import { useLayoutEffect, useState } from "preact/hooks";
import { Dialog } from "./parts";

const keys: [string, string][] = [
  ["/", "Search tenants, pages and actions"],
  ["Ctrl K", "The same, also while typing"],
  ["j, k", "Next and previous row"],
  ["x", "Check the row"],
  ["Enter", "Open the row"],
  ["← →", "Points of a chart that has the focus"],
  ["Esc", "Close what floats"],
  ["?", "This list"],
];

/** walk moves the focus by so many rows. Rows are found anew each time: they may have changed. */
function walk(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main tbody tr")].filter((r) => r.offsetParent);
  const at = rows.indexOf(document.activeElement?.closest("tr") as HTMLElement);
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  if (!row) return;
  row.tabIndex = -1;
  row.focus();
  row.scrollIntoView({ block: "nearest" });
}

/** useKeyboard listens to keys of the whole page. It returns the list of keys while it is open. */
export function useKeyboard(find: () => void) {
  const [help, setHelp] = useState(false);
  useLayoutEffect(() => {
    const on = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if ((e.ctrlKey || e.metaKey) && e.key === "k") {
        e.preventDefault();
        return find();
      }
      if (e.ctrlKey || e.metaKey || e.altKey || target.closest?.("input:not([type=checkbox]),textarea,select,dialog") || document.querySelector("dialog[open]")) return;
      const row = target.closest?.("tr");
      if (e.key === "/") find();
      else if (e.key === "?") setHelp(true);
      else if (e.key === "j") walk(1);
      else if (e.key === "k") walk(-1);
      else if (e.key === "x" && row) row.querySelector<HTMLElement>("input[type=checkbox]")?.click();
      else if (e.key === "Enter" && row === target) row.querySelector<HTMLElement>("a")?.click();
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", on);
    return () => removeEventListener("keydown", on);
  }, []);
  if (!help) return null;
  return (
    <Dialog title="Keys" close={() => setHelp(false)}>
      <h2>Keys</h2>
      <dl class="keys">{keys.map(([k, what]) => <div key={k}><dt><kbd>{k}</kbd></dt><dd>{what}</dd></div>)}</dl>
      <div class="actions"><button type="button" class="primary" onClick={() => setHelp(false)}>Close</button></div>
    </Dialog>
  );
}
