package tenancy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"
)

// Maintenance says when and how a tenant, or the whole service, is not served.
type Maintenance struct {
	Mode MaintenanceMode `json:"mode"`
	// Message and Contact are shown to clients.
	Message string `json:"message,omitempty"`
	Contact string `json:"contact,omitempty"`
	// Windows are when it is in force. None: always.
	Windows []Window `json:"windows,omitempty"`
	// Allow are client addresses, and Paths prefixes of paths, that are served during maintenance. A prefix
	// "/a" stands for "/a" and all paths that begin with "/a/".
	Allow []netip.Prefix `json:"allow,omitempty"`
	Paths []string       `json:"paths,omitempty"`
	// Bypass is the SHA-256 of the secret with which people bypass maintenance, or zero if there is none.
	Bypass Digest `json:"bypass,omitzero"`
	// Generation is random, behind the ID of the run and a dot where a run began the
	// maintenance. It changes when maintenance begins and when Bypass changes; a cookie
	// of another generation no longer counts.
	Generation string `json:"generation"`
	// BeganAt is when the maintenance was begun or planned.
	BeganAt time.Time `json:"began_at"`
}

// AuditValue returns the record as entries of the audit show it: without the hash of
// the secret and without the generation.
func (m *Maintenance) AuditValue() json.RawMessage {
	shown := struct {
		Maintenance
		Bypass     string `json:"bypass,omitempty"`     // in place of the hash
		Generation string `json:"generation,omitempty"` // left out
	}{Maintenance: *m}
	if m.Bypass != (Digest{}) {
		shown.Bypass = redacted
	}
	return AuditValue(shown)
}

// MaintenanceMode says which requests maintenance refuses.
type MaintenanceMode string

// The modes of maintenance.
const (
	// MaintenanceClosed serves nothing.
	MaintenanceClosed MaintenanceMode = "closed"
	// MaintenanceReadOnly serves requests with safe methods, in contexts that are [WithReadOnly].
	MaintenanceReadOnly MaintenanceMode = "read_only"
)

// MaintenanceError says that maintenance refused a request. It
// wraps [ErrUnavailable].
type MaintenanceError struct {
	Mode MaintenanceMode
	// Message and Contact are for the client.
	Message, Contact string
	// After is when to come back. Zero is in five minutes.
	After time.Duration
}

// Error returns the text for logs.
func (e *MaintenanceError) Error() string { return "maintenance: " + string(e.Mode) }

// Unwrap returns [ErrUnavailable].
func (e *MaintenanceError) Unwrap() error { return ErrUnavailable }

// RetryAfter returns when to come back.
func (e *MaintenanceError) RetryAfter() time.Duration { return cmp.Or(e.After, 5*time.Minute) }

// Validate returns an error that wraps [ErrInvalid] for what no record may
// hold. It does not read the windows' rules, which are the package maintenance's.
func (m *Maintenance) Validate() error {
	if m.Mode != MaintenanceClosed && m.Mode != MaintenanceReadOnly {
		return fmt.Errorf("%w: maintenance mode %q", ErrInvalid, string(m.Mode))
	}
	if m.Generation == "" || len(m.Windows) > maxWindows || len(m.Paths) > maxPrefixes {
		return fmt.Errorf("%w: maintenance without a generation, or of %d windows and %d paths, want at most %d and %d",
			ErrInvalid, len(m.Windows), len(m.Paths), maxWindows, maxPrefixes)
	}
	for _, text := range []string{m.Message, m.Contact} {
		if len(text) > maxMessage || !utf8.ValidString(text) {
			return fmt.Errorf("%w: message or contact: want UTF-8 of at most %d bytes", ErrInvalid, maxMessage)
		}
	}
	for _, path := range m.Paths {
		if path == "" || path[0] != '/' || len(path) > maxPath {
			return fmt.Errorf("%w: path %.40q, want one that begins with a slash, of at most %d bytes", ErrInvalid, path, maxPath)
		}
	}
	if err := validateTimes("maintenance", m.BeganAt); err != nil {
		return err
	}
	for _, w := range m.Windows {
		if err := w.validate(); err != nil {
			return err
		}
	}
	return validatePrefixes(m.Allow)
}
