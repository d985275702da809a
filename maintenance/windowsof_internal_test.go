package maintenance

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

// The times of maintenance, as the parameters of the task say them.
func TestWindowsOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 1, 30, 12, 0, 0, 0, time.UTC)
	at := func(hour int) time.Time { return time.Date(2027, 1, 31, hour, 0, 0, 0, time.UTC) }
	for name, tt := range map[string]struct {
		params tenancy.Params
		want   []tenancy.Window
	}{
		"none":           {nil, nil},
		"for":            {tenancy.Params{"for": "2h"}, []tenancy.Window{{Start: now, End: now.Add(2 * time.Hour)}}},
		"from and until": {tenancy.Params{"from": "2027-01-31T02:00:00Z", "until": "2027-01-31T04:00:00Z"}, []tenancy.Window{{Start: at(2), End: at(4)}}},
		"from and for":   {tenancy.Params{"from": "2027-01-31T02:00:00Z", "for": "1h"}, []tenancy.Window{{Start: at(2), End: at(3)}}},
		"from":           {tenancy.Params{"from": "2027-01-31T02:00:00Z"}, []tenancy.Window{{Start: at(2)}}},
		"until":          {tenancy.Params{"until": "2027-01-31T02:00:00Z"}, []tenancy.Window{{Start: now, End: at(2)}}},
		"rule": {tenancy.Params{"rule": "0 2 * * 0", "zone": "Europe/Berlin", "for": "1h"},
			[]tenancy.Window{{Rule: "0 2 * * 0", Zone: "Europe/Berlin", Length: time.Hour}}},
	} {
		got, err := windowsOf(tt.params, now)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tt.want)
		}
	}
	for _, p := range []tenancy.Params{
		{"rule": "0 2 * * 0"}, {"rule": "never", "for": "1h"}, {"zone": "UTC", "for": "1h"}, {"rule": "0 2 * * 0", "for": "1h", "zone": "Mars"},
		{"until": "2027-01-31T02:00:00Z", "for": "1h"}, {"until": "2027-01-01T02:00:00Z"}, {"from": "tomorrow"},
	} {
		if got, err := windowsOf(p, now); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%v: got %v, %v, want ErrInvalid", p, got, err)
		}
	}
}
