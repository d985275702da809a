package tenancytest_test

import (
	"testing"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestRedisRemovesItsKeys(t *testing.T) {
	t.Parallel()
	client, other := tenancytest.Redis(t)
	set := func(t *testing.T, key string) {
		t.Helper()
		if err := client.Do(t.Context(), client.B().Set().Key(key).Value("v").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	set(t, "tenancy:x:"+other+":kept")
	var keys []string
	t.Run("inner", func(t *testing.T) {
		_, ns := tenancytest.Redis(t)
		keys = []string{"tenancy:x:" + ns + ":a", "own:{a}:" + ns}
		for _, key := range keys {
			set(t, key)
		}
	})
	if n, err := exist(t, client, keys...); n != 0 || err != nil {
		t.Errorf("got %d keys of a test that has ended, %v, want none", n, err)
	}
	if n, err := exist(t, client, "tenancy:x:"+other+":kept"); n != 1 || err != nil {
		t.Errorf("got %d keys of a test that runs, %v, want 1", n, err)
	}
}

func exist(t *testing.T, client rueidis.Client, keys ...string) (n int64, err error) {
	t.Helper()
	for _, key := range keys {
		one, err := client.Do(t.Context(), client.B().Exists().Key(key).Build()).AsInt64()
		if err != nil {
			return 0, err
		}
		n += one
	}
	return n, nil
}
