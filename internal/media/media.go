// Package media reads what media types a client would like.
package media

import (
	"mime"
	"strconv"
	"strings"
)

// PrefersHTML reports whether a client that sent these Accept headers would
// rather have HTML than JSON. Only a client that names HTML gets it: the "*/*" of curl
// and of most programs means JSON. A client that sends more than maxAccept bytes is no
// browser. Source: RFC 9110, section 12.5.1.
func PrefersHTML(accept []string) bool {
	const maxAccept = 4 << 10
	length := 0
	for _, line := range accept {
		length += len(line)
	}
	if length > maxAccept {
		return false
	}
	var html, json float64
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			media, params, err := mime.ParseMediaType(item)
			if err != nil {
				continue
			}
			q := 1.0
			if s, ok := params["q"]; ok {
				q, err = strconv.ParseFloat(s, 64)
				if err != nil || !(q >= 0 && q <= 1) {
					continue
				}
			}
			switch media {
			case "text/html", "application/xhtml+xml":
				html = max(html, q)
			case "application/json", "application/problem+json", "application/*", "*/*":
				json = max(json, q)
			}
		}
	}
	return html > json
}
