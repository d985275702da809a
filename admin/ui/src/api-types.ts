// Types of the API's answers, made from openapi.json by "make ui". Do not edit.

export type APIKey = {
  allow: string[];
  created_at: string;
  expires_at?: string;
  id: string;
  name: string;
  replaced_by?: string;
  scopes: string[];
  used_at?: string;
};

export type Activities = {
  activities: Activity[];
  next?: string;
};

export type Activity = {
  activity_type: string;
  actor_id?: string;
  actor_kind?: string;
  created_at: string;
  description?: string;
  ip_address?: string;
  request_id?: string;
  tenant_id: string;
  times?: number;
  user_agent?: string;
};

export type Bulk = {
  approval?: boolean;
  budget?: string;
  canary?: number;
  confirm?: string;
  dry_run?: boolean;
  filter?: string;
  ids?: string[];
  parallel?: number;
  params?: { [name: string]: string };
  plan?: string;
  then?: string;
};

export type Checkpoint = {
  hash: string;
  number: number;
  signature: string;
  time: string;
  trail: string;
};

export type Entry = {
  action: string;
  actor: {
    address?: string;
    id?: string;
    kind: string;
    name?: string;
    user_agent?: string;
  };
  changes?: {
    after?: unknown;
    before?: unknown;
    field: string;
  }[];
  count: number;
  id: string;
  number?: number;
  object?: string;
  problem?: string;
  reason?: string;
  request_id?: string;
  result: "done" | "denied" | "failed" | "unknown";
  tenant?: string;
  time: string;
};

export type Facets = {
  plan: { [name: string]: number };
  server: { [name: string]: number };
  status: { [name: string]: number };
  tags: { [name: string]: number };
  total: number;
};

export type Figure = {
  error: number;
  measured_at: string;
  method: "measured" | "sampled" | "estimated";
  partial?: boolean;
  unit: string;
  value: number;
} | null;

export type Forecast = {
  days: {
    day: string;
    high: number;
    low: number;
    value: number;
  }[];
  error: number;
  model?: string;
  naive_error: number;
  reached: { [name: string]: unknown } | null;
  refused?: string;
  tested_days: number;
  unit: string;
};

export type Found = {
  kind: "id" | "slug" | "domain" | "text";
  tenant: Tenant;
};

export type Health = {
  healthy: boolean;
  parts: {
    checked_at: string;
    healthy: boolean;
    name: string;
    since: string;
  }[];
  warnings: string[];
};

export type LoginSubjects = {
  next?: string;
  period: Period;
  subjects: {
    addresses: string[];
    failures: number;
    last_failure?: string;
    last_login?: string;
    logins: number;
    subject: string;
    tenant_id: string;
  }[];
};

export type Maintenance = {
  ends_at?: string;
  in_flight: number;
  in_force: boolean;
  next: {
    ends_at?: string;
    starts_at: string;
  } | null;
  record: {
    allow: string[];
    began_at: string;
    bypass: boolean;
    contact: string;
    message: string;
    mode: "closed" | "read_only";
    paths: string[];
    windows: MaintenanceWindow[];
  } | null;
  upcoming: {
    ends_at?: string;
    starts_at: string;
  }[];
};

export type MaintenanceWindow = {
  end?: string;
  length?: number;
  rule?: string;
  start?: string;
  zone?: string;
};

export type Me = {
  demo: boolean;
  email: string;
  id: string;
  name: string;
  next: "" | "second-factor" | "enrol";
  own_sign_in: boolean;
  parts: string[];
  permissions: string[];
  role: string;
  scope: Scope;
  second_factor: boolean;
  session: {
    authenticated_at: string;
    expires_at: string;
    fresh: boolean;
    id: string;
    idle_at?: string;
  };
  token?: {
    expires_at: string;
    id: string;
    name: string;
  };
  version: number;
};

export type MemoryReport = {
  instances?: {
    heap?: Figure;
    heap_remainder?: Figure;
    kinds?: { [name: string]: Figure };
    name: string;
    remainder?: Figure;
    rss?: Figure;
  }[];
  tenants: Usage;
};

export type Months = {
  months: {
    complete: boolean;
    from: string;
    month: string;
    to: string;
  }[];
  next?: string;
  tenants: {
    created_at?: string;
    id: string;
    name?: string;
    own?: { [name: string]: { [name: string]: Figure } };
    plan?: string;
    server?: string;
    slug: string;
    status?: string;
    tags?: string[];
    usage: { [name: string]: { [name: string]: Figure } };
  }[];
  total: number;
};

