package tenancytest_test

import (
	"context"
	sqldriver "database/sql/driver"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestEnginesConform(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) { tenancytest.TestEngine(t, s.Engine, nil) })
}

// defectEnv names the defect of the engine that TestDefectiveEngine tests.
const defectEnv = "TENANCY_TEST_DEFECT"

// defects are engines with one defect each, and the test of the suite that finds it.
var defects = map[string]struct {
	test string
	of   func(*sqlite.Engine) driver.Engine
}{
	"another's identity":    {"Identify", func(e *sqlite.Engine) driver.Engine { return wrongIdentity{e} }},
	"makes what is missing": {"MissingDatabase", func(e *sqlite.Engine) driver.Engine { return makes{e} }},
	"drops for anybody":     {"Drop", func(e *sqlite.Engine) driver.Engine { return dropsAll{e} }},
	"two at a time":         {"Exclusive", func(e *sqlite.Engine) driver.Engine { return notAlone{e} }},
	"reader that writes":    {"ReadOnly", func(e *sqlite.Engine) driver.Engine { return writes{e} }},
	"blames the server":     {"FaultClassifier", func(e *sqlite.Engine) driver.Engine { return blames{e} }},
}

type wrongIdentity struct{ *sqlite.Engine }

func (e wrongIdentity) Identify(ctx context.Context, c sqldriver.Conn) (driver.Identity, error) {
	id, err := e.Engine.Identify(ctx, c)
	id.Tenant = "somebody"
	return id, err
}

type makes struct{ *sqlite.Engine }

func (e makes) Connector(database string) (sqldriver.Connector, error) {
	if ok, err := e.Exists(context.Background(), database); err == nil && !ok {
		_ = e.Create(context.Background(), database, "somebody")
	}
	return e.Engine.Connector(database)
}

type dropsAll struct{ *sqlite.Engine }

func (e dropsAll) Drop(ctx context.Context, database string, _ tenancy.ID) error {
	owner, err := e.Owner(ctx, database)
	if err != nil {
		return err
	}
	return e.Engine.Drop(ctx, database, owner)
}

type notAlone struct{ *sqlite.Engine }

func (notAlone) Exclusive(ctx context.Context, _ string, fn func(context.Context) error) error {
	return fn(ctx)
}

type writes struct{ *sqlite.Engine }

func (e writes) ReadOnlyConnector(database string) (sqldriver.Connector, error) {
	return e.Connector(database)
}

type blames struct{ *sqlite.Engine }

func (blames) Fault(error) driver.Fault { return driver.FaultServer }

// TestDefectiveEngine fails on purpose, in a process of [TestEngineFindsDefects].
func TestDefectiveEngine(t *testing.T) {
	d, ok := defects[os.Getenv(defectEnv)]
	if !ok {
		t.Skip("for TestEngineFindsDefects")
	}
	e, err := sqlite.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tenancytest.TestEngine(t, d.of(e), nil)
}

// Each defect fails the test of the suite that is about it.
func TestEngineFindsDefects(t *testing.T) {
	t.Parallel()
	for name, d := range defects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDefectiveEngine$", "-test.v") // this program
			cmd.Env = append(os.Environ(), defectEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestDefectiveEngine/"+d.test+" ") {
				t.Errorf("got %v, want that %s fails:\n%s", err, d.test, out)
			}
		})
	}
}
