// What somebody types into a form of a record that others change meanwhile.
import { useEffect, useState } from "preact/hooks";
import { Table } from "./table";

type Fields = { [name: string]: string | boolean };

/**
 * useTyped keeps what is typed apart from what the record says now. Fields that nobody has touched follow the record; the others stay, and theirs names those that
 * somebody else has changed since. keep says that what is typed counts all the same, forget that it does not.
 */
export function useTyped<F extends Fields>(now: F) {
  type Some = Partial<F>;
  const [{ mine, was }, set] = useState<{ mine: Some; was: Some }>({ mine: {}, was: {} });
  const of = (some: Some) => Object.fromEntries(Object.keys(some).map((k) => [k, now[k]])) as Some;
  const f: F = { ...now, ...mine };
  const changed = (Object.keys(f) as (keyof F & string)[]).filter((k) => f[k] !== now[k]);
  return {
    f,
    changed: changed.length > 0,
    theirs: changed.filter((k) => now[k] !== was[k]),
    type: (change: Some) => set((old) => ({ mine: { ...old.mine, ...change }, was: { ...of(change), ...old.was } })),
    keep: () => set({ mine, was: of(mine) }),
    forget: () => set({ mine: {}, was: {} }),
  };
}

/**
 * useDraft is what somebody types over what was read: what nobody has typed into follows a later version, and all of it does once it is saved.
 */
export function useDraft<T extends object>(was: T, version: unknown) {
  const [typed, set] = useState<Partial<T>>({});
  const [over, saved] = useState<unknown>();
  useEffect(() => {
    if (over === undefined || over === version) return;
    set({});
    saved(undefined);
  }, [over, version]);
  return { draft: { ...was, ...typed }, type: (change: Partial<T>) => set({ ...typed, ...change }), saved: () => saved(version) };
}

/** Theirs shows fields that somebody else has changed meanwhile, and lets the operator choose. */
export function Theirs<F extends Fields>({ of, titles, now, mine, take, keep }: { of: (keyof F & string)[]; titles: { [name in keyof F]?: string }; now: F; mine: F; take(): void; keep(): void }) {
  const text = (v: string | boolean) => (typeof v === "boolean" ? (v ? "yes" : "no") : <span style={{ whiteSpace: "pre-line" }}>{v || "–"}</span>);
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