export type Neighbours = {
  before: Period;
  noisy: {
    compared: number;
    created_at?: string;
    id: string;
    name?: string;
    on?: string;
    plan?: string;
    resource: "statement_time" | "cpu_time";
    server?: string;
    share: number;
    slowed: {
      created_at?: string;
      factor: number;
      id: string;
      latency_p95: Figure;
      latency_p95_before: Figure;
      name?: string;
      plan?: string;
      requests: Figure;
      server?: string;
      slug: string;
      status?: string;
      tags?: string[];
    }[];
    slowed_total: number;
    slug: string;
    status?: string;
    tags?: string[];
    total: Figure;
    used: Figure;
  }[];
  note: string;
  period: Period;
};

export type Operator = {
  created_at: string;
  disabled: boolean;
  email: string;
  id: string;
  name: string;
  role: string;
  scope: Scope;
  second_factor: boolean;
  signed_in_at?: string;
  updated_at: string;
  version: number;
};

export type OperatorRef = {
  email: string;
  id: string;
  name: string;
};

export type Overview = {
  active_tenants: Figure;
  attention: {
    kind: string;
    since: string;
    text: string;
  }[];
  by_status: { [name: string]: number };
  bytes_in?: Figure;
  bytes_out?: Figure;
  cpu_usage: Usage;
  errors: Figure;
  instances?: { [name: string]: unknown }[];
  memory_usage: Usage;
  now: string;
  period?: Period;
  recent_activities: Activity[];
  requests: Figure;
  rolled_up?: { [name: string]: string };
  storage_usage: Usage;
  top_active_tenants: TenantUsage[];
  total_databases: Figure;
  total_tenants: Figure;
};

export type Patterns = {
  patterns: {
    pattern: string;
    usage: { [name: string]: Figure };
  }[];
  period: Period;
  total: number;
};

export type Performance = {
  before: Period;
  most_errors: TenantUsage[] | null;
  most_waiting?: TenantUsage[] | null;
  most_worsened?: { [name: string]: unknown }[] | null;
  period: Period;
  slowest: TenantUsage[] | null;
  slowest_statements?: Statement[] | null;
};

export type Period = {
  from?: string;
  to?: string;
};

export type PeriodComparison = {
  before: Period;
  change: { [name: string]: {
    before: Figure;
    factor: number | null;
    now: Figure;
  } };
  period: Period;
};

export type Plan = {
  confirm?: string;
  eligible?: number;
  expected_seconds?: number;
  expires_at?: string;
  left_out?: RunTenant[];
  plan?: string;
  sample?: RunTenant[];
  skipped?: number;
  step_up?: boolean;
};

export type Pool = {
  borrowed: number;
  breaker: string;
  budget: number;
  conns: number;
  dialing: number;
  dials: number;
  evictions: number;
  failures: number;
  gave_up: number;
  idle: number;
  in_use: number;
  lag_seconds: number;
  refused: number;
  replica: boolean;
  requests: number;
  server: string;
  switches: number;
  wait_seconds: number;
  waiting: number;
  waits: number;
};

export type PoolTenant = {
  conns: number;
  database: string;
  down: boolean;
  heat: number;
  idle: number;
  server: string;
  tenant: string;
  waiting: number;
};

export type Problem = {
  contact?: string;
  detail: string;
  errors?: {
    code: string;
    pointer: string;
    text: string;
  }[];
  request_id: string;
  status: number;
  title: string;
  type: "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#cancelled" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#unavailable" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#maintenance" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#step-up" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#validation" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#precondition" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#precondition-required" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#not-configured" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#media" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#misdirected" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#key-mismatch" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#unfinished" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#second-factor" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#enrol" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#unresolved" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#unknown" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#provisioning" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#suspended" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#blocked" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#archived" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#inactive" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#unauthenticated" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#forbidden" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#limited" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#exists" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#conflict" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#too-large" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#invalid" | "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#internal";
};

export type Progress = {
  last: number;
  number: number;
};

export type Run = {
  actor: {
    id?: string;
    kind: string;
    name?: string;
  };
  cancelled: number;
  created_at: string;
  done: number;
  ended_at?: string;
  expires_at?: string;
  failed: number;
  filter: string;
  id: string;
  params: { [name: string]: string };
  reason: string;
  skipped: number;
  started_at?: string;
  state: string;
  task: string;
  total: number;
  wave: number;
  waves: {
    cancelled: number;
    done: number;
    failed: number;
    number: number;
    skipped: number;
    total: number;
  }[];
};

export type RunTenant = {
  attempt: number;
  ended_at?: string;
  number: number;
  slug: string;
  started_at?: string;
  state: string;
  tenant: string;
  text: string;
};

export type Schedules = {
  schedules: {
    cron: string;
    last_at?: string;
    last_run?: string;
    name: string;
    next_at: string;
    note?: string;
    paused: boolean;
    task: string;
    zone: string;
  }[];
};

