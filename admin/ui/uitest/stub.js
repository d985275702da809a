// See stub_test.go.
"use strict";
window.answers = "real";
// quiet counts the frames in which nothing was under way: effects of what is shown run between two frames.
window.asked = { pending: 0, quiet: 0 };
addEventListener("hashchange", () => (window.asked.quiet = 0));
{
  const frame = () => {
    window.asked.quiet = window.asked.pending ? 0 : window.asked.quiet + 1;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
{
  const real = window.fetch;
  const hostile = ["<img src=x onerror=\"hacked=1\"><script>hacked=1</script>", "javascript:hacked=1", "\u202Eevil\u202C \u05E9\u05DC\u05D5\u05DD \u0645\u0631\u062D\u0628\u0627", "\u{1F469}\u200D\u{1F469}\u200D\u{1F467} ".repeat(4), "W".repeat(200)];
  let turn = 0;
  // Texts that tenants, clients or operators can set. Others are words of the program.
  const theirs = /^(name|slug|plan|tags|domains|message|contact|reason|description|detail|text|note|user_agent|ip_address|subject|actor_id|email|path|before|after|allow|paths|scopes|title|task|activity_type)$/;
  const twist = (v, key) => {
    if (typeof v === "string") return theirs.test(key) && v !== "" ? hostile[turn++ % hostile.length] : v;
    if (Array.isArray(v)) return v.map((x) => twist(x, key));
    if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, k === "budget" ? x : twist(x, k)]));
    return v;
  };
  const partial = (v) => {
    if (Array.isArray(v)) return v.map(partial);
    if (!v || typeof v !== "object") return v;
    const of = Object.fromEntries(Object.entries(v).map(([k, x]) => [k, k === "missing" && typeof x === "boolean" ? true : partial(x)]));
    return "value" in v && "method" in v ? { ...of, partial: true } : of;
  };
  const empty = (v) => {
    if (Array.isArray(v)) return [];
    if (v && typeof v === "object") {
      if ("value" in v && "method" in v) return null;
      return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, empty(x)]));
    }
    return v;
  };
  const refuse = (status, type, title, detail) =>
    new Response(JSON.stringify({ type: "about:blank#" + type, title, detail, status, request_id: "TESTTESTTEST" }), { status, headers: { "Content-Type": "application/problem+json", "Retry-After": "3" } });
  window.fetch = async (...args) => {
    const path = new URL(args[0], document.baseURI).pathname;
    const kind = /\/(me|auth\/.*)$/.test(path) ? "real" : window.answers;
    if (kind === "late" || (kind === "unread" && (args[1]?.method ?? "GET") === "GET")) return new Promise((_, reject) => args[1]?.signal?.addEventListener("abort", () => reject(args[1].signal.reason)));
    if (kind === "failed") return refuse(500, "internal", "Internal error", "Something went wrong.");
    if (kind === "refused") return refuse(403, "forbidden", "Forbidden", "The permission is missing.");
    if (kind === "busy") return refuse(503, "unavailable", "Unavailable", "The service is not available.");
    if (typeof kind === "number") return refuse(kind, "test", "Refused", "A test refuses it.");
    const byItself = !!args[1]?.headers?.["X-Refresh"];
    if (!byItself) window.asked.pending++;
    try {
      const res = await real(...args);
      if (kind === "real" || kind === "unread" || !res.ok || res.status === 204) return res;
      const data = await res.json();
      // A thing itself is there although nothing belongs to it.
      const one = /\/(tenants|runs)\/[^/]+$/.test(path);
      const out = kind === "hostile" ? twist(data, "") : kind === "partial" ? partial(data) : one ? data : empty(data);
      return new Response(JSON.stringify(out), { status: res.status, headers: res.headers });
    } finally {
      if (!byItself) setTimeout(() => window.asked.pending--);
    }
  };
}
