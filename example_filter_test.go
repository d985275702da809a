package tenancy_test

import (
	"fmt"

	"github.com/artflow-studio/tenancy"
)

func ExampleParseFilter() {
	// Package analytics, say, knows how many requests a tenant made.
	requests := tenancy.Field{Name: "requests", Kind: tenancy.FieldNumber}
	f, err := tenancy.ParseFilter(`status:active,suspended tag:eu created:<2026-02-01 requests:>1000 sort:-created "Acme Ltd"`, requests)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Status, f.Tags, f.CreatedBefore.Format("Jan 2"), f.Sort, f.Text)
	for _, t := range f.Terms {
		fmt.Println(t.Field, t.Op, t.Number(0))
	}
	fmt.Println(f.String())

	_, err = tenancy.ParseFilter("acme created:yesterday")
	fmt.Println(err)
	// Output:
	// [active suspended] [eu] Feb 1 -created Acme Ltd
	// requests > 1000
	// status:active,suspended tag:eu created:<2026-02-01 requests:>1000 sort:-created Acme Ltd
	// filter: "created:yesterday" at 6: "yesterday" is no time: want a day such as 2026-01-31, or 2026-01-31T23:59:59Z
}
