package middleware_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

const offered = "Sec-Websocket-Protocol"

// What a browser offers beside its subprotocol becomes a bearer token, in a handshake alone.
func TestWebSocketBearer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		header    []string // names and values in turn
		code      int
		token     string
		protocols []string
	}{
		{"beside another", []string{"Upgrade", "websocket", offered, "chat, tenancy.bearer.a.b-c_d"}, 204, "a.b-c_d", []string{"chat"}},
		{"in lines of their own", []string{"Upgrade", "WebSocket", offered, "tenancy.bearer.x", offered, "chat,\tv2"}, 204, "x", []string{"chat, v2"}},
		{"alone", []string{"Upgrade", "h2c, websocket", offered, "tenancy.bearer.x"}, 204, "x", nil},
		{"none", []string{"Upgrade", "websocket", offered, "chat,v2"}, 204, "", []string{"chat,v2"}},
		{"no handshake", []string{offered, "tenancy.bearer.x"}, 204, "", []string{"tenancy.bearer.x"}},
		{"another upgrade", []string{"Upgrade", "h2c", offered, "tenancy.bearer.x"}, 204, "", []string{"tenancy.bearer.x"}},
		{"two", []string{"Upgrade", "websocket", offered, "tenancy.bearer.x, tenancy.bearer.x"}, 400, "", nil},
		{"beside the header", []string{"Upgrade", "websocket", offered, "tenancy.bearer.x", "Authorization", "Bearer x"}, 400, "", nil},
		{"beside a password", []string{"Upgrade", "websocket", offered, "tenancy.bearer.x", "Authorization", "Basic eA=="}, 400, "", nil},
		{"empty", []string{"Upgrade", "websocket", offered, "chat, tenancy.bearer."}, 400, "", nil},
	} {
		r := get("/")
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Add(tt.header[i], tt.header[i+1])
		}
		before := r.Header.Clone()
		var token string
		var protocols []string
		w := serveTo(middleware.WebSocketBearer(quiet)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, protocols = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header[offered]
			w.WriteHeader(http.StatusNoContent)
		})), r)
		if diff := cmp.Diff(tt.protocols, protocols); w.Code != tt.code || token != tt.token || diff != "" {
			t.Errorf("%s: got %d, the token %q, and of the protocols (-want +got):\n%s", tt.name, w.Code, token, diff)
		}
		if diff := cmp.Diff(before, r.Header); diff != "" {
			t.Errorf("%s: the request in front has another header (-before +after):\n%s", tt.name, diff)
		}
		if strings.Contains(w.Body.String(), "bearer.x") {
			t.Errorf("%s: the answer shows the credential: %s", tt.name, w.Body)
		}
	}
}

// A key in a subprotocol names its tenant and is valid there alone, and the answer names the other subprotocol.
func TestWebSocketWithKey(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key, id := s.issue(t, s.acme, catalog.APIKeySpec{})
	keys := tenancy.Must(resolver.NewAPIKey("test"))
	h := through(middleware.WebSocketBearer(quiet), tenancy.Must(middleware.Tenant(s, tenancy.Must(resolver.Agree(s, bySubdomain, keys)), quiet)),
		tenancy.Must(middleware.Authenticate(newKeys(t, nil), quiet)))
	send := serve(t, h(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := middleware.PrincipalOf(r.Context())
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + offered + ": " + r.Header.Get(offered) + "\r\n\r\n" + p.ID)
		_ = buf.Flush()
	})))
	for host, want := range map[string]int{"acme.example.com": 101, "example.com": 101, "globex.example.com": 400} {
		_, answer := send("GET /live HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + offered + ": tenancy.bearer." + key + ", chat\r\n\r\n")
		res, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // what follows belongs to the other protocol
		if res.StatusCode != want {
			t.Errorf("%s: got %s, want %d", host, res.Status, want)
			continue
		}
		if want != http.StatusSwitchingProtocols {
			continue
		}
		said, err := io.ReadAll(answer)
		if string(said) != id || err != nil || res.Header.Get(offered) != "chat" {
			t.Errorf("%s: got the subprotocol %q and %q, %v, want chat, and the key's ID %q", host, res.Header.Get(offered), said, err, id)
		}
	}
}
