package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/session"
)

// One store of sessions for all tenants, and a cookie that several of them get.
func ExampleBinder() {
	sessions, err := session.New(tenancy.NewSecret("0123456789abcdef0123456789abcdef"), nil) // from a random source
	if err != nil {
		panic(err)
	}
	users := map[string]string{"s1": "ann"} // the application's store
	bySession := middleware.AuthenticatorFunc(func(r *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
		cookie, err := r.Cookie("session")
		if err != nil {
			return nil, nil
		}
		session, err := sessions.Open(t.ID, cookie.Value)
		if err != nil {
			return nil, err
		}
		user, ok := users[session]
		if !ok {
			return nil, tenancy.ErrUnauthenticated
		}
		return &middleware.Principal{Tenant: t.ID, ID: session, Subject: user}, nil
	})
	acme, globex := &tenancy.Tenant{ID: "1"}, &tenancy.Tenant{ID: "2"}
	bound, err := sessions.Bind(acme.ID, "s1")
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: bound}) // set when ann logged in at acme

	p, err := bySession.Authenticate(r, acme)
	fmt.Println(p.Subject, err)
	_, err = bySession.Authenticate(r, globex)
	fmt.Println(err)
	// Output:
	// ann <nil>
	// not authenticated: a session that is not bound to this tenant
}
