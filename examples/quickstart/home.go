package main

import (
	"html/template"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

// home is a universal page: the tenant's where the request names one, and the
// service's own where it does not.
func (n *notes) home(w http.ResponseWriter, r *http.Request) {
	data := struct {
		Tenant *tenancy.Tenant
		Prefix string
		Notes  []note
	}{Prefix: middleware.PathPrefix(r.Context())}
	if t, ok := tenancy.FromContext(r.Context()); ok {
		found, err := n.newest(r.Context())
		if err != nil {
			middleware.Refuse(w, r, err, nil)
			return
		}
		data.Tenant, data.Notes = t, found
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, data)
}

var page = template.Must(template.New("home").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{with .Tenant}}{{.Name}}{{else}}Notes{{end}}</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.6 system-ui, sans-serif }
  body { max-width: 38rem; margin: 3rem auto; padding: 0 1.5rem }
  h1 { margin-bottom: 0 } .dim { opacity: .65; margin-top: 0 }
  li { margin: .4rem 0 } time { opacity: .65; font-size: .85rem; margin-left: .5rem }
</style>
<main>
{{if .Tenant}}
  <h1>{{.Tenant.Name}}</h1>
  <p class="dim">Tenant {{.Tenant.ID}}, database {{.Tenant.Placement.Database}} on {{.Tenant.Placement.Server}}</p>
  {{range .Notes}}{{if eq .ID (index $.Notes 0).ID}}<ul>{{end}}<li>{{.Text}} <time>{{.CreatedAt.Format "2006-01-02 15:04:05"}}</time></li>{{else}}<p>No notes yet.</p>{{end}}
  {{if .Notes}}</ul>{{end}}
  <p><a href="{{.Prefix}}/notes">As JSON</a></p>
{{else}}
  <h1>Notes</h1>
  <p class="dim">This page belongs to no tenant. Each tenant has a database of its own.</p>
  <ul>
    <li><a href="/t/acme/">Acme</a></li>
    <li><a href="/t/globex/">Globex</a>, which wants a key</li>
  </ul>
{{end}}
</main>
</html>
`))
