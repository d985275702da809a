import type { ComponentChildren } from "preact";
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import { get, now, signedOut } from "./api";
import type { Overview } from "./api-types";
import { commands, type Command } from "./command";
import { useFind } from "./find";
import { setZone, tick, time, zone } from "./format";
import { useForm } from "./gate";
import { useKeyboard } from "./keyboard";
import { behind, useGet } from "./load";
import { health, lastFrame, newBuild } from "./live";
import { rows } from "./nav";
import { Dialog, Failure, Icon, Page, State } from "./parts";
import { go, href, route } from "./router";
import { again, may, me, offered, refresh, signOut, wired, type Offer } from "./session";
import { theme, type Theme } from "./theme";

export function Shell() {
  const [palette, setPalette] = useState(false);
  const keys = useKeyboard(() => setPalette(true));
  const [first = "", id] = route.value.path;
  const row = rows.find((r) => r.path === first) ?? (first === "" || first === "setup" ? rows.find(offered) : undefined);
  const Body = row?.page;
  const Detail = row?.detail;
  const leave = useForm(signOut);
  const at = route.value.path.join("/");
  const was = useRef(at);
  useEffect(() => {
    if (was.current === at) return; // the first page, or another part of one
    was.current = at;
    leave.forgive();
    (document.querySelector<HTMLElement>("#main h1") ?? document.getElementById("main"))?.focus();
  }, [at]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the content</a>
      <header class="side">
        <div class="brand"><Icon name="tenants" /> Tenancy</div>
        <button type="button" class="find" onClick={() => setPalette(true)} aria-keyshortcuts="/ Control+K"><Icon name="search" /> Find <span class="muted small">/</span></button>
        <nav aria-label="Pages">
          {rows.filter((r) => offered(r) && !r.hidden).map((r) => (
            <a key={r.path} href={href([r.path])} aria-current={row === r ? "page" : undefined}><Icon name={r.icon} /> {r.title}{r.path === "overview" && <Attention />}</a>
          ))}
        </nav>
        <div class="end">
          <Badge />
          {me.value?.demo && <span><span class="demo">demo traffic</span></span>}
          <a href={href(["me"])}>{me.value?.name} <span class="muted small">{me.value?.role}</span></a>
          <ThemeChoice />
          <button type="button" class="plain" onClick={() => setZone(zone.value === "utc" ? "local" : "utc")}>Times: {zone.value === "utc" ? "UTC" : "local"}</button>
          {me.value?.own_sign_in && <button type="button" class="plain" onClick={leave.submit}>Sign out</button>}
        </div>
      </header>
      <main id="main" tabIndex={-1} aria-busy={behind.value > 0 || undefined}>
        {me.value?.own_sign_in && <Ending />}
        {!!leave.error && <><p>You are still signed in.</p><Failure error={leave.error} /></>}
        {newBuild.value && <div class="notice warn" role="status">A new version of the console is installed. <button type="button" onClick={() => location.reload()}>Reload</button></div>}
        <Fence title={row?.title ?? "Failed"} at={location.hash}>
          {!row || !Body ? (
            <Page title="Not found"><p>There is no such page. <a href={href([])}>Go to the start</a>.</p></Page>
          ) : !offered(row) ? (
            <Page title={row.title}><Unoffered of={row} /></Page>
          ) : id && Detail ? (
            <Detail id={id} key={id} />
          ) : (
            <Body />
          )}
        </Fence>
      </main>
      {palette && <Palette close={() => setPalette(false)} signOut={() => void leave.submit(new Event("submit"))} />}
      {keys}
    </div>
  );
}

/** Fence keeps the rest of the console when a page fails while it is drawn, until another address is opened. */
function Fence({ title, at, children }: { title: string; at: string; children: ComponentChildren }) {
  const [failed, again] = useErrorBoundary();
  useEffect(() => {
    if (failed) again();
  }, [at]);
  if (!failed) return <>{children}</>;
  return <Page title={title}><Failure error={failed} retry={() => location.reload()} /></Page>;
}

/** Unoffered says why a page is not there. */
function Unoffered({ of }: { of: Offer }) {
  if (of.part && !wired(of.part)) return <div class="notice"><Icon name="pool" /> <b>Not wired.</b> The application gives the console no part “{of.part}”: see the fields of admin.Options.</div>;
  return <div class="notice warn"><Icon name="lock" /> <b>Not allowed.</b> {of.permission && !may(of.permission) ? <>Your role “{me.value?.role}” lacks the permission <code>{of.permission}</code>.</> : "This page is for operators whose scope is all tenants."}</div>;
}

/** Attention counts what needs attention, for who may see it. */
function Attention() {
  const seen = offered({ permission: "analytics.read", part: "reports" }) && offered({ permission: "health.read", everywhere: true });
  const n = useGet<Overview>(seen ? "analytics/overview" : null, {}, 30).data?.attention.length;
  return n ? <span class="count">{n}<span class="sr"> need attention</span></span> : null;
}