export type Scope = {
  all?: boolean;
  ids?: string[];
  tags?: string[];
};

export type SeriesReport = {
  fine_ns: number;
  period: Period;
  series: { [name: string]: {
    error: number;
    method: "measured" | "sampled" | "estimated";
    partial?: boolean;
    points: {
      at: string;
      max: number | null;
      mean: number | null;
      min: number | null;
      value: number | null;
    }[];
    unit: string;
  } };
  step_ns: number;
};

export type Session = {
  address?: string;
  created_at: string;
  current: boolean;
  expires_at: string;
  id: string;
  last_seen_at: string;
  user_agent?: string;
};

export type Setting = {
  hidden: boolean;
  name: string;
  value?: string;
};

export type Settings = {
  audit_retention?: number;
  bulk_threshold?: number;
  idle_timeout?: number;
  lifetime?: number;
  second_factor?: boolean;
  step_up?: number;
};

export type SignedIn = {
  expires_at: string;
  failed_attempts: number;
  next: "" | "second-factor" | "enrol";
  operator: OperatorRef;
};

export type Spread = {
  period: Period;
  series: { [name: string]: {
    at: string;
    median: number;
    p90: number;
    p99: number;
    tenants: number;
  }[] };
};

export type Statement = {
  calls: Figure;
  errors: Figure;
  fingerprint: string;
  longest: Figure;
  tenant_id: string;
  text: string;
  time: Figure;
};

export type StorageReport = {
  days: {
    bytes: number;
    day: string;
    tenants: number;
  }[];
  method: string;
  period: Period;
  unit: string;
};

export type Tenant = {
  created_at: string;
  database: string;
  domains: string[];
  etag: string;
  id: string;
  limits: { [name: string]: number };
  name: string;
  plan: string;
  schema_version: number;
  server: string;
  slug: string;
  status: "provisioning" | "active" | "suspended" | "blocked" | "inactive" | "archived" | "purging";
  tags: string[];
  updated_at: string;
  version: number;
};

export type TenantFigure = {
  created_at?: string;
  figure: Figure;
  id: string;
  name: string;
  plan?: string;
  server?: string;
  slug: string;
  status: string;
  tags?: string[];
};

export type TenantHealth = {
  errors: Figure;
  health: "healthy" | "degraded" | "unreachable" | "unknown";
  id: string;
  last_seen: Figure;
  name: string;
  reasons: {
    kind: string;
    since: string;
    text: string;
  }[];
  requests: Figure;
  slug: string;
  status: string;
};

export type TenantReport = {
  activities: Activity[];
  created_at?: string;
  id: string;
  limits?: { [name: string]: number };
  name: string;
  own?: { [name: string]: Figure };
  period: Period;
  plan?: string;
  server?: string;
  slowest_statements?: Statement[] | null;
  slug: string;
  status: string;
  tags?: string[];
  usage: { [name: string]: Figure };
};

export type TenantUsage = {
  created_at?: string;
  id: string;
  name: string;
  plan?: string;
  server?: string;
  slug: string;
  status: string;
  tags?: string[];
  usage: { [name: string]: Figure };
};

export type TenantsPage = {
  facets: {
    plan?: { [name: string]: number };
    server?: { [name: string]: number };
    status?: { [name: string]: number };
  };
  next?: string;
  period: Period;
  spark_step_ns?: number;
  tenants: TenantUsage & {
    reaches?: {
      earliest?: string;
      figure?: string;
      latest?: string;
      limit?: number;
      made: string;
    };
    spark?: { [name: string]: number[] };
  }[];
  total: number;
};

export type Token = {
  allow: string[];
  created_at: string;
  expires_at: string;
  id: string;
  name: string;
  owner: OperatorRef;
  permissions: string[];
  replaced_by?: string;
  scope: Scope;
  step_up: string[];
  used_at?: string;
  used_from?: string;
};

export type Usage = {
  tenants: TenantFigure[];
  total: Figure;
};

export type Verified = {
  cut?: number;
  entries: number;
  fault?: {
    detail: string;
    entry?: string;
    kind: string;
    number: number;
  };
  hash: string;
  late?: number;
  signed?: number;
  up_to: number;
  whole: boolean;
};

export type View = {
  columns: string[];
  filter: string;
  id: string;
  mine: boolean;
  name: string;
  owner: OperatorRef;
  page: string;
  shared: boolean;
  sort: string;
  updated_at: string;
  version: number;
};

