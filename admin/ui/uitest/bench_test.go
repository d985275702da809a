//go:build bench

package uitest

import (
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
	var bytes atomic.Int64
	if err := chromedp.Listen(p.ctx, func(ev any) {
		if e, ok := ev.(*network.EventDataReceived); ok {
			bytes.Add(max(e.EncodedDataLength, e.DataLength))
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
	before, from := busy(), time.Now()
	time.Sleep(20 * time.Second)
	took := time.Since(from).Seconds()
	row("an idle live tab: main thread, data", fmt.Sprintf("%.1f %% of a core, %.1f kB/s", 100*(busy()-before)/took, float64(bytes.Load())/1000/took), "")

	// Heap after many changes of page.
	heap := func() float64 {
		send(p, heapprofiler.CollectGarbage, cdp.Empty{})
		return send(p, runtime.GetHeapUsage, cdp.Empty{}).UsedSize / 1e6
	}
	turn := func(n int) {
		evaluate[any](p, fmt.Sprintf(`(async () => {
			const at = ["overview", "tenants", "performance", "memory", "runs", "audit", "connections", "health"];
			for (let i = 0; i < %d; i++) { location.hash = "#/" + at[i %% at.length]; await new Promise((r) => requestAnimationFrame(() => setTimeout(r))); }
		})()`, n))
		p.until("the page is shown", `!!document.querySelector("main h1")`)
	}
	turn(100)
	first := heap()
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
}
