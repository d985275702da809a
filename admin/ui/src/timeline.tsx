import { time } from "./format";
import { may, me } from "./session";
import { TenantLink, useNames } from "./table";

export interface Activity {
  tenant_id: string;
  activity_type: string;
  description: string;
  actor_kind?: string;
  actor_id?: string;
  ip_address?: string;
  created_at: string;
  times?: number;
  login?: { subject: string; ok: boolean; method?: string; reason?: string };
}

/** who says who did it: operators are known by their IDs. */
const who = (a: Activity): string => (a.actor_kind !== "operator" ? a.actor_id! : a.actor_id === me.value?.id ? me.value!.name : "operator …" + a.actor_id!.slice(-6));

/** Activities is a time line of what happened to tenants and within them. */
export function Activities({ rows, tenant = true, empty }: { rows?: Activity[]; tenant?: boolean; empty?: string }) {
  const names = useNames(tenant && may("tenants.read") ? rows?.map((a) => a.tenant_id).filter(Boolean) : undefined);
  if (!rows?.length) return <div class="empty">{empty ?? "Nothing has happened yet."}</div>;
  return (
    <ul class={tenant ? "timeline named" : "timeline"}>
      {rows.map((a, i) => (
        <li key={a.created_at + i}>
          <time dateTime={a.created_at}>{time(a.created_at)}</time>
          {tenant && <div>{a.tenant_id && <TenantLink id={a.tenant_id} name={names[a.tenant_id]?.name || names[a.tenant_id]?.slug || a.tenant_id.slice(-8)} />}</div>}
          <div>
            {a.login ? `${a.login.subject} ${a.login.ok ? "signed in" : "failed to sign in"}${a.login.reason ? ": " + a.login.reason : ""}` : a.description?.replaceAll(" -> ", " → ") || a.activity_type}
            {!!a.times && a.times > 1 && <span class="muted"> {a.times} times</span>}
            <span class="muted small">
              {[a.login ? a.login.method && "by " + a.login.method : a.activity_type.replaceAll(/[._]/g, " "), a.actor_id && "by " + who(a), a.ip_address && "from " + a.ip_address].filter(Boolean).map((s) => " · " + s)}
            </span>
          </div>
        </li>
      ))}
    </ul>
  );
}
