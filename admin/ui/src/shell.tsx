import { useEffect, useState } from "preact/hooks";
import { useFind } from "./find";
import { setZone, time, zone } from "./format";
import { health, lastFrame, newBuild } from "./live";
import { open, rows } from "./nav";
import { Dialog, Icon, Page, State } from "./parts";
import { go, href, route } from "./router";
import { may, me, signOut } from "./session";
import { theme, type Theme } from "./theme";

export function Shell() {
  const [palette, setPalette] = useState(false);
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      const typing = (e.target as HTMLElement).closest?.("input,textarea,select,dialog");
      if ((e.ctrlKey || e.metaKey) && e.key === "k") {
        e.preventDefault();
        setPalette(true);
      } else if (e.key === "/" && !typing) {
        e.preventDefault();
        setPalette(true);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const [first = "", id] = route.value.path;
  const row = rows.find((r) => r.path === first) ?? (first === "" || first === "setup" ? rows.find(open) : undefined);
  const Body = row?.page;
  const Detail = row?.detail;
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the content</a>
      <header class="side">
        <div class="brand"><Icon name="tenants" /> Tenancy</div>
        <button type="button" class="find" onClick={() => setPalette(true)} aria-keyshortcuts="/ Control+K"><Icon name="search" /> Find <span class="muted small">/</span></button>
        <nav aria-label="Pages">
          {rows.filter((r) => open(r) && !r.hidden).map((r) => (
            <a key={r.path} href={href([r.path])} aria-current={row === r ? "page" : undefined}><Icon name={r.icon} /> {r.title}</a>
          ))}
        </nav>
        <div class="end">
          <Badge />
          {me.value?.demo && <span><span class="demo">demo traffic</span></span>}
          <a href={href(["me"])}>{me.value?.name} <span class="muted small">{me.value?.role}</span></a>
          <ThemeChoice />
          <button type="button" class="plain" onClick={() => setZone(zone.value === "utc" ? "local" : "utc")}>Times: {zone.value === "utc" ? "UTC" : "local"}</button>
          <button type="button" class="plain" onClick={() => void signOut()}>Sign out</button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {newBuild.value && <div class="notice warn" role="status">A new version of the console is installed. <button type="button" onClick={() => location.reload()}>Reload</button></div>}
        {!row || !Body ? (
          <Page title="Not found"><p>There is no such page. <a href={href([])}>Go to the start</a>.</p></Page>
        ) : !open(row) ? (
          <Page title={row.title}><p class="muted">{row.part && !me.value?.parts.includes(row.part) ? "The application has not wired this part of the console." : "Your role does not show this page."}</p></Page>
        ) : id && Detail ? (
          <Detail id={id} key={id} />
        ) : (
          <Body />
        )}
      </main>
      {palette && <Palette close={() => setPalette(false)} />}
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
      return <span class="badge stale" role="status"><span class="dot" /> stale since {time(f?.time)}</span>;
    case "paused":
      return <span class="badge"><span class="dot" /> paused</span>;
    case "connecting":
      return <span class="badge"><span class="dot" /> connecting</span>;
  }
  return <span class="badge">not live</span>;
}

function ThemeChoice() {
  const next: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };
  return <button type="button" class="plain" onClick={() => (theme.value = next[theme.value])}>Theme: {theme.value}</button>;
}

/** Palette finds pages and tenants: arrows choose, Enter opens. */
function Palette({ close }: { close(): void }) {
  const [text, setText] = useState("");
  const hits = useFind(may("tenants.read") ? text : "");
  const [at, setAt] = useState(0);
  useEffect(() => setAt(0), [text]);
  const pages = rows.filter((r) => open(r) && r.title.toLowerCase().includes(text.trim().toLowerCase()));
  const items = [
    ...pages.map((r) => ({ key: r.path, to: [r.path], body: <><Icon name={r.icon} /> {r.title}</> })),
    ...hits.map((h) => ({ key: h.id, to: ["tenants", h.id], body: <><Icon name="tenants" /> {h.name} <span class="muted">{h.slug}</span> <State name={h.status} /></> })),
  ];
  const choose = (i: number) => {
    if (!items[i]) return;
    go(items[i].to);
    close();
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown") setAt(Math.min(at + 1, items.length - 1));
    else if (e.key === "ArrowUp") setAt(Math.max(at - 1, 0));
    else if (e.key === "Enter") choose(at);
    else return;
    e.preventDefault();
  };
  return (
    <Dialog title="Find" close={close} cls="palette">
      <input aria-label="Find a page or a tenant" placeholder="Page, slug, name or domain" value={text} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={onKey}
        role="combobox" aria-expanded="true" aria-controls="found" aria-activedescendant={items[at] ? "found-" + at : undefined} autofocus />
      <ul id="found" role="listbox" aria-label="Found">
        {items.map((it, i) => (
          <li key={it.key} id={"found-" + i} role="option" aria-selected={i === at} onClick={() => choose(i)}>{it.body}</li>
        ))}
      </ul>
      {!items.length && <div class="empty">Nothing has that name.</div>}
    </Dialog>
  );
}
