// Tables: one look for all of them. The rows can be walked with the keyboard: see keys.tsx.
import type { ComponentChildren } from "preact";
import type { Figure } from "./parts";
import { Value } from "./parts";
import { useGet } from "./load";
import { href } from "./router";

export interface Column<T> {
  title: string;
  cell(row: T): ComponentChildren;
  /** Figures stand at the right, in digits of one width. */
  num?: boolean;
  muted?: boolean;
  /** Texts of sentences, which may take several lines. */
  wide?: boolean;
  /** The title is for screen readers alone. */
  hidden?: boolean;
}

/** Table shows rows; what to say when there are none stands in empty. */
export function Table<T>({ label, of, rows, id, empty, marked }: { label: string; of: (Column<T> | false | undefined)[]; rows: T[] | undefined | null; id(row: T): string; empty?: ComponentChildren; marked?(row: T): boolean }) {
  const columns = of.filter((c) => !!c);
  if (!rows) return null;
  if (!rows.length && empty) return <div class="empty">{empty}</div>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{columns.map((c) => <th scope="col" class={c.num ? "num" : ""} key={c.title}>{c.hidden ? <span class="sr">{c.title}</span> : c.title}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)} aria-selected={marked?.(row)}>
              {columns.map((c) => <td class={(c.num ? "num" : "") + (c.muted ? " muted" : "") + (c.wide ? " wide" : "")} key={c.title}>{c.cell(row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** value is the column of a figure. */
export const value = <T,>(title: string, of: (row: T) => Figure | number | null | undefined, unit?: string): Column<T> => ({ title, num: true, cell: (row) => <Value f={of(row)} unit={unit} /> });

/** Share is a bar beside its figure: how much of a whole it is. */
export function Share({ of, whole, label }: { of: number; whole: number; label: string }) {
  return <meter class="share" min={0} max={Math.max(whole, 1)} value={of} aria-label={label} />;
}

interface Named { id: string; slug: string; name: string; status: string }

/** useNames looks up what tenants are called whose IDs alone are known. */
export function useNames(ids: string[] | undefined): { [id: string]: Named | undefined } {
  const wanted = [...new Set(ids ?? [])].sort().slice(0, 100);
  const { data } = useGet<{ tenants: Named[] }>(wanted.length ? "tenants" : null, { filter: "id:" + wanted.join(), limit: 100 }, 0, true);
  return Object.fromEntries((data?.tenants ?? []).map((t) => [t.id, t]));
}

/** TenantLink leads to a tenant's page. */
export const TenantLink = ({ id, name, tab }: { id: string; name?: string; tab?: string }) => <a href={href(["tenants", id], { tab })}>{name || <code>{id}</code>}</a>;

/** Facts are names with what is said about them. */
export const Facts = ({ of }: { of: [name: string, ComponentChildren][] }) => <dl class="facts">{of.map(([k, v]) => <div key={k}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>;
