// What somebody types into a form of a record that others change meanwhile.
import { useState } from "preact/hooks";
import { Table } from "./table";

/** Fields are what a form has. One without a value is not there: somebody has removed it, or not yet added it. */
type Fields = { [name: string]: string | boolean | undefined };

/**
 * useTyped keeps what is typed apart from what the record says now. Fields that nobody has touched follow the record; the others stay, and theirs names those that
 * somebody else has changed since. keep says that what is typed counts there all the same, take that it does not, and forget that nothing typed counts any more.
 */
export function useTyped<F extends Fields>(now: F) {
  type Some = Partial<F>;
  const [{ mine, was }, set] = useState<{ mine: Some; was: Some }>({ mine: {}, was: {} });
  const of = (some: Some) => Object.fromEntries(Object.keys(some).map((k) => [k, now[k]])) as Some;
  const f: F = { ...now, ...mine };
  const changed = (Object.keys(f) as (keyof F & string)[]).filter((k) => f[k] !== now[k]);
  const theirs = changed.filter((k) => now[k] !== was[k]);
  const without = (some: Some) => Object.fromEntries(Object.entries(some).filter(([k]) => !theirs.includes(k))) as Some;
  return {
    f,
    changed: changed.length > 0,
    theirs,
    type: (change: Some) => set((old) => ({ mine: { ...old.mine, ...change }, was: { ...of(change), ...old.was } })),
    keep: () => set({ mine, was: of(mine) }),
    take: () => set({ mine: without(mine), was: without(was) }),
    forget: () => set({ mine: {}, was: {} }),
  };
}

/** Theirs shows fields that somebody else has changed meanwhile, and lets the operator choose. */
export function Theirs<F extends Fields>({ of, titles, now, mine, take, keep }: { of: (keyof F & string)[]; titles: { [name in keyof F]?: string }; now: F; mine: F; take(): void; keep(): void }) {
  const text = (v: Fields[string]) => (typeof v === "boolean" ? (v ? "yes" : "no") : <span style={{ whiteSpace: "pre-line" }}>{v || "–"}</span>);
  return (
    <div role="status">
      <p>Somebody else has changed this.</p>
      <Table label="Differences" rows={of} id={(k) => k} empty="The record now says what you typed." of={[
        { title: "Field", cell: (k) => titles[k] }, { title: "Now there", wide: true, cell: (k) => text(now[k]) }, { title: "Yours", wide: true, cell: (k) => text(mine[k]) },
      ]} />
      <div class="actions">
        <button type="button" onClick={take}>Take theirs</button>
        <button type="button" onClick={keep}>Keep mine</button>
      </div>
    </div>
  );
}
