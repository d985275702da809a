//go:build bench

package uitest

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/network"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// send calls a command of the browser.
func send[P, R any](p *page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	r, err := chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, command, params)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// slow makes the network and the processor of the page slower. Zero values are those of the machine.
func (p *page) slow(latency, bits float64, cpu float64) {
	p.t.Helper()
	bytes := bits / 8
	if bits == 0 {
		bytes = -1
	}
	send(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{Latency: latency, DownloadThroughput: bytes, UploadThroughput: bytes}}})
	send(p, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: max(cpu, 1)})
}

// watch notes when the figure of the overview, or the load of a plain page, is painted.
const watch = `window.shown = new Promise((done) => {
	const look = () => [...document.querySelectorAll(".figures .value")].some((e) => /\d/.test(e.textContent)) || document.getElementById("plain")
		? requestAnimationFrame(() => setTimeout(() => done(performance.now()))) : requestAnimationFrame(look);
	look();
})`

// synthetic answers for 10,000 tenants within the page, so that what is measured is the page.
const synthetic = `{
	const real = window.fetch;
	const all = Array.from({length: 10000}, (_, i) => {
		const f = (value, unit) => ({value, unit, method: "measured", error: 0, measured_at: new Date().toISOString()});
		const r = (n) => (i * 2654435761 % 4294967296) % n;
		return {id: "t" + i, slug: "tenant-" + i, name: "Tenant " + i, status: "active", plan: ["free", "pro"][i % 2], tags: ["synthetic"], server: "s1", created_at: "2026-01-01T00:00:00Z",
			usage: {requests: f(r(100000), "count"), errors: f(r(100), "count"), latency_time: f(r(1e9), "us"), cpu_time: f(r(1e8), "us"), storage: f(r(1e10), "bytes"), last_seen: f(Date.now() * 1000 - r(1e10), "us_since_1970")},
			spark: {requests: Array.from({length: 24}, (_, k) => (i * (k + 7)) % 97)}};
	});
	window.fetch = async (...args) => {
		const url = new URL(args[0], document.baseURI);
		if (!url.pathname.endsWith("/analytics/tenants")) return real(...args);
		const filter = url.searchParams.get("filter") ?? "", sort = (url.searchParams.get("sort") ?? "").replace("-", ""), from = Number(url.searchParams.get("cursor") ?? 0);
		const found = all.filter((t) => !filter || t.name.includes(filter) || "plan:" + t.plan === filter);
		const of = (t) => t.usage[sort]?.value ?? t[sort];
		found.sort((a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0) * (url.searchParams.get("sort")?.startsWith("-") ? -1 : 1));
		return new Response(JSON.stringify({tenants: found.slice(from, from + 100), total: found.length, next: from + 100 < found.length ? String(from + 100) : ""}), {headers: {"Content-Type": "application/json"}});
	};
}`

// replayed lets the page's streams have frames again, each a second later than the one before: half an hour of them in less than a minute.
const replayed = `{
	window.EventSource = class extends EventSource {
		addEventListener(kind, fn) { super.addEventListener(kind, (e) => { if (e.isTrusted && kind !== "end") window.frame = {kind, data: e.data, to: this}; fn(e); }); }
	};
	window.replay = async (n) => {
		const frame = {...window.frame}, data = JSON.parse(frame.data), from = +new Date(data.time), was = JSON.stringify(data.data);
		for (let i = 1; i <= n; i++) {
			data.time = new Date(from + 1000 * i).toISOString();
			data.data = JSON.parse(was);
			for (const f of Object.values(data.data.total)) f.value = (f.value ?? 0) + Math.sin(i);
			frame.to.dispatchEvent(new MessageEvent(frame.kind, {data: JSON.stringify(data)}));
			await new Promise((r) => requestAnimationFrame(() => setTimeout(r)));
		}
		return document.querySelectorAll("main .chart canvas, main .chart svg").length;
	};
}`

// until waits for something outside of the page.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// viewers open so many streams of a topic, and count the frames that come.
func viewers(t *testing.T, address, topic string, n int) *atomic.Int64 {
	t.Helper()
	o := signedIn(t, address)
	var count atomic.Int64
	for i := range n {
		if i > 0 {
			time.Sleep(50 * time.Millisecond) // an operator may ask twenty times a second
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"api/tenancy/live?topics="+topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range o.cookies {
			r.AddCookie(c)
		}
		go func() {
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				return // the test has ended
			}
			defer func() { _ = res.Body.Close() }()
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data:") {
					count.Add(1)
				}
			}
		}()
	}
	return &count
}

