package analytics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/artflow-studio/tenancy"
)

// LoginSource is the optional ability of a [Source] to sum up logins by subject.
type LoginSource interface {
	// Logins returns subjects in the query's order.
	Logins(ctx context.Context, q *LoginsQuery) ([]LoginSummary, error)
}

// LoginsQuery selects subjects.
type LoginsQuery struct {
	Scope tenancy.Scope
	// Tenants, if there are any, are the tenants to choose from.
	Tenants []tenancy.ID
	Period  Period
	// Subject, if it is set, is the only one.
	Subject string
	// ByFailures asks for descending order of failures. Among those that are equal, and
	// otherwise, the order is that of tenants and subjects.
	ByFailures bool
	// After continues a listing behind a subject.
	After *LoginPosition
	// Limit is how many at most.
	Limit int
}

// LoginPosition is a place in a listing of subjects.
type LoginPosition struct {
	Failures int64
	Tenant   tenancy.ID
	Subject  string
}

// LoginSummary is what is known of the logins of one user of a tenant.
type LoginSummary struct {
	Tenant  tenancy.ID `json:"tenant_id"`
	Subject string     `json:"subject"`
	// Logins and Failures count those of the period. Failures beyond 60 of a tenant in a
	// minute belong to no subject.
	Logins   int64 `json:"logins"`
	Failures int64 `json:"failures"`
	// LastLogin and LastFailure are zero if there was none.
	LastLogin   time.Time `json:"last_login,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	// Addresses are those that logins came from, the newest first, at most ten; after 30
	// days their networks.
	Addresses []string `json:"addresses"`
}

// maxAddresses is how many addresses of a subject are listed.
const maxAddresses = 10

// position returns the place of the summary in a listing.
func (s *LoginSummary) position() *LoginPosition {
	return &LoginPosition{s.Failures, s.Tenant, s.Subject}
}

// compare returns the order of two places.
func (q *LoginsQuery) compare(a, b *LoginPosition) int {
	way := 0
	if q.ByFailures {
		way = cmp.Compare(b.Failures, a.Failures)
	}
	return cmp.Or(way, cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Subject, b.Subject))
}

// LoginsRequest asks for a page of subjects.
type LoginsRequest struct {
	// Tenant, if it is set, is the only tenant.
	Tenant tenancy.ID
	// Period is that of the logins. Default: the last 30 days.
	Period Period
	// Subject, if it is set, is the only one.
	Subject string
	// ByFailures puts those with most failures first. Otherwise the order is that of
	// tenants and subjects.
	ByFailures bool
	// After continues a listing: the Next of the page before.
	After tenancy.Cursor
	// Limit is how many a page has: at most 500. Default: 50.
	Limit int
}

// LoginsPage is a page of subjects.
type LoginsPage struct {
	Period   Period         `json:"period"`
	Subjects []LoginSummary `json:"subjects"`
	// Next continues the listing. It is empty on the last page.
	Next tenancy.Cursor `json:"next,omitempty"`
}

// Logins returns a page of those who logged in to tenants of the scope, or tried to.
func (r *Reports) Logins(ctx context.Context, scope tenancy.Scope, req *LoginsRequest) (*LoginsPage, error) {
	page, err := r.logins(ctx, scope, req)
	return page, tenancy.Wrap("analytics.Reports.Logins", "", err)
}

func (r *Reports) logins(ctx context.Context, scope tenancy.Scope, req *LoginsRequest) (*LoginsPage, error) {
	if req == nil {
		req = &LoginsRequest{}
	}
	limit := cmp.Or(req.Limit, 50)
	texts := req.Subject + string(req.Tenant)
	if limit < 0 || limit > maxPage || strings.ContainsRune(texts, 0) || !utf8.ValidString(texts) {
		return nil, fmt.Errorf("%w: page of %d subjects, want at most %d, in UTF-8 without NUL", tenancy.ErrInvalid, limit, maxPage)
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	p := req.Period
	if p.From.IsZero() {
		p.From = cmp.Or(p.To, state.Now).Add(-keepAddresses)
	}
	if p, err = r.check(p, state); err != nil {
		return nil, err
	}
	q := &LoginsQuery{Scope: scope, Period: p, Subject: req.Subject, ByFailures: req.ByFailures, Limit: limit + 1}
	if req.Tenant != "" {
		q.Tenants = []tenancy.ID{req.Tenant}
	}
	listing := fmt.Sprintf("logins %q %q %v %v %q %v", scope.String(), string(req.Tenant), toMicros(req.Period.From), toMicros(req.Period.To), req.Subject, req.ByFailures)
	if req.After != "" {
		if q.After, err = loginPosition(req.After, listing); err != nil {
			return nil, err
		}
	}
	page := &LoginsPage{Period: p, Subjects: []LoginSummary{}}
	if r.subjects == nil {
		return page, nil
	}
	found, err := r.subjects.Logins(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found) > limit {
		found = found[:limit]
		last := &found[limit-1]
		page.Next = tenancy.NewCursor(listing, strconv.FormatInt(last.Failures, 10), string(last.Tenant), last.Subject)
	}
	found, err = inScope(ctx, r, scope, found, (*LoginSummary).tenant)
	page.Subjects = append(page.Subjects, found...)
	return page, err
}

func loginPosition(after tenancy.Cursor, listing string) (*LoginPosition, error) {
	values, err := after.Values(listing, 3)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || strings.ContainsRune(values[1]+values[2], 0) {
		return nil, fmt.Errorf("%w: the cursor is not one of this report", tenancy.ErrInvalid)
	}
	return &LoginPosition{n, tenancy.ID(values[1]), values[2]}, nil
}

// summaries sums up logins, each with its addresses.
type summaries struct {
	found map[LoginPosition]*LoginSummary // without failures
	seen  map[LoginPosition]map[string]time.Time
}

func newSummaries() *summaries {
	return &summaries{map[LoginPosition]*LoginSummary{}, map[LoginPosition]map[string]time.Time{}}
}

// add adds a login.
func (s *summaries) add(a *Activity) {
	key := LoginPosition{Tenant: a.Tenant, Subject: a.Login.Subject}
	sum := s.see(key)
	last := &sum.LastFailure
	if a.Login.OK {
		last = &sum.LastLogin
		sum.Logins += a.Times
	} else {
		sum.Failures += a.Times
	}
	if a.CreatedAt.After(*last) {
		*last = a.CreatedAt
	}
	s.address(key, a.Address, a.CreatedAt)
}

// see returns the summary of a subject.
func (s *summaries) see(key LoginPosition) *LoginSummary {
	if s.found[key] == nil {
		s.found[key], s.seen[key] = &LoginSummary{Tenant: key.Tenant, Subject: key.Subject}, map[string]time.Time{}
	}
	return s.found[key]
}

// address notes an address of a subject.
func (s *summaries) address(key LoginPosition, address string, at time.Time) {
	if seen := s.seen[key]; seen != nil && address != "" && at.After(seen[address]) {
		seen[address] = at
	}
}

// addresses returns those of a subject, the newest first.
func (s *summaries) addresses(key LoginPosition) []string {
	seen := s.seen[key]
	all := make([]string, 0, len(seen))
	for address := range seen {
		all = append(all, address)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(seen[b].Compare(seen[a]), cmp.Compare(a, b)) })
	return all[:min(len(all), maxAddresses)]
}

// page returns what the query asks for.
func (s *summaries) page(q *LoginsQuery) []LoginSummary {
	all := []LoginSummary{}
	for key, sum := range s.found {
		if q.After == nil || q.compare(sum.position(), q.After) > 0 {
			sum.Addresses = s.addresses(key)
			all = append(all, *sum)
		}
	}
	slices.SortFunc(all, func(a, b LoginSummary) int { return q.compare(a.position(), b.position()) })
	return all[:min(len(all), q.Limit)]
}
