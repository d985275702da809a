package tenancy

import "slices"

// Status says whether a tenant is served.
type Status string

const (
	// StatusProvisioning is a tenant whose database is being made. It is not served.
	StatusProvisioning Status = "provisioning"
	// StatusActive is the only status that is served.
	StatusActive Status = "active"
	// StatusSuspended is closed for a while, usually over payment.
	StatusSuspended Status = "suspended"
	// StatusBlocked is closed by the operator, usually over abuse.
	StatusBlocked Status = "blocked"
	// StatusInactive is closed at the tenant's own wish, or not opened yet.
	StatusInactive Status = "inactive"
	// StatusArchived is closed for good. Its data may be on its way out.
	StatusArchived Status = "archived"
)

// Statuses returns all statuses in the order of a tenant's life.
func Statuses() []Status {
	return []Status{StatusProvisioning, StatusActive, StatusSuspended, StatusBlocked, StatusInactive, StatusArchived}
}

// CanBecome reports whether a tenant may go from s to next in one step.
// Nothing returns to provisioning; what is archived comes back as inactive
// only, so that somebody looks before it is served; staying is always allowed.
func (s Status) CanBecome(next Status) bool {
	if s == next {
		return s.valid()
	}
	switch s {
	case StatusProvisioning:
		return next == StatusActive || next == StatusInactive || next == StatusArchived
	case StatusActive, StatusSuspended, StatusBlocked, StatusInactive:
		return next != StatusProvisioning && next.valid()
	case StatusArchived:
		return next == StatusInactive
	}
	return false
}

func (s Status) valid() bool { return slices.Contains(Statuses(), s) }
