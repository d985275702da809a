package analytics

import (
	"cmp"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Activity is something that happened to a tenant or within it.
type Activity struct {
	// Key is the activity's own: of two with one key, a store keeps the first.
	Key         string     `json:"-"`
	Tenant      tenancy.ID `json:"tenant_id"`
	Type        string     `json:"activity_type"`
	Description string     `json:"description"`
	ActorKind   string     `json:"actor_kind"`
	ActorID     string     `json:"actor_id,omitempty"`
	// Address is where it came from; after 30 days, the network of that.
	Address   string    `json:"ip_address,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// Times is how many such activities this one stands for.
	Times int64 `json:"times"`
	// Login is set if it was one.
	Login *Login `json:"login,omitempty"`
}

// Login is a login of a tenant's user, or an attempt at one.
type Login struct {
	Subject string `json:"subject"`
	Method  string `json:"method,omitempty"`
	OK      bool   `json:"ok"`
	Reason  string `json:"reason,omitempty"`
}

// ActivitiesQuery selects activities.
type ActivitiesQuery struct {
	Scope tenancy.Scope
	// Tenants, if there are any, are the tenants to choose from.
	Tenants []tenancy.ID
	// Period restricts when they happened, unless it is zero.
	Period Period
	// Types, if there are any, are the types to choose from.
	Types []string
	// Logins asks for logins alone; Subject for those of one subject.
	Logins  bool
	Subject string
	// After continues a listing behind an activity.
	After *ActivityPosition
	// Limit is how many at most.
	Limit int
}

// ActivityPosition is a place in a listing of activities, which is in descending order of
// time and key.
type ActivityPosition struct {
	At  time.Time
	Key string
}

// includes reports whether the query selects the activity, whatever its tenant is.
func (q *ActivitiesQuery) includes(a *Activity) bool {
	switch {
	case !q.Period.From.IsZero() && a.CreatedAt.Before(q.Period.From), !q.Period.To.IsZero() && !a.CreatedAt.Before(q.Period.To):
		return false
	case len(q.Types) > 0 && !slices.Contains(q.Types, a.Type), q.Logins && a.Login == nil:
		return false
	}
	if q.After != nil && cmp.Or(a.CreatedAt.Compare(q.After.At), cmp.Compare(a.Key, q.After.Key)) >= 0 {
		return false
	}
	return q.Subject == "" || a.Login != nil && a.Login.Subject == q.Subject
}
