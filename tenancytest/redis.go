package tenancytest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// Redis returns a client of the Redis that the environment names, and a namespace for
// what the test makes there. When the test ends all keys with the namespace in their
// names are removed and the client is closed. A test that flushes or stops the server
// needs one of its own.
func Redis(t testing.TB) (client rueidis.Client, namespace string) {
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
	namespace = "test-" + rand.Text()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := removeKeys(ctx, client, namespace); err != nil {
			t.Errorf("tenancytest: removing keys: %v", err)
		}
	})
	return client, namespace
}

// removeKeys removes the keys of all nodes that have the text in their names.
func removeKeys(ctx context.Context, client rueidis.Client, text string) error {
	for _, node := range client.Nodes() {
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match("*"+text+"*").Count(1000).Build()).AsScanEntry()
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
