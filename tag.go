package tenancy

import "fmt"

const (
	maxTag  = 63
	maxTags = 64
)

// ValidateTag reports a malformed tag with an error that wraps [ErrInvalid]. A
// tag is 1 to 63 lower-case letters, digits and inner hyphens, underscores, dots
// and colons, the first and the last a letter or digit.
func ValidateTag(tag string) error {
	if len(tag) == 0 || len(tag) > maxTag {
		return fmt.Errorf("%w: tag of %d bytes, want 1 to %d", ErrInvalid, len(tag), maxTag)
	}
	for i := range len(tag) {
		c := tag[i]
		inner := i > 0 && i < len(tag)-1
		if !lowerAlnum(c) && !(inner && (c == '-' || c == '_' || c == '.' || c == ':')) {
			return fmt.Errorf("%w: tag %q, want a-z and 0-9, and - _ . : only inside", ErrInvalid, tag)
		}
	}
	return nil
}

// validateTags wants each tag once, in ascending order.
func validateTags(tags []string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("%w: %d tags, want at most %d", ErrInvalid, len(tags), maxTags)
	}
	for i, tag := range tags {
		if err := ValidateTag(tag); err != nil {
			return err
		}
		if i > 0 && tags[i-1] >= tag {
			return fmt.Errorf("%w: tags %q and %q, want each once, in ascending order", ErrInvalid, tags[i-1], tag)
		}
	}
	return nil
}
