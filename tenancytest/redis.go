package tenancytest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// Redis returns a client of the Redis that the environment names, and a prefix
// for the keys that the test makes. When the test ends the keys are removed and
// the client is closed. A test that flushes or stops the server needs one of its
// own.
func Redis(t testing.TB) (client rueidis.Client, prefix string) {
	t.Helper()
	opts, err := rueidis.ParseURL(dsn(t, RedisEnv))
	if err != nil {
		t.Fatalf("tenancytest: %s: %v", RedisEnv, err)
	}
	client, err = rueidis.NewClient(opts)
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	t.Cleanup(client.Close)
	prefix = "tenancytest:" + rand.Text() + ":"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := removeKeys(ctx, client, prefix); err != nil {
			t.Errorf("tenancytest: removing keys: %v", err)
		}
	})
	return client, prefix
}

// removeKeys removes the keys of all nodes that begin with the prefix.
func removeKeys(ctx context.Context, client rueidis.Client, prefix string) error {
	for _, node := range client.Nodes() {
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(prefix+"*").Count(1000).Build()).AsScanEntry()
			if err != nil {
				return err
			}
			for _, key := range page.Elements {
				if err := client.Do(ctx, client.B().Del().Key(key).Build()).Error(); err != nil {
					return err
				}
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}
