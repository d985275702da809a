package tenancy

import (
	"fmt"
	"slices"
)

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
// Nothing returns to provisioning, and what is being provisioned is purged without being
// archived first: so an archived tenant was brought to its end once, and may come back. It
// comes back as inactive only, so that somebody looks before it is served, or is purged,
// which is the end; staying is always allowed.
func (s Status) CanBecome(next Status) bool {
	if s == next {
		return s.valid()
	}
	switch s {
	case StatusProvisioning:
		return next == StatusActive || next == StatusInactive || next == StatusPurging
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

// WhyNot returns why a tenant may not go from s to next because somebody wants it to, as a
// sentence without a full stop, or "" if it may. It is the one guard of all ways to change a
// status: maintenance/lifecycle, the tasks of maintenance, the console and the command line.
// It allows less than [Status.CanBecome], which is about the record alone: a tenant that is
// being provisioned leaves that status when its creation is brought to its end, an archived
// one when it is restored or purged. Staying is always allowed.
func (s Status) WhyNot(next Status) string {
	switch {
	case s == next && s.valid():
		return ""
	case s == StatusProvisioning:
		return "the tenant is still being provisioned; resume its creation first, or purge it"
	case s == StatusPurging:
		return "the tenant is being purged, which cannot be undone"
	case next == StatusProvisioning, next == StatusPurging:
		return fmt.Sprintf("a tenant becomes %s only by its creation or its purge", next)
	case s == StatusArchived:
		return "the tenant is archived; restore it first"
	case !s.CanBecome(next):
		return fmt.Sprintf("a tenant that is %.20q cannot become %.20q", string(s), string(next))
	}
	return ""
}

// Removable reports whether the record and the database of a tenant may be removed: it
// is not there yet or not any more. Nobody else works on them.
func (s Status) Removable() bool {
	return s == StatusProvisioning || s == StatusArchived || s == StatusPurging
}

func (s Status) valid() bool { return slices.Contains(Statuses(), s) }