/** Reads has the answer of each GET, by its path below api/tenancy/. */
export interface Reads {
  "analytics/activities": Activities;
  "analytics/change": PeriodComparison;
  "analytics/change/{id}": PeriodComparison;
  "analytics/compare": {
    period: Period;
    scope: { [name: string]: {
      median: number;
      p90: number;
      p99: number;
      tenants: number;
    } };
    tenants: {
      created_at?: string;
      figures: { [name: string]: {
        figure: Figure;
        normalised: number | null;
        rank: number;
      } };
      id: string;
      name: string;
      plan?: string;
      server?: string;
      slug: string;
      status: string;
      tags?: string[];
    }[];
  };
  "analytics/forecast": Forecast;
  "analytics/forecast/{id}": Forecast;
  "analytics/health": {
    next: string;
    tenants: TenantHealth[];
    time: string;
    total: number;
  };
  "analytics/logins": Activities;
  "analytics/logins/subjects": LoginSubjects;
  "analytics/memory": MemoryReport;
  "analytics/neighbours": Neighbours;
  "analytics/overview": Overview;
  "analytics/patterns": Patterns;
  "analytics/patterns/{id}": Patterns;
  "analytics/performance": Performance;
  "analytics/spread": Spread;
  "analytics/storage": StorageReport;
  "analytics/storage/{id}": StorageReport;
  "analytics/tenant/{id}": TenantReport;
  "analytics/tenant/{id}/series": SeriesReport;
  "analytics/tenants": TenantsPage;
  "analytics/top": {
    tenants: TenantUsage[];
  };
  "analytics/trends": SeriesReport;
  "analytics/usage": Months;
  "audit": {
    entries: Entry[];
    next: string;
  };
  "audit/checkpoints": {
    checkpoints: Checkpoint[];
    public_keys: string[];
  };
  "audit/{entry}": Entry;
  "facets": Facets;
  "health": Health;
  "instances": {
    instances: {
      clock_ahead_seconds: number;
      cpu_seconds: number;
      ended: boolean;
      heap: number;
      missing: boolean;
      name: string;
      now: { [name: string]: Figure };
      rss: number;
      started_at: string;
      written_at: string;
    }[];
    time: string;
  };
  "invitations": {
    invitations: {
      email: string;
      expires_at: string;
      id: string;
      invited_by: string;
      name: string;
      role: string;
      scope: Scope;
    }[];
  };
  "ip-rules": {
    rules: {
      all?: string[];
      operators?: { [name: string]: string[] };
      roles?: { [name: string]: string[] };
    };
    version: number;
    your_address: string;
  };
  "lookup": {
    found: Found[];
  };
  "maintenance": Maintenance;
  "me": Me;
  "me/preferences": { [name: string]: unknown };
  "openapi.json": { [name: string]: unknown };
  "operators": {
    next: string;
    operators: Operator[];
  };
  "operators/{operator}": Operator;
  "operators/{operator}/sessions": {
    sessions: Session[];
  };
  "pools": {
    pools: Pool[];
    tenants: PoolTenant[];
  };
  "pools/{server}": {
    pool: Pool;
    tenants: PoolTenant[];
  };
  "roles": {
    for_tokens: string[];
    permissions: string[];
    roles: { [name: string]: string[] };
  };
  "runs": {
    next: string;
    runs: Run[];
  };
  "runs/{run}": Run;
  "runs/{run}/tenants": {
    next: string;
    tenants: RunTenant[];
  };
  "schedules": Schedules;
  "sessions": {
    sessions: Session[];
  };
  "settings": {
    defaults: Settings;
    settings: Settings;
    version: number;
  };
  "tenants": {
    next: string;
    tenants: Tenant[];
    time: string;
    total: number;
  };
  "tenants/{id}": Tenant;
  "tenants/{id}/addresses": {
    allow: string[];
    deny: string[];
    etag: string;
    version: number;
  };
  "tenants/{id}/audit": {
    entries: Entry[];
    next: string;
  };
  "tenants/{id}/health": TenantHealth;
  "tenants/{id}/homepage": {
    etag: string;
    on: boolean;
    version: number;
  };
  "tenants/{id}/keys": {
    keys: APIKey[];
  };
  "tenants/{id}/maintenance": Maintenance;
  "tenants/{id}/migrations": {
    half?: {
      down: boolean;
      failed: boolean;
      file: string;
      statement: number;
      version: number;
    };
    pending: {
      file: string;
      version: number;
    }[];
    target: number;
    unknown: number[];
    up_to_date: boolean;
    version: number;
  };
  "tenants/{id}/pool": {
    tenant: PoolTenant | null;
  };
  "tenants/{id}/runs": {
    next: string;
    runs: Run[];
  };
  "tenants/{id}/settings": {
    etag: string;
    settings: Setting[];
    version: number;
  };
  "tokens": {
    next: string;
    tokens: Token[];
  };
  "views": {
    views: View[];
  };
}
