package admin

import "github.com/artflow-studio/tenancy/admin/auth"

// Row is a row of the table of routes, for tests.
type Row struct {
	Method, Pattern string
	Permission      auth.Permission
	Everybody       bool // no credentials
	SigningIn       bool // any stage
	SignedIn        bool // any permission
	OneTenant       bool
	AllTenants      bool
	StepUp          bool
	Action          string
	Part            string
	Own             bool // of the console's own sign-in
	Machine         bool // for tokens although it has no permission
}

// Table returns the rows.
func (a *Admin) Table() []Row {
	out := make([]Row, len(a.table))
	for i := range a.table {
		r := &a.table[i]
		out[i] = Row{r.method, r.pattern, r.permission, r.audience == everybody, r.audience == signingIn, r.audience == signedInTo, r.reach == oneOf, r.reach == allOf, r.stepUp, r.action, r.part, r.own, r.machine}
	}
	return out
}

// Frames returns how many frames are kept.
func (a *Admin) Frames() int {
	a.live.mu.Lock()
	defer a.live.mu.Unlock()
	return len(a.live.frames)
}
