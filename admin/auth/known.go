package auth

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A browser in which an operator has signed in before has a cookie that says so. Its sign-ins are counted apart from those of strangers, so
// that strangers cannot keep the operator out.
const (
	knownCookie         = "__Host-tenancy-known"
	insecureKnownCookie = "tenancy-known-insecure"
	knownLasts          = 90 * 24 * time.Hour
)

// known is a browser in which an operator has signed in.
type known struct {
	operator, id string
	issued       time.Time
}

func (a *Auth) knownName() string {
	if a.opts.Insecure {
		return insecureKnownCookie
	}
	return knownCookie
}

// maybeKnown reports whether the request has such a cookie, of whomever.
func (a *Auth) maybeKnown(r *http.Request) bool { return len(r.CookiesNamed(a.knownName())) == 1 }

// knownAs returns the browser of the request, if the operator has signed in there. It is nil otherwise, also when the cookie is another
// operator's, was changed, or is too old.
func (a *Auth) knownAs(ctx context.Context, r *http.Request, operator string) *known {
	found := r.CookiesNamed(a.knownName())
	if len(found) != 1 || operator == "" || len(found[0].Value) > 512 {
		return nil
	}
	seal, err := a.seal(ctx)
	if err != nil {
		return nil
	}
	text, err := seal.open(found[0].Value, knownCookie+" "+operator)
	if err != nil {
		return nil
	}
	id, issued, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(issued, 10, 64)
	k := &known{operator, id, time.Unix(n, 0)}
	if err != nil || time.Since(k.issued) > knownLasts {
		return nil
	}
	return k
}

// makeKnown gives the browser the cookie of the operator, who has just signed in.
func (a *Auth) makeKnown(w http.ResponseWriter, r *http.Request, operator string) error {
	if k := a.knownAs(r.Context(), r, operator); k != nil && time.Since(k.issued) < knownLasts/3 {
		return nil
	}
	seal, err := a.seal(r.Context())
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.knownName(), Value: seal.seal(newToken()[:16]+" "+strconv.FormatInt(time.Now().Unix(), 10), knownCookie+" "+operator), Path: "/", MaxAge: int(knownLasts / time.Second),
		HttpOnly: true, Secure: !a.opts.Insecure, SameSite: http.SameSiteStrictMode,
	})
	return nil
}
