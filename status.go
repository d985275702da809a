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
	// StatusArchived is closed for good. Its database and its names are kept, and it
	// can be restored.
	StatusArchived Status = "archived"
	// StatusPurging is a tenant whose data is being removed. That cannot be undone.
	StatusPurging Status = "purging"
)

// Statuses returns all statuses in the order of a tenant's life.
func Statuses() []Status {
	return []Status{StatusProvisioning, StatusActive, StatusSuspended, StatusBlocked, StatusInactive, StatusArchived, StatusPurging}
}

// CanBecome reports whether a tenant may go from s to next in one step.
// Nothing returns to provisioning; what is archived comes back as inactive
// only, so that somebody looks before it is served, or is purged, which is the end;
// staying is always allowed.
func (s Status) CanBecome(next Status) bool {
	if s == next {
		return s.valid()
	}
	switch s {
	case StatusProvisioning:
		return next == StatusActive || next == StatusInactive || next == StatusArchived
	case StatusActive, StatusSuspended, StatusBlocked, StatusInactive:
		return next != StatusProvisioning && next != StatusPurging && next.valid()
	case StatusArchived:
		return next == StatusInactive || next == StatusPurging
	}
	return false
}

// Next returns the other statuses that a tenant may go to from s in one step, in the
// order of a tenant's life.
func (s Status) Next() []Status {
	return slices.DeleteFunc(Statuses(), func(next Status) bool { return next == s || !s.CanBecome(next) })
}

// Removable reports whether the record and the database of a tenant may be removed: it
// is not there yet or not any more. Nobody else works on them.
func (s Status) Removable() bool {
	return s == StatusProvisioning || s == StatusArchived || s == StatusPurging
}

func (s Status) valid() bool { return slices.Contains(Statuses(), s) }
