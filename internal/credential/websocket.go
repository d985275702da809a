package credential

import (
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
)

var errEmpty = fmt.Errorf("%w: a subprotocol for a credential, without one", tenancy.ErrInvalid)

// WebSocketProtocol is what a subprotocol begins with that carries a credential.
const WebSocketProtocol = "tenancy.bearer."

// OfWebSocket returns the credential among the subprotocols that a WebSocket's handshake
// offers, and the others, in order. Without one, or if the request is no handshake, ok is
// false. Several, an empty one, and one beside the header Authorization are errors that wrap
// [tenancy.ErrInvalid]. Source of the handshake: RFC 6455, section 4.1.
func OfWebSocket(r *http.Request) (token string, others []string, ok bool, err error) {
	handshake := false
	for protocol := range listed(r.Header["Upgrade"]) {
		handshake = handshake || r.Method == http.MethodGet && strings.EqualFold(protocol, "websocket")
	}
	if !handshake {
		return "", nil, false, nil
	}
	for protocol := range listed(r.Header["Sec-Websocket-Protocol"]) {
		text, found := strings.CutPrefix(protocol, WebSocketProtocol)
		switch {
		case !found:
			others = append(others, protocol)
		case text == "":
			return "", nil, false, errEmpty
		case ok || len(r.Header["Authorization"]) > 0:
			return "", nil, false, errSeveral
		default:
			token, ok = text, true
		}
	}
	return token, others, ok, nil
}

// listed yields the elements of a header whose lines are lists.
func listed(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for element := range strings.SplitSeq(line, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}
