package tenancy

import "log/slog"

const redacted = "[redacted]"

// Secret holds a text that must not be seen: a password, a key, a DSN with
// credentials. Whatever formats, logs or encodes it sees "[redacted]"; only
// [Secret.Reveal] returns the text. The zero Secret is empty.
type Secret struct {
	// A pointer, so that fmt prints an address and not the text where it
	// reaches the field of an unexported field and cannot call String.
	text *string
}

// NewSecret returns a Secret that holds the text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
