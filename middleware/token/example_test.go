package token_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/token"
)

func Example() {
	tokens, err := token.New("https://notes.example", []token.Key{
		{ID: "2026-11", Secret: tenancy.NewSecret("0123456789abcdef0123456789abcdef")}, // from a random source; signs
		{ID: "2026-05", Secret: tenancy.NewSecret("fedcba9876543210fedcba9876543210")}, // verifies until its tokens have expired
	}, nil)
	if err != nil {
		panic(err)
	}
	acme, globex := &tenancy.Tenant{ID: "acme"}, &tenancy.Tenant{ID: "globex"} // a handler's are those of the context

	secret, _, err := tokens.Issue(acme, "ann", []string{"notes:read"}, time.Hour) // when ann has logged in at acme
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/notes", nil)
	r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	p, err := tokens.Authenticate(r, acme) // middleware.Authenticate(tokens, nil) does that
	fmt.Println(p.Subject, p.Scopes, err)
	_, err = tokens.Authenticate(r, globex)
	fmt.Println(err)
	// Output:
	// ann [notes:read] <nil>
	// not authenticated: a token that is refused: it was not signed for this tenant
}
