package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/artflow-studio/tenancy"
)

func ExampleNewContext() {
	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "acme", Slug: "acme"})
	t, err := tenancy.Require(ctx)
	fmt.Println(t.Slug, err)
	_, err = tenancy.Require(context.Background())
	fmt.Println(errors.Is(err, tenancy.ErrNoTenant))
	// Output:
	// acme <nil>
	// true
}

func ExampleNewLogHandler() {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(tenancy.NewLogHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "acme"})
	log.InfoContext(ctx, "order placed", "items", 3)
	// Output: level=INFO msg="order placed" items=3 tenant=acme
}