func percentile(all []float64, p float64) float64 {
	slices.Sort(all)
	return all[min(len(all)-1, int(p*float64(len(all))))]
}

// TestMeasure prints what the page costs, beside the simplest page that shows the same. It judges nothing: people read its figures.
func TestMeasure(t *testing.T) {
	address := owned(t, "-tenants", "30", "-rate", "30")
	p := open(t, "light")
	script := func(source string) {
		send(p, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{Source: source})
	}
	script(watch)
	p.signInAs(address, "ada@example.com")
	row := func(what, value, baseline string) { t.Logf("| %-58s | %-34s | %-22s |", what, value, baseline) }
	row("measured", "page", "baseline")

	// First load: the overview's figures are painted. The baseline has the same bytes and no work.
	assets := map[string][]byte{}
	for _, path := range evaluate[[]string](p, `[...document.querySelectorAll("link[rel=stylesheet], script[src]")].map((e) => e.href || e.src)`) {
		assets[path[strings.LastIndex(path, "/"):]] = []byte(strings.Repeat("/* the quick brown fox */\n", 1+evaluate[int](p, fmt.Sprintf(`fetch(%q).then((r) => r.arrayBuffer()).then((b) => b.byteLength / 26 | 0)`, path))))
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := assets[r.URL.Path]; ok {
			w.Header().Set("Content-Type", map[bool]string{true: "text/css", false: "text/javascript"}[strings.HasSuffix(r.URL.Path, ".css")])
			_, _ = w.Write(body)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		for path := range assets {
			tag := `<script src="` + path + `"></script>`
			if strings.HasSuffix(path, ".css") {
				tag = `<link rel="stylesheet" href="` + path + `">`
			}
			_, _ = w.Write([]byte(tag))
		}
		_, _ = w.Write([]byte(`<p id="plain">The figures.</p>`))
	}))
	defer plain.Close()
	load := func(url string, empty bool) float64 {
		var times []float64
		for range 5 {
			if empty {
				send(p, network.ClearBrowserCache, cdp.Empty{})
			}
			p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
			times = append(times, evaluate[float64](p, `shown`))
		}
		return percentile(times, 0.5)
	}
	for _, net := range []struct {
		name          string
		latency, bits float64
	}{{"5 Mbit/s, 40 ms", 40, 5e6}, {"1.6 Mbit/s, 150 ms", 150, 1.6e6}} {
		p.slow(net.latency, net.bits, 4)
		for _, empty := range []bool{true, false} {
			what := map[bool]string{true: "first load", false: "again"}[empty] + ", " + net.name + ", CPU 4x slower"
			row(what, fmt.Sprintf("%.0f ms", load(address+"#/overview", empty)), fmt.Sprintf("%.0f ms, not compressed", load(plain.URL, empty)))
		}
	}
	p.slow(0, 0, 1)

	// An idle live tab.
	p.do(chromedp.Navigate(address + "#/overview"))
	p.until("it is live", `!!document.querySelector(".badge.live")`)
	send(p, performance.Enable, performance.EnableParams{})
	send(p, network.Enable, network.EnableParams{})
	var bytes, frames, requests atomic.Int64
	if err := chromedp.Listen(p.ctx, func(ev any) {
		switch e := ev.(type) {
		case *network.EventDataReceived:
			if e.EncodedDataLength > 0 {
				bytes.Add(e.EncodedDataLength)
			} else {
				bytes.Add(e.DataLength) // of a stream the browser says nothing else
			}
		case *network.EventEventSourceMessageReceived:
			frames.Add(1)
		case *network.EventRequestWillBeSent:
			requests.Add(1)
		}
	}); err != nil {
		t.Fatal(err)
	}
	busy := func() float64 {
		for _, m := range send(p, performance.GetMetrics, cdp.Empty{}).Metrics {
			if m.Name == "TaskDuration" {
				return m.Value
			}
		}
		return math.NaN()
	}
	bytes.Store(0)
	before, from := busy(), time.Now()
	frames.Store(0)
	until(t, "20 frames of the stream", func() bool { return frames.Load() >= 20 })
	took := time.Since(from).Seconds()
	row("an idle live tab: main thread, data", fmt.Sprintf("%.1f %% of a core, %.1f kB/s", 100*(busy()-before)/took, float64(bytes.Load())/1000/took), "")

	// A hidden tab: what it sends while another sees 20 frames of the same stream.
	evaluate[any](p, `Object.defineProperty(document, "hidden", {value: true, configurable: true}); document.dispatchEvent(new Event("visibilitychange")); 0`)
	p.until("it is paused", `!document.querySelector(".badge.live")`)
	seen := viewers(t, address, "totals", 1)
	bytes.Store(0)
	before, from = busy(), time.Now()
	asked := requests.Load()
	start := seen.Load()
	until(t, "20 frames of another stream", func() bool { return seen.Load() >= start+20 })
	took = time.Since(from).Seconds()
	row("a hidden tab: main thread, data, requests", fmt.Sprintf("%.1f %% of a core, %.1f kB/s, %d", 100*(busy()-before)/took, float64(bytes.Load())/1000/took, requests.Load()-asked), "")
	evaluate[any](p, `delete document.hidden; document.dispatchEvent(new Event("visibilitychange")); 0`)

	// A change at a tenant, until it is on the screen, while 200 look at the same tenant.
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	watching := viewers(t, address, "tenant:"+id, 200)
	until(t, "200 viewers", func() bool { return watching.Load() >= 200 })
	evaluate[any](p, `location.hash = "#/tenants/`+id+`"; 0`)
	p.until("the tenant is live", `document.querySelector("main .state") && document.querySelector(".badge.live")`)
	var late []float64
	for i := range 40 {
		verb, state := "suspend", "suspended"
		if i%2 == 1 {
			verb, state = "activate", "active"
		}
		from := time.Now()
		o.post("tenants/"+id+"/"+verb, map[string]any{})
		p.until("the change is seen", `document.querySelector("main .state")?.textContent.trim() === "`+state+`"`)
		late = append(late, time.Since(from).Seconds()*1000)
	}
	row("a change at a tenant to the screen, 200 viewers, p50, p99", fmt.Sprintf("%.0f ms, %.0f ms", percentile(late, 0.5), percentile(late, 0.99)), "a page that asks every 5 s: up to 5,000 ms")

	heap := func() float64 {
		send(p, heapprofiler.CollectGarbage, cdp.Empty{})
		return send(p, runtime.GetHeapUsage, cdp.Empty{}).UsedSize / 1e6
	}

	// Heap after half an hour of live, beside charts.
	script(replayed)
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(address+"#/tenants/"+id+"?tab=usage"))
	p.until("a frame is there", `!!window.frame && document.querySelectorAll("main .chart").length >= 4`)
	first := heap()
	charts := evaluate[int](p, `replay(1800)`)
	row(fmt.Sprintf("heap after 1,800 frames of live, %d charts", charts), fmt.Sprintf("%.1f MB", heap()), fmt.Sprintf("%.1f MB before", first))

	// Heap after many changes of page.
	turn := func(n int) {
		evaluate[any](p, fmt.Sprintf(`(async () => {
			const at = ["overview", "tenants", "performance", "memory", "runs", "audit", "connections", "health"];
			for (let i = 0; i < %d; i++) { location.hash = "#/" + at[i %% at.length]; await new Promise((r) => requestAnimationFrame(() => setTimeout(r))); }
		})()`, n))
		p.until("the page is shown", `!!document.querySelector("main h1")`)
	}
	p.hurried = true
	turn(100)
	first = heap()
	turn(900)
	last := heap()
	row("heap after 1,000 changes of page", fmt.Sprintf("%.1f MB, %.2fx", last, last/first), fmt.Sprintf("%.1f MB after 100", first))

	// A table of 10,000 tenants, synthetic and within the page.
	script(synthetic)
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(address+"#/tenants"))
	p.text("10,000 match")
	var page, table []float64
	for i, query := range slices.Repeat([]string{"sort=-errors", "sort=cpu_time", "filter=plan%3Apro", "filter=99", "sort=-storage", ""}, 6) {
		ms := evaluate[float64](p, fmt.Sprintf(`new Promise((done) => {
			const was = document.querySelector("main tbody tr td:nth-child(2)").textContent + document.querySelector("[role=status]").textContent, from = performance.now();
			const seen = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
			const o = new MutationObserver(() => { o.disconnect(); seen(); });
			o.observe(document.querySelector("main tbody"), {childList: true, subtree: true, characterData: true});
			location.hash = "#/tenants?turn=%d&%s";
			setTimeout(seen, 3000);
		})`, i, query))
		page = append(page, ms)
		table = append(table, evaluate[float64](p, `new Promise((done) => {
			const from = performance.now(), box = document.createElement("table");
			for (let i = 0; i < 100; i++) { const tr = box.insertRow(); for (let k = 0; k < 11; k++) tr.insertCell().textContent = "cell " + i + " " + k; }
			document.body.append(box);
			requestAnimationFrame(() => setTimeout(() => { const ms = performance.now() - from; box.remove(); done(ms); }));
		})`))
	}
	row("10,000 tenants: sort or filter to painted, p95", fmt.Sprintf("%.0f ms", percentile(page, 0.95)), fmt.Sprintf("%.0f ms plain table", percentile(table, 0.95)))

	// Scrolling through all of them, and how long the page takes to answer clicks, on a processor that is four times slower.
	p.slow(0, 0, 4)
	evaluate[any](p, `location.hash = "#/tenants"; 0`)
	p.until("the rows are there", `document.querySelectorAll("main tbody tr").length >= 100`)
	const scrolled = `new Promise((done) => {
		const from = performance.now();
		let n = 0;
		const step = () => { window.scrollBy(0, 200); ++n < 400 ? requestAnimationFrame(step) : done(1000 * n / (performance.now() - from)); };
		requestAnimationFrame(step);
	})`
	fps := evaluate[float64](p, scrolled)
	rows := evaluate[int](p, `document.querySelectorAll("main tbody tr").length`)
	evaluate[any](p, `{ window.scrollTo(0, 0); const box = document.createElement("table"); box.id = "baseline"; for (let i = 0; i < 2000; i++) { const tr = box.insertRow(); for (let k = 0; k < 11; k++) tr.insertCell().textContent = "cell " + i + " " + k; } document.querySelector("main").replaceChildren(box); 0 }`)
	row("10,000 tenants: scrolling, rows in the document", fmt.Sprintf("%.0f frames/s, %d", fps, rows), fmt.Sprintf("%.0f frames/s plain table", evaluate[float64](p, scrolled)))

	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(address+"#/tenants"))
	p.until("the rows are there", `document.querySelectorAll("main tbody tr").length >= 100`)
	evaluate[any](p, `window.inp = []; new PerformanceObserver((l) => l.getEntries().forEach((e) => e.interactionId && window.inp.push(e.duration))).observe({type: "event", durationThreshold: 16, buffered: false}); 0`)
	const clicks = 30
	boxes := evaluate[[][]float64](p, `[...document.querySelectorAll("main tbody input[type=checkbox]")].slice(0, 10).map((e) => { const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })`)
	for i := range clicks {
		at := boxes[i%len(boxes)]
		p.do(chromedp.MouseClickXY(at[0], at[1]))
		evaluate[int](p, `new Promise((r) => setTimeout(() => r(0), 500))`) // people do not click faster
	}
	slowest := evaluate[[]float64](p, `window.inp`)
	for len(slowest) < clicks {
		slowest = append(slowest, 16) // faster than what the browser reports
	}
	row("interaction to next paint, CPU 4x slower, p50, p95", fmt.Sprintf("%.0f ms, %.0f ms", percentile(slowest, 0.5), percentile(slowest, 0.95)), "")
	p.slow(0, 0, 1)

	// All that match a filter: a plan of them, and the first that is done.
	many := signedIn(t, owned(t, "-tenants", "842"))
	until(t, "842 tenants are active", func() bool {
		time.Sleep(500 * time.Millisecond) // who asks more often is refused
		return many.ask(http.MethodGet, "facets?filter=status:active", nil)["total"] == 842.
	})
	from = time.Now()
	plan := many.post("actions/bulk-suspend", map[string]any{"dry_run": true, "filter": "status:active"})
	planned := time.Since(from)
	from = time.Now()
	many.post("actions/bulk-suspend", map[string]any{"plan": plan["plan"], "confirm": plan["confirm"]})
	until(t, "the first is suspended", func() bool {
		time.Sleep(50 * time.Millisecond)
		return many.ask(http.MethodGet, "facets?filter=status:suspended", nil)["total"] != 0.
	})
	row(fmt.Sprintf("suspend all %v that match: plan; first done", plan["eligible"]), fmt.Sprintf("%d ms; %d ms", planned.Milliseconds(), time.Since(from).Milliseconds()), "")

	// The bytes of what browsers load.
	for _, asset := range evaluate[[]string](p, `[...document.querySelectorAll("link[rel=stylesheet], script[src]")].map((e) => e.href || e.src)`) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, asset, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		row(asset[strings.LastIndex(asset, ".")+1:]+", compressed", fmt.Sprintf("%d bytes", res.ContentLength), "")
	}
}
