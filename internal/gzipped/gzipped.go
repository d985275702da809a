// Package gzipped compresses answers of HTTP for the clients that take them compressed.
package gzipped

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// least is the length from which an answer is compressed: a shorter one is a packet either way.
const least = 1400

// Accepted reports whether a client takes answers with the coding gzip (RFC 9110, section 12.5.3).
func Accepted(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !found || err == nil && weight > 0
	}
	return false
}

// writers are used again: each has more than 100 KiB.
var writers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	return w
}}

// Write answers the request with the status and the body, compressed if the client takes that and it is worth it.
func Write(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	if len(body) < least || !Accepted(r.Header) {
		w.WriteHeader(status)
		_, err := w.Write(body)
		return err
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := writers.Get().(*gzip.Writer) // nothing else is in the pool
	defer writers.Put(z)
	z.Reset(w)
	_, err := z.Write(body)
	if err2 := z.Close(); err == nil {
		err = err2
	}
	return err
}
