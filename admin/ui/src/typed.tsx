// What somebody types into a form of a record that others change meanwhile.
import { useState } from "preact/hooks";
import { Table } from "./table";

type Fields = { [name: string]: string | boolean };

/**
 * useTyped keeps what is typed apart from what the record says now. Fields that nobody has touched follow the record; the others stay, and theirs names those that
 * somebody else has changed since. keep says that what is typed counts all the same, forget that it does not.
 */
export function useTyped<F extends Fields>(now: F) {
  const [mine, set] = useState<Partial<F>>({});
  const [was, setWas] = useState<Partial<F>>({});
  const type = (change: Partial<F>) => {
    set((old) => ({ ...old, ...change }));
    setWas((old) => ({ ...Object.fromEntries(Object.keys(change).map((k) => [k, now[k]])), ...old }));
  };
  const keep = () => setWas(Object.fromEntries(Object.keys(mine).map((k) => [k, now[k]])) as Partial<F>);
  const forget = () => {
    set({});
    setWas({});
  };
  const f: F = { ...now, ...mine };
  const theirs = (Object.keys(mine) as (keyof F & string)[]).filter((k) => now[k] !== was[k] && now[k] !== mine[k]);
  return { f, type, keep, forget, theirs, changed: Object.keys(f).some((k) => f[k] !== now[k]) };
}

/** Theirs shows fields that somebody else has changed meanwhile, and lets the operator choose. */
export function Theirs<F extends Fields>({ of, titles, now, mine, take, keep }: { of: (keyof F & string)[]; titles: { [name in keyof F]?: string }; now: F; mine: F; take(): void; keep(): void }) {
  const text = (v: string | boolean) => (typeof v === "boolean" ? (v ? "yes" : "no") : v.split("\n").map((line, i) => <>{i > 0 && <br />}{line || "–"}</>));
  return (
    <div role="status">
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
