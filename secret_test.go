package tenancy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

type (
	holder       struct{ secret tenancy.Secret }
	pointer      struct{ secret *tenancy.Secret }
	deep         struct{ inner holder }
	deepPointer  struct{ inner *holder }
	deepSlice    struct{ inner []tenancy.Secret }
	deepMap      struct{ inner map[string]tenancy.Secret }
	deepAny      struct{ inner any }
	exported     struct{ Secret tenancy.Secret }
	exportedDeep struct{ Inner *exported }
	embedded     struct{ tenancy.Secret }
)

func TestSecretIsNotSeen(t *testing.T) {
	t.Parallel()
	const planted = "pl4nted-s3cret"
	s := tenancy.NewSecret(planted)
	leaks := []string{
		planted, hex.EncodeToString([]byte(planted)), strings.ToUpper(hex.EncodeToString([]byte(planted))),
		base64.StdEncoding.EncodeToString([]byte(planted)), strings.Trim(fmt.Sprintf("%d", []byte(planted)), "[]"),
	}
	look := func(how string, v any, out string) {
		t.Helper()
		for _, leak := range leaks {
			if strings.Contains(out, leak) {
				t.Errorf("%s of a %T: got %q, want it without the secret", how, v, out)
			}
		}
	}
	for _, v := range []any{
		s, &s, holder{s}, &holder{s}, pointer{&s}, &pointer{&s}, deep{holder{s}}, &deep{holder{s}}, deepPointer{&holder{s}},
		&deepPointer{&holder{s}}, deepSlice{[]tenancy.Secret{s}}, deepMap{map[string]tenancy.Secret{"k": s}}, deepAny{s}, deepAny{&s},
		deepAny{holder{s}}, exported{s}, &exported{s}, exportedDeep{&exported{s}}, embedded{s}, &embedded{s}, []tenancy.Secret{s},
		[1]tenancy.Secret{s}, []*tenancy.Secret{&s}, map[string]tenancy.Secret{"k": s}, map[tenancy.Secret]int{s: 1}, []any{s, holder{s}},
		&[]any{&s}, struct{ S any }{s},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%#q", "%x", "%X", "% x", "%d", "%t", "%p", "%U", "%c", "%e", "%10.3s", "%w"} {
			look(verb, v, fmt.Sprintf(verb, v))
		}
		look("Sprint", v, fmt.Sprint(v))
		look("Errorf", v, fmt.Errorf("open %v: %w", v, errors.ErrUnsupported).Error())
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var out bytes.Buffer
			l := slog.New(handler(&out))
			l.Info("direct", "v", v)
			l.With("v", v).WithGroup("g").Info("with", slog.Group("h", "v", v))
			l.Info(fmt.Sprint("message ", v), "err", fmt.Errorf("%+v", v))
			look("slog", v, out.String())
			if strings.Count(out.String(), "\n") != 3 {
				t.Errorf("slog of a %T: got %q, want three records", v, out.String())
			}
		}
		if out, err := json.Marshal(v); err != nil {
			t.Errorf("json.Marshal of a %T: %v", v, err)
		} else {
			look("json.Marshal", v, string(out))
		}
		out, _ := xml.Marshal(v) // maps are none of its types
		look("xml.Marshal", v, string(out))
	}
}

func TestSecretSaysRedacted(t *testing.T) {
	t.Parallel()
	s := tenancy.NewSecret("pl4nted-s3cret")
	if got := s.Reveal(); got != "pl4nted-s3cret" {
		t.Errorf("Reveal() = %q, want the text", got)
	}
	if got := (tenancy.Secret{}).Reveal(); got != "" {
		t.Errorf("Reveal() of the zero Secret = %q, want nothing", got)
	}
	inJSON, err := json.Marshal(exported{s})
	for _, tt := range []struct{ how, got, want string }{
		{"String", s.String(), "[redacted]"},
		{"%v", fmt.Sprintf("%v", s), "[redacted]"},
		{"%#v", fmt.Sprintf("%#v", s), "[redacted]"},
		{"%q", fmt.Sprintf("%q", s), `"[redacted]"`},
		{"%+v in a struct", fmt.Sprintf("%+v", exported{s}), "{Secret:[redacted]}"},
		{"zero", fmt.Sprint(tenancy.Secret{}), "[redacted]"},
		{"slog's type", fmt.Sprintf("%T", slog.Any("k", s).Value.Resolve().Any()), "string"},
		{"slog", slog.Any("k", s).Value.Resolve().String(), "[redacted]"},
		{"json", string(inJSON), `{"Secret":"[redacted]"}`},
	} {
		if err != nil || tt.got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.how, tt.got, err, tt.want)
		}
	}
}
