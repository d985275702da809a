import { time } from "./format";
import { may } from "./session";
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
            {a.login ? `${a.login.subject} ${a.login.ok ? "signed in" : "failed to sign in"}${a.login.reason ? ": " + a.login.reason : ""}` : a.description || a.activity_type}
            {!!a.times && a.times > 1 && <span class="muted"> {a.times} times</span>}
            <span class="muted small">
              {" "}{a.activity_type}
              {a.actor_id && ` by ${a.actor_id}`}
              {a.ip_address && ` from ${a.ip_address}`}
            </span>
          </div>
        </li>
      ))}
    </ul>
  );
}
