package middleware

import (
	"maps"
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/internal/request"
)

// WebSocketProtocol is what a subprotocol begins with that carries a credential, which follows at once. See
// [WebSocketBearer].
const WebSocketProtocol = credential.WebSocketProtocol

// WebSocketBearer takes the credential of a WebSocket out of its subprotocols and hands it on as a bearer token in
// the header Authorization, so that resolvers and authenticators find it there. Browsers let no script set headers
// of a WebSocket's handshake, and a token in the address would be in logs. The page offers the credential beside a
// subprotocol of the application's own:
//
//	new WebSocket(url, ["chat", "tenancy.bearer." + token])
//
// Put it in front of [Standard] or [Tenant]. Handlers behind do not see that subprotocol, so none answers with it;
// they must choose the other one, because browsers end a connection whose answer names none of those that were
// offered. Tokens of package token and API keys can stand in a subprotocol; other texts only if they have no character
// besides letters, digits and !#$%&'*+-.^_`|~.
//
// Several credentials, also one beside the header Authorization, are refused with an error that wraps
// [tenancy.ErrInvalid]. Requests that are no WebSocket's handshake go on as they are. Cookies are not looked at: who
// authenticates by them checks the header Origin.
func WebSocketBearer(opts *Options) func(http.Handler) http.Handler {
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, others, ok, err := credential.OfWebSocket(r)
			switch {
			case err != nil:
				o.refuse(w, r, tenancy.Wrap("middleware.WebSocketBearer", "", err))
			case !ok:
				next.ServeHTTP(w, r)
			default:
				request.ServeHeader(next, w, r, withBearer(r.Header, token, others))
			}
		})
	}
}

func withBearer(h http.Header, token string, protocols []string) http.Header {
	h = maps.Clone(h)
	h["Authorization"] = []string{"Bearer " + token}
	delete(h, "Sec-Websocket-Protocol")
	if len(protocols) > 0 {
		h["Sec-Websocket-Protocol"] = []string{strings.Join(protocols, ", ")}
	}
	return h
}
