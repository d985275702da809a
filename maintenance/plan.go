package maintenance

import (
	"errors"
	"net/netip"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// plan is maintenance as it is enforced. It is made once for each record, and only its span
// changes later.
type plan struct {
	*tenancy.Maintenance
	tenant  tenancy.ID // "": the service
	version int64      // of the service's record
	windows []window
	paths   openPaths
	span    atomic.Pointer[span]
}

// span is a time in which maintenance is in force, or is not.
type span struct {
	from, until time.Time // from ≤ t < until; the zero until is never
	open        bool
	end         time.Time // of what is open; zero: not known
}

// maxMerged is how many times of windows that follow each other are looked at
// for the end of all.
const maxMerged = 100

// newPlan reads a record. With an error, which wraps [tenancy.ErrInvalid],
// there is a plan that is always in force.
func newPlan(m *tenancy.Maintenance, tenant tenancy.ID) (*plan, error) {
	p := &plan{Maintenance: m, tenant: tenant, paths: newOpenPaths(m.Paths)}
	var errs []error
	for _, w := range m.Windows {
		read, err := newWindow(w)
		errs = append(errs, err)
		p.windows = append(p.windows, read)
	}
	if err := errors.Join(errs...); err != nil {
		p.windows = nil
		return p, err
	}
	return p, nil
}

// at returns what holds at that time, which has no monotonic clock: windows are
// about what clocks on the wall show.
func (p *plan) at(now time.Time) *span {
	s := p.span.Load()
	if s == nil || now.Before(s.from) || !s.until.IsZero() && !now.Before(s.until) {
		s = p.look(now)
		p.span.Store(s)
	}
	return s
}

// look finds what holds at that time, and for how long.
func (p *plan) look(now time.Time) *span {
	if len(p.windows) == 0 {
		return &span{open: true}
	}
	s := &span{from: now}
	end := now
	for range maxMerged {
		latest, never, open := p.latest(end)
		if never {
			return &span{from: now, open: true}
		}
		if !open {
			break
		}
		s.open, end, s.end = true, latest, latest
	}
	if s.open {
		s.until = end
		if _, _, more := p.latest(end); more {
			s.end = time.Time{}
		}
		return s
	}
	for i := range p.windows {
		if n, ok := p.windows[i].next(now); ok && (s.until.IsZero() || n.Before(s.until)) {
			s.until = n
		}
	}
	return s
}

// latest returns the latest end of the windows that are open at t.
func (p *plan) latest(t time.Time) (latest time.Time, never, open bool) {
	for i := range p.windows {
		end, ok := p.windows[i].at(t)
		switch {
		case !ok:
		case end.IsZero():
			return time.Time{}, true, true
		default:
			open = true
			if end.After(latest) {
				latest = end
			}
		}
	}
	return latest, false, open
}

// allows reports whether a client with that address passes as if there were no maintenance.
func (p *plan) allows(client netip.Addr) bool { return ipnet.Contains(p.Allow, client) }

// openPaths are paths that are served all the same, each with what is below it,
// without a slash at the end.
type openPaths []string

func newOpenPaths(paths []string) (open openPaths) {
	for _, p := range paths {
		open = append(open, strings.TrimRight(p, "/"))
	}
	return open
}

// has reports whether a path, with its encoding if that is not the usual one, is one of
// them. Only a path that nobody reads in another way is.
func (open openPaths) has(urlPath, rawPath string) bool {
	if len(open) == 0 || rawPath != "" || !plain(urlPath) {
		return false
	}
	for _, allowed := range open {
		if rest, ok := strings.CutPrefix(urlPath, allowed); ok && (rest == "" || rest[0] == '/') && (allowed != "" || rest == "/") {
			return true
		}
	}
	return false
}

// plain reports whether a path is its own cleaned form, except for one slash at the
// end, and has nothing in it that somebody might decode or cut at.
func plain(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == '%' || r == '\\' || r == ';' || r == 0x7f }) {
		return false
	}
	clean := path.Clean(p)
	return p == clean || p == clean+"/" && clean != "/"
}
