package admin

import (
	"net/http"

	"github.com/artflow-studio/tenancy/analytics"
)

// renewer makes an operator see a change in the next answer: before the change is answered, reports that are kept for others who ask the
// same are forgotten.
type renewer struct {
	http.ResponseWriter
	reports *analytics.Reports
	done    bool
}

func (w *renewer) renew() {
	if !w.done {
		w.done = true
		w.reports.Renew()
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *renewer) WriteHeader(status int) {
	w.renew()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *renewer) Write(b []byte) (int, error) {
	w.renew()
	return w.ResponseWriter.Write(b)
}

// Unwrap leads to the writer that has the other abilities.
func (w *renewer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
