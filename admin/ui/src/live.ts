// One stream a browser: where the browser has locks, one tab holds the stream and passes its
// frames to the others. Without locks each visible tab has a stream of its own.
import { effect, signal, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { address, signedOut } from "./api";
import { refresh, me } from "./session";

export interface Frame {
  topic: string;
  /** When the server made it, RFC 3339. */
  time: string;
  /** Set instead of data while the server cannot tell. */
  problem?: string;
  build?: string;
  instances?: number;
  missing?: string[];
  data: unknown;
}

export type Health = "connecting" | "live" | "stale" | "paused" | "off";

export const health = signal<Health>("off");
export const lastFrame = signal<Frame | undefined>(undefined);
export const newBuild = signal(false);

const builtAs = document.querySelector<HTMLMetaElement>('meta[name="build"]')?.content;
const wanted = new Map<string, { count: number; frame: Signal<Frame | undefined> }>();
const others = new Map<string, { topics: string[]; at: number }>(); // what other tabs want
const tab = Math.random().toString(36).slice(2);
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("tenancy-live") : null;

let source: EventSource | undefined;
let opened = "";
let leader = !navigator.locks || !channel;
let lastAt = 0;

/** How many topics a stream may have. */
const most = 8;
/** Topics that the server refuses, such as a tenant that is gone, and until when nobody asks for them again. */
const refused = new Map<string, number>();
/** After a stream was refused: how long to wait, and until when. */
let pause = 0;
let until = 0;

function topics(): string[] {
  const now = Date.now();
  const all = new Set(document.hidden ? [] : wanted.keys());
  for (const [from, o] of others) {
    if (now - o.at > 10_000) others.delete(from);
    else for (const t of o.topics) all.add(t);
  }
  return [...all].filter((t) => (refused.get(t) ?? 0) < now).sort().slice(0, most);
}

function deliver(frame: Frame): void {
  if (frame.build && builtAs && frame.build !== builtAs) newBuild.value = true;
  const w = wanted.get(frame.topic);
  if (!w) return; // another tab's
  lastAt = Date.now();
  lastFrame.value = frame;
  health.value = "live";
  w.frame.value = frame;
}

/** connect opens the stream that is wanted now, or closes it. */
function connect(): void {
  const want = leader && me.value?.next === "" && !signedOut.value ? topics().join(",") : "";
  if (want === opened && (!source || source.readyState !== EventSource.CLOSED || Date.now() < until)) return;
  source?.close();
  source = undefined;
  opened = want;
  if (!want) return;
  if (health.value === "off" || health.value === "paused") health.value = "connecting";
  source = new EventSource(address("live", { topics: want }), { withCredentials: true });
  const take = (e: MessageEvent<string>) => {
    const frame = JSON.parse(e.data) as Frame;
    pause = 0;
    if (frame.problem) return; // the badge turns stale
    deliver(frame);
    channel?.postMessage({ frame });
  };
  for (const kind of new Set(want.split(",").map((topic) => topic.split(":")[0]))) source.addEventListener(kind, take);
  source.addEventListener("end", () => {
    source?.close();
    void refresh(); // the session or the role does not allow it any more
  });
  source.onerror = () => {
    if (source?.readyState === EventSource.CLOSED) void findOut(want);
  };
}

/** findOut asks why a stream was refused: the session may have ended, or a topic be about what is gone. The others go on without that. */
async function findOut(want: string): Promise<void> {
  pause = Math.min(60_000, Math.max(2_000, 2 * pause));
  until = Date.now() + pause;
  await refresh();
  if (signedOut.value) return;
  for (const topic of want.split(",")) {
    const stop = new AbortController();
    try {
      const { status } = await fetch(address("live", { topics: topic }), { credentials: "same-origin", headers: { "X-Refresh": "1" }, signal: stop.signal });
      if (status === 400 || status === 403 || status === 404) refused.set(topic, Date.now() + 60_000);
    } catch {
      // It does not answer: the next turn tries again.
    }
    stop.abort();
  }
  connect();
}

channel?.addEventListener("message", (e) => {
  const m = e.data as { frame?: Frame; want?: string[]; from?: string };
  if (m.frame) deliver(m.frame);
  if (m.want && m.from) {
    others.set(m.from, { topics: m.want, at: Date.now() });
    connect();
  }
});

function announce(): void {
  channel?.postMessage({ want: document.hidden ? [] : [...wanted.keys()], from: tab });
}

// The lock lives as long as the tab: its end makes another tab the leader.
if (navigator.locks && channel)
  void navigator.locks.request("tenancy-live", () => {
    leader = true;
    connect();
    return new Promise(() => {});
  });

setInterval(() => {
  announce();
  connect();
  if (document.hidden) health.value = wanted.size ? "paused" : "off";
  else if (!wanted.size) health.value = "off";
  else if (health.value === "live" && Date.now() - lastAt > 4000) health.value = "stale";
  else if (health.value === "paused") health.value = "connecting";
}, 2000);

document.addEventListener("visibilitychange", () => {
  announce();
  connect();
  health.value = document.hidden ? "paused" : wanted.size ? "connecting" : "off";
});

effect(() => {
  void [me.value, signedOut.value];
  connect();
});

/** useLive returns the newest frame of a topic, such as "overview" or "tenant:t1". */
export function useLive<T>(topic: string | null): (Frame & { data: T }) | undefined {
  useEffect(() => {
    if (topic === null) return;
    hold(topic).count++;
    announce();
    connect();
    return () => {
      const w = hold(topic);
      if (--w.count === 0) wanted.delete(topic);
      announce();
      connect();
    };
  }, [topic]);
  return topic === null ? undefined : (hold(topic, false)?.frame.value as (Frame & { data: T }) | undefined);
}

/** useFrames calls fn with every frame of a topic: those of rows have what changed since the frame before. */
export function useFrames<T>(topic: string | null, fn: (frame: Frame & { data: T }) => void): void {
  const now = useRef(fn);
  now.current = fn;
  useLive(topic);
  useEffect(() => {
    if (topic === null) return;
    return hold(topic).frame.subscribe((f) => f && now.current(f as Frame & { data: T }));
  }, [topic]);
}

function hold(topic: string, make = true) {
  let w = wanted.get(topic);
  if (!w && make) wanted.set(topic, (w = { count: 0, frame: signal<Frame | undefined>(undefined) }));
  return w as { count: number; frame: Signal<Frame | undefined> };
}
