package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// parseFilter reads the text of a filter.
func parseFilter(text string) (f tenancy.Filter, err error) {
	for term := range strings.FieldsSeq(text) {
		field, value, ok := strings.Cut(term, ":")
		switch {
		case ok && field == "status" && value != "":
			for s := range strings.SplitSeq(value, ",") {
				if !slices.Contains(tenancy.Statuses(), tenancy.Status(s)) {
					return f, fmt.Errorf("%w: filter: status %.40q", tenancy.ErrInvalid, s)
				}
				f.Status = append(f.Status, tenancy.Status(s))
			}
		case ok && field == "plan" && value != "":
			f.Plan = value
		default:
			return f, fmt.Errorf("%w: filter: %.40q, want status:… or plan:…", tenancy.ErrInvalid, term)
		}
	}
	return f, nil
}
