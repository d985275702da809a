package admin

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// decode reads the body into v: one JSON object, with each name once and as the document has it. encoding/json alone takes the last of two
// values, any case of a name, null for an object, and replaces what is not UTF-8: somebody who looks at the same body in front of the
// console, such as a proxy with rules, may see another request.
func (c *call) decode(v any) error {
	sent := c.r.Header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(sent)
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return problem.New(problem.Media, fmt.Errorf("%w: Content-Type %.80q", tenancy.ErrInvalid, sent))
	}
	body, err := c.readBody()
	if err != nil {
		return err
	}
	_, names := v.(*map[string]json.RawMessage) // names that the client chooses
	if err := checkObject(body, names); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: body: %w", tenancy.ErrInvalid, err)
	}
	if !bytes.Contains(body, []byte("null")) {
		return nil
	}
	return checkNulls(reflect.TypeOf(v).Elem(), body, "")
}

var (
	jsonType = reflect.TypeFor[json.Unmarshaler]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// checkNulls reports a null where t has a number or a boolean, in a body that was decoded. encoding/json leaves zero there, which is often the
// most dangerous value: a token that is valid for no time, or a key for ever. at is where value is in the body, as a JSON pointer.
func checkNulls(t reflect.Type, value json.RawMessage, at string) error {
	if t.Kind() == reflect.Bool || t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 {
		if string(value) == "null" {
			return invalidField(strings.TrimPrefix(at, "/"), "Want a value, not null.")
		}
		return nil
	}
	if p := reflect.PointerTo(t); p.Implements(jsonType) || p.Implements(textType) || string(value) == "null" {
		return nil
	}
	parts := map[string]json.RawMessage{} // of an array by their index
	switch t.Kind() {
	case reflect.Pointer:
		return checkNulls(t.Elem(), value, at)
	case reflect.Struct, reflect.Map:
		_ = json.Unmarshal(value, &parts)
	case reflect.Slice:
		var list []json.RawMessage
		_ = json.Unmarshal(value, &list) // bytes are none
		for i, part := range list {
			parts[strconv.Itoa(i)] = part
		}
	}
	for name, part := range parts {
		var of reflect.Type
		if t.Kind() != reflect.Struct {
			of = t.Elem()
		} else if of = fieldType(t, name); of == nil {
			continue
		}
		if err := checkNulls(of, part, at+"/"+pointerEscape(name)); err != nil {
			return err
		}
	}
	return nil
}

// fieldType returns the type of the struct's field that encoding/json takes for a name, or nil.
func fieldType(t reflect.Type, name string) reflect.Type {
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && !f.Anonymous && strings.EqualFold(cmp.Or(tag, f.Name), name) {
			return f.Type
		}
	}
	return nil
}

// isFieldName reports whether a name can be one of the API's fields.
func isFieldName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' })
}

// maxDepth is how many values of a body may be open at once. The deepest field of the API has five. Each costs memory, in which a body of a
// mebibyte would have hundreds of thousands.
const maxDepth = 32

// checkObject reports a body that is not one JSON object, is too deep, or has a name twice. Unless anyNames, its names must be as fields of the
// API are.
func checkObject(body []byte, anyNames bool) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: body: not UTF-8", tenancy.ErrInvalid)
	}
	// level is a value that is open: an object has names, an array none.
	type level struct {
		names map[string]bool
		key   bool // a name comes next
	}
	var open []level
	dec := json.NewDecoder(bytes.NewReader(body))
	for first := true; ; first = false {
		token, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF) && !first && len(open) == 0:
			return nil
		case err != nil:
			return fmt.Errorf("%w: body: %w", tenancy.ErrInvalid, err)
		case first && token != json.Delim('{'):
			return fmt.Errorf("%w: body: want an object", tenancy.ErrInvalid)
		case !first && len(open) == 0:
			return fmt.Errorf("%w: something behind the body's value", tenancy.ErrInvalid)
		}
		if n := len(open); n > 0 && open[n-1].key {
			if name, ok := token.(string); ok {
				if open[n-1].names[name] || n == 1 && !anyNames && !isFieldName(name) {
					return fmt.Errorf("%w: body: the name %.80q is there twice, or none of a field", tenancy.ErrInvalid, name)
				}
				open[n-1].names[name], open[n-1].key = true, false
				continue
			}
		}
		if (token == json.Delim('{') || token == json.Delim('[')) && len(open) == maxDepth {
			return fmt.Errorf("%w: body: more than %d values within each other", tenancy.ErrInvalid, maxDepth)
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{map[string]bool{}, true})
			continue
		case json.Delim('['):
			open = append(open, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if n := len(open); n > 0 && open[n-1].names != nil {
			open[n-1].key = true
		}
	}
}

// bodyWait is how long a client may take to send a body.
const bodyWait = 30 * time.Second

// The most that a request's body may have: anybody's, and that of somebody who is signed in.
const (
	maxAnybodysBody = 64 << 10
	maxBody         = 1 << 20
)

// readBody returns the body, which may be read many times.
func (c *call) readBody() ([]byte, error) {
	if c.body != nil {
		return c.body, nil
	}
	most := int64(maxBody)
	if c.row.audience == everybody {
		most = maxAnybodysBody
	}
	in := http.NewResponseController(c.w)
	_ = in.SetReadDeadline(time.Now().Add(bodyWait)) // a writer without deadlines is the application's
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, most))
	_ = in.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: body: %w", tenancy.ErrInvalid, err)
	}
	c.body = body
	return body, nil
}
