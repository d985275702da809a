// The navigation: a page is one row here and one file in pages/.
import type { ComponentType } from "preact";
import { newTenant } from "./newtenant";
import type { Offer } from "./session";
import { Addresses } from "./pages/addresses";
import { Audit } from "./pages/audit";
import { Compare } from "./pages/compare";
import { Health } from "./pages/health";
import { Service } from "./pages/maintenance";
import { MyAccount } from "./pages/me";
import { Memory } from "./pages/memory";
import { Operators } from "./pages/operators";
import { Overview } from "./pages/overview";
import { Performance } from "./pages/performance";
import { Connections } from "./pages/pools";
import { Run } from "./pages/run";
import { Runs } from "./pages/runs";
import { Schedules } from "./pages/schedules";
import { Settings } from "./pages/settings";
import { Tenant } from "./pages/tenant";
import { Tenants } from "./pages/tenants";
import { Tokens } from "./pages/tokens";
import { UsageReport } from "./pages/usage";

export interface Row extends Offer {
  /** The first part of the address. */
  path: string;
  title: string;
  icon: string;
  page: ComponentType;
  /** The page of one thing: #/tenants/ID. */
  detail?: ComponentType<{ id: string }>;
  /** In the navigation, or only in the palette. */
  hidden?: boolean;
  /** Actions that the palette offers: the page begins them when its address has the query. */
  actions?: Action[];
}

export interface Action extends Offer {
  title: string;
  query: { [name: string]: string };
}

export const rows: Row[] = [
  { path: "overview", title: "Overview", icon: "overview", page: Overview, permission: "analytics.read", part: "reports" },
  { path: "tenants", title: "Tenants", icon: "tenants", page: Tenants, detail: Tenant, permission: "tenants.read", actions: [newTenant] },
  { path: "performance", title: "Performance", icon: "performance", page: Performance, permission: "analytics.read", part: "reports" },
  { path: "compare", title: "Compare", icon: "compare", page: Compare, permission: "analytics.read", part: "reports" },
  { path: "usage", title: "Usage", icon: "audit", page: UsageReport, permission: "analytics.read", part: "reports" },
  { path: "memory", title: "Memory", icon: "memory", page: Memory, permission: "analytics.read", part: "reports" },
  { path: "connections", title: "Connections", icon: "pool", page: Connections, permission: "health.read", part: "pool", everywhere: true },
  { path: "runs", title: "Runs", icon: "runs", page: Runs, detail: Run, permission: "runs.read", part: "runs" },
  { path: "schedules", title: "Schedules", icon: "schedule", page: Schedules, permission: "runs.read", part: "runs", everywhere: true },
  { path: "maintenance", title: "Maintenance", icon: "wait", page: Service, permission: "tenants.read", part: "maintenance", everywhere: true },
  { path: "health", title: "Health", icon: "health", page: Health, permission: "health.read", everywhere: true },
  { path: "audit", title: "Audit", icon: "audit", page: Audit, permission: "audit.read", part: "audit", actions: [{ title: "Verify the audit", query: { verify: "1" }, permission: "audit.verify" }] },
  { path: "operators", title: "Operators", icon: "operators", page: Operators, permission: "operators.read", own: true, actions: [{ title: "Invite an operator", query: { new: "1" }, permission: "operators.write" }] },
  { path: "tokens", title: "Tokens", icon: "key", page: Tokens, permission: "tokens.write", own: true, actions: [{ title: "Issue a token", query: { new: "1" } }] },
  { path: "addresses", title: "Addresses", icon: "lock", page: Addresses, permission: "iprules.write", everywhere: true },
  { path: "settings", title: "Settings", icon: "settings", page: Settings, permission: "operators.read" },
  { path: "me", title: "My account", icon: "me", page: MyAccount, hidden: true },
];

