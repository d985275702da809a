package middleware

import (
	"net/http"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

// write adds the headers.
func (c *count) write(h http.Header, limits []ratelimit.Limit) {
	const state, policy = "Ratelimit", "Ratelimit-Policy" // canonical
	b := c.text[:0]
	for i := range limits {
		b = appendItem(b, &limits[i], i > 0)
		b = appendParam(b, ";r=", limits[i].Remaining)
		if limits[i].After > 0 {
			b = appendParam(b, ";t=", seconds(limits[i].After))
		}
	}
	n := len(b)
	for i := range limits {
		rate := &limits[i].Rate
		b = appendItem(b, &limits[i], i > 0)
		b = appendParam(b, ";q=", rate.Limit)
		b = appendParam(b, ";w=", max(seconds(rate.Period), 1))
	}
	c.text = b
	text := string(b)
	if h[state] == nil && h[policy] == nil {
		both := []string{text[:n], text[n:]}
		h[state], h[policy] = both[:1:1], both[1:]
		return
	}
	h[state], h[policy] = append(h[state], text[:n]), append(h[policy], text[n:])
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((max(d, 1)-1)/time.Second) + 1 }

// appendItem appends a string of RFC 9651, section 3.3.3.
func appendItem(b []byte, l *ratelimit.Limit, next bool) []byte {
	if next {
		b = append(b, ", "...)
	}
	b = append(b, '"')
	b = appendName(b, l)
	return append(b, '"')
}

// appendName appends the kind and the class. Characters of the class that would need an escape become
// underscores.
func appendName(b []byte, l *ratelimit.Limit) []byte {
	b = append(b, l.Kind.String()...)
	if l.Class == "" {
		return b
	}
	b = append(b, '.')
	for i := range len(l.Class) {
		switch c := l.Class[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '/':
			b = append(b, c)
		default:
			b = append(b, '_')
		}
	}
	return b
}

// appendParam appends a parameter, an integer of RFC 9651, section 3.3.1.
func appendParam(b []byte, name string, n int64) []byte {
	const most = 999_999_999_999_999
	b = append(b, name...)
	return strconv.AppendInt(b, min(max(n, 0), most), 10)
}
