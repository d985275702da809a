import { call } from "../api";
import type { Reads, Settings as Console } from "../api-types";
import { plain } from "../format";
import { Stale, useForm } from "../gate";
import { useGet } from "../load";
import { Choice, Failure, Field, number, Page, Waiting } from "../parts";
import { may, me, refresh } from "../session";
import { Facts } from "../table";
import { Theirs, useTyped } from "../typed";

type Shown = Reads["settings"];

/** What can be set, its unit, and how many of what the API counts are one of it. */
const numbers: [key: Exclude<keyof Console, "second_factor">, label: string, hint: string, unit: number][] = [
  ["lifetime", "A session lasts, in hours", "Counts for sessions that begin.", 3600],
  ["idle_timeout", "Without use it ends after minutes", "A page that is open and untouched counts as no use.", 60],
  ["step_up", "Fresh credentials count for minutes", "Then dangerous actions ask for them again.", 60],
  ["bulk_threshold", "Ask for them above so many tenants", "For actions on many tenants.", 1],
  ["audit_retention", "Entries of the audit are kept for days", "30 at least. Older ones are removed for good.", 86400],
];

/** said is a setting in words. Without a retention entries are kept for ever. */
const said = (of: Console, k: keyof Console, unit: number) => (k === "audit_retention" && !of[k] ? "for ever" : plain(((of[k] as number) ?? 0) / unit));

/** Settings of the console itself. */
export function Settings() {
  const { data, error, loading, reload, saved } = useGet<Shown>("settings");
  const writes = may("settings.write") && !!me.value?.scope.all;
  return (
    <Page title="Settings">
      <Failure error={error} retry={reload} />
      <Waiting on={loading && !data} />
      {data && (writes ? <Edit shown={data} read={reload} done={(now) => { saved(now); void refresh(); }} /> : (
        <Facts of={[
          ...numbers.map(([k, label, , unit]): [string, string] => [label, said({ ...data.defaults, ...data.settings }, k, unit)]),
          ["Second factor", (data.settings.second_factor ?? data.defaults.second_factor) ? "every operator needs one" : "as operators like"],
        ]} />
      ))}
    </Page>
  );
}

function Edit({ shown, done, read }: { shown: Shown; done(now: Shown): void; read(): void }) {
  const text = (k: (typeof numbers)[number][0], unit: number) => (shown.settings[k] === undefined ? "" : String(shown.settings[k]! / unit));
  const now = { ...Object.fromEntries(numbers.map(([k, , , unit]) => [k, text(k, unit)])), second_factor: shown.settings.second_factor === undefined ? "" : String(shown.settings.second_factor) } as { [name: string]: string };
  const { f, type, keep, take, forget, theirs, changed } = useTyped(now);
  const form = useForm(async () => {
    const body: Console = { ...shown.settings }; // what the form does not know stays
    for (const [k, , , unit] of numbers) body[k] = f[k].trim() ? number(k, f[k], { unit }) : undefined;
    body.second_factor = f.second_factor ? f.second_factor === "true" : undefined;
    const { data } = await call<Shown>("settings", { method: "PUT", body, etag: `"v${shown.version}"` });
    forget();
    done(data);
  });
  return (
    <form onSubmit={form.submit} class="narrow">
      {numbers.map(([k, label, hint, unit]) => (
        <Field key={k} id={k} label={label} hint={`${hint} Empty: ${said(shown.defaults, k, unit)}, as the application says.`} inputMode="decimal" value={f[k]} onInput={(e) => type({ [k]: e.currentTarget.value })} error={form.of(k)} />
      ))}
      <Choice label="Second factor" value={f.second_factor} set={(v) => type({ second_factor: v })} of={[["", `as the application says: ${shown.defaults.second_factor ? "every operator needs one" : "as operators like"}`], ["true", "every operator needs one"], ["false", "as operators like"]]} />
      <Stale form={form} read={read} />
      {theirs.length > 0 && <Theirs of={theirs} titles={Object.fromEntries([...numbers.map(([k, label]) => [k, label]), ["second_factor", "Second factor"]])} now={now} mine={f} take={take} keep={keep} />}
      <div class="actions"><button class="primary" disabled={form.busy || !changed || theirs.length > 0}>Save</button></div>
    </form>
  );
}
