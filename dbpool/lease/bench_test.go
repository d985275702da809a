package lease_test

import (
	"fmt"
	"testing"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/lease"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// BenchmarkRedis is one ask, of as many instances as the name says, beside a PING
// and a script that does nothing.
func BenchmarkRedis(b *testing.B) {
	client, ns := tenancytest.Redis(b)
	b.Run("Ping", func(b *testing.B) {
		for b.Loop() {
			if err := client.Do(b.Context(), client.B().Ping().Build()).Error(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Eval", func(b *testing.B) {
		nothing := rueidis.NewLuaScript("return {1, 1}")
		for b.Loop() {
			if err := nothing.Exec(b.Context(), client, []string{ns + "x"}, nil).Error(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, instances := range []int{1, 3, 30, 300} {
		b.Run(fmt.Sprintf("Borrow/%d", instances), func(b *testing.B) {
			benchmarkBorrow(b, instances, func() dbpool.Lender {
				l, err := lease.NewRedis(client, fmt.Sprintf("%s.%d", ns, instances), nil)
				if err != nil {
					b.Fatal(err)
				}
				return l
			})
		})
	}
}

func BenchmarkMemory(b *testing.B) {
	for _, instances := range []int{1, 3, 30, 300} {
		b.Run(fmt.Sprintf("Borrow/%d", instances), func(b *testing.B) {
			benchmarkBorrow(b, instances, lease.NewMemory(0).Instance)
		})
	}
}

func benchmarkBorrow(b *testing.B, instances int, instance func() dbpool.Lender) {
	b.Helper()
	var last dbpool.Lender
	ask := dbpool.BorrowRequest{Server: "main", Total: 100}
	for i := range instances {
		last = instance()
		ask.Want = i % 20
		if _, err := last.Borrow(b.Context(), ask); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := last.Borrow(b.Context(), ask); err != nil {
			b.Fatal(err)
		}
	}
}
