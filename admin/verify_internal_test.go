package admin

import (
	"encoding/json"
	"testing"

	"github.com/artflow-studio/tenancy/catalog/audit"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(verdict(&audit.Report{Entries: 6, Number: 9, Hash: "ab", Cut: 3, Signed: 8, Late: 2}))
	if want := `{"whole":true,"up_to":9,"entries":6,"hash":"ab","cut":3,"signed":8,"late":2}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
