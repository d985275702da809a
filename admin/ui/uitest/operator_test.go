package uitest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// operator uses the API as a program does.
type operator struct {
	t       *testing.T
	address string
	cookies []*http.Cookie
}

func originOf(link string) string { return strings.SplitN(link, "#", 2)[0] }

func tokenOf(link string) string {
	_, query, _ := strings.Cut(link, "?")
	values, _ := url.ParseQuery(query)
	return values.Get("token")
}

// send sends a request with a body and returns the answer's status and text. It keeps the session's cookie.
func (o *operator) send(method, path, body string) (int, []byte) {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.address+"api/tenancy/"+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, c := range o.cookies {
		r.AddCookie(c)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if set := res.Cookies(); len(set) > 0 {
		o.cookies = set
	}
	return res.StatusCode, text
}

// status returns the status of a request that cannot change anything: its body is broken. That credentials should be fresher counts as 200.
func (o *operator) status(method, path string) int {
	o.t.Helper()
	body := "{"
	if method == http.MethodGet {
		body = ""
	}
	status, text := o.send(method, path, body)
	if status == http.StatusForbidden && bytes.Contains(text, []byte("step-up")) {
		return http.StatusOK
	}
	return status
}

// ask sends a request, and fails the test unless it is answered well. It keeps the session's cookie.
func (o *operator) ask(method, path string, body any) map[string]any {
	o.t.Helper()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			o.t.Fatal(err)
		}
	}
	status, text := o.send(method, path, sent.String())
	if status >= 300 {
		o.t.Fatalf("%s %s: got %d and %s", method, path, status, text)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			o.t.Fatal(err)
		}
	}
	return out
}

func (o *operator) post(path string, body any) map[string]any {
	o.t.Helper()
	return o.ask(http.MethodPost, path, body)
}

// signedIn returns the owner of a console that owned started.
func signedIn(t *testing.T, address string) *operator {
	t.Helper()
	o := &operator{t: t, address: address}
	o.post("auth/sign-in", map[string]any{"email": "ada@example.com", "password": password})
	return o
}

// tenants returns the IDs of so many tenants.
func (o *operator) tenants(n int) []string {
	o.t.Helper()
	var ids []string
	list, _ := o.ask(http.MethodGet, "tenants?limit=100", nil)["tenants"].([]any)
	for _, t := range list {
		one, _ := t.(map[string]any)
		id, _ := one["id"].(string)
		ids = append(ids, id)
	}
	if len(ids) < n {
		o.t.Fatalf("got %d tenants, want %d", len(ids), n)
	}
	return ids[:n]
}

// counted waits until the reports have n tenants, as the page lists them: a page that is frozen does not see them come.
func (o *operator) counted(n int) {
	o.t.Helper()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		total, _ := o.ask(http.MethodGet, "analytics/tenants?limit=1", nil)["total"].(float64)
		if int(total) >= n {
			return
		}
		if time.Now().After(end) {
			o.t.Fatalf("the reports have %v tenants, want %d", total, n)
		}
	}
}

// invite makes an operator of a role.
func (o *operator) invite(email, role string, scope map[string]any) {
	o.t.Helper()
	made := o.post("invitations", map[string]any{"email": email, "name": role, "role": role, "scope": scope})
	guest := &operator{t: o.t, address: o.address}
	guest.post("auth/accept", map[string]any{"token": made["token"], "password": password})
}

// js writes a value as an expression.
func js(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