/** Ending says two minutes before the session ends that it will. One that nobody uses goes on with a click, another with a new sign-in on top of the page. */
function Ending() {
  const session = me.value?.session;
  const whole = +new Date(session?.expires_at ?? 0);
  const idle = session?.idle_at ? +new Date(session.idle_at) : Infinity;
  const end = Math.min(whole, idle);
  const [left, setLeft] = useState(Infinity);
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const look = () => setLeft(Math.round((end - now()) / 1000));
    look();
    const timer = setInterval(look, 1000);
    return () => clearInterval(timer);
  }, [end]);
  // What the page knows is as old as its last look: the operator may have worked since.
  const near = left <= 130;
  useEffect(() => {
    if (near && !signedOut.value) void refresh().then(() => setAsked(end));
  }, [near, left <= 0]);
  const stay = useForm(async () => {
    await get("roles"); // a request of the operator: me counts as none
    await refresh();
  });
  if (left > 120 || left <= 0 || asked !== end) return null;
  return (
    <div class="notice warn" role="status">
      <Icon name="wait" /> <b>Your session ends soon</b>, at {time(new Date(end).toISOString())}{end === idle && end < whole ? ", because nobody uses it" : ""}. What you typed is kept.{" "}
      {end === idle && end < whole ? <form class="inline" onSubmit={stay.submit}><button disabled={stay.busy}>Stay signed in</button></form> : <button type="button" onClick={() => (again.value = true)}>Sign in again</button>}
    </div>
  );
}

function Badge() {
  const f = lastFrame.value;
  const missing = f?.missing?.length ?? 0;
  switch (health.value) {
    case "live":
      return <span class="badge live" role="status"><span class="dot" /> live{f?.instances && missing ? `, ${f.instances - missing} instances of ${f.instances}` : ""}</span>;
    case "stale":
      return <span class="badge stale" role="status"><span class="dot" /> stale{f && ` since ${tick(+new Date(f.time) / 1000, 60)}`}</span>;
    case "paused":
      return <span class="badge"><span class="dot" /> paused</span>;
    case "connecting":
      return <span class="badge"><span class="dot" /> connecting</span>;
  }
  return null;
}

const nextTheme: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };

function ThemeChoice() {
  return <button type="button" class="plain" onClick={() => (theme.value = nextTheme[theme.value])}>Theme: {theme.value}</button>;
}

/** Palette finds pages, tenants and actions: arrows choose, Enter opens. */
function Palette({ close, signOut }: { close(): void; signOut(): void }) {
  const [text, setText] = useState("");
  const { hits, error, waiting } = useFind(may("tenants.read") ? text : "");
  const [chosen, setChosen] = useState<string>(); // the key of an item: others may come in front of it
  const [entered, enter] = useState(false); // before the tenants were found
  const change = (typed: string) => {
    setText(typed);
    setChosen(undefined);
    enter(false);
  };
  const has = (title: string) => title.toLowerCase().includes(text.trim().toLowerCase());
  const pages = rows.filter(offered);
  const acts: Command[] = [
    ...commands.value,
    ...pages.flatMap((r) => (r.actions ?? []).filter(offered).map((a) => ({ title: a.title, run: () => go([r.path], a.query) }))),
    { title: "Theme: " + nextTheme[theme.value], run: () => (theme.value = nextTheme[theme.value]) },
    { title: "Times: " + (zone.value === "utc" ? "local" : "UTC"), run: () => setZone(zone.value === "utc" ? "local" : "utc") },
    ...(me.value?.own_sign_in ? [{ title: "Sign out", run: signOut }] : []),
  ];
  const items = [
    ...pages.filter((r) => has(r.title)).map((r) => ({ key: r.path, run: () => go([r.path]), body: <><Icon name={r.icon} /> {r.title}</> })),
    ...hits.map((h) => ({ key: h.id, run: () => go(["tenants", h.id]), body: <><Icon name="tenants" /> {h.name} <span class="muted">{h.slug}</span> <State name={h.status} /></> })),
    ...acts.filter((a) => has(a.title)).map((a) => ({ key: "act " + a.title, run: a.run, body: <><Icon name="runs" /> {a.title} <span class="muted small">action</span></> })),
  ];
  const at = Math.max(0, items.findIndex((it) => it.key === chosen));
  const setAt = (i: number) => {
    setChosen(items[i]?.key);
    enter(false); // who moves on has not chosen the first
  };
  const choose = (i: number) => {
    if (!items[i]) return;
    close();
    items[i].run();
  };
  useEffect(() => document.getElementById("found-" + at)?.scrollIntoView({ block: "nearest" }), [at]);
  useEffect(() => {
    if (entered && !waiting) choose(0);
  }, [entered, waiting]);
  const onKey = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown") setAt(Math.min(at + 1, items.length - 1));
    else if (e.key === "ArrowUp") setAt(Math.max(at - 1, 0));
    else if (e.key === "Enter" && waiting && !chosen && !pages.some((r) => has(r.title))) enter(true); // the first may be a tenant
    else if (e.key === "Enter") choose(at);
    else return;
    e.preventDefault();
  };
  return (
    <Dialog title="Find" close={close} cls="palette">
      <input aria-label="Find a tenant, a page or an action" placeholder="Tenant, page or action" value={text} onInput={(e) => change(e.currentTarget.value.replace(/^\//, ""))} onKeyDown={onKey}
        role="combobox" aria-expanded="true" aria-controls="found" aria-activedescendant={items[at] ? "found-" + at : undefined} autofocus />
      <ul id="found" role="listbox" aria-label="Found">
        {items.map((it, i) => (
          <li key={it.key} id={"found-" + i} role="option" aria-selected={i === at} onClick={() => choose(i)}>{it.body}</li>
        ))}
      </ul>
      <Failure error={error} />
      {!items.length && !waiting && !error && <div class="empty">Nothing has that name.</div>}
    </Dialog>
  );
}
