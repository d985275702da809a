package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// schema is what the document says about one value, as far as TypeScript has a word for it.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 json.RawMessage    `json:"type"` // a name, or a list of names
	Enum                 []any              `json:"enum"`
	Items                *schema            `json:"items"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"` // false, or a schema
	AllOf                []*schema          `json:"allOf"`
	OneOf                []*schema          `json:"oneOf"`
	AnyOf                []*schema          `json:"anyOf"`
}

// document is the part of openapi.json that the types come from.
type document struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema *schema `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// apiTypes returns api-types.ts: a type for each schema of the API's document, and the answer of each path that is read.
func apiTypes(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "..", "openapi.json"))
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	var out bytes.Buffer
	out.WriteString("// Types of the API's answers, made from openapi.json by \"make ui\". Do not edit.\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		t, err := typeOf(doc.Components.Schemas[name], "")
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
		fmt.Fprintf(&out, "\nexport type %s = %s;\n", name, t)
	}
	out.WriteString("\n/** Reads has the answer of each GET, by its path below api/tenancy/. */\nexport interface Reads {\n")
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		answer := doc.Paths[path]["get"].Responses["200"].Content["application/json"].Schema
		if answer == nil {
			continue
		}
		t, err := typeOf(answer, "  ")
		if err != nil {
			return nil, fmt.Errorf("path %s: %w", path, err)
		}
		fmt.Fprintf(&out, "  %q: %s;\n", strings.TrimPrefix(path, "/api/tenancy/"), t)
	}
	out.WriteString("}\n")
	return out.Bytes(), nil
}

// typeOf writes a schema as a type. The indent is that of the line which the type begins in.
func typeOf(s *schema, indent string) (string, error) {
	switch {
	case s == nil:
		return "unknown", nil
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/"), nil
	case len(s.Enum) > 0:
		return joined(s.Enum, " | ", func(v any) (string, error) {
			text, err := json.Marshal(v)
			return string(text), err
		})
	case len(s.AllOf) > 0:
		return joined(s.AllOf, " & ", func(s *schema) (string, error) { return typeOf(s, indent) })
	case len(s.OneOf)+len(s.AnyOf) > 0:
		return joined(append(s.OneOf, s.AnyOf...), " | ", func(s *schema) (string, error) { return typeOf(s, indent) })
	}
	names, err := typeNames(s.Type)
	if err != nil {
		return "", err
	}
	return joined(names, " | ", func(name string) (string, error) {
		switch name {
		case "string", "boolean", "null":
			return name, nil
		case "integer", "number":
			return "number", nil
		case "array":
			of, err := typeOf(s.Items, indent)
			if strings.ContainsAny(of, " ") && !strings.HasSuffix(of, "}") {
				of = "(" + of + ")"
			}
			return of + "[]", err
		case "object":
			return objectOf(s, indent)
		case "":
			return "unknown", nil
		}
		return "", fmt.Errorf("type %q has no word in TypeScript", name)
	})
}

// typeNames reads a type, which is a name, a list of names, or missing.
func typeNames(raw json.RawMessage) ([]string, error) {
	var name string
	var list []string
	switch {
	case raw == nil:
		return []string{""}, nil
	case json.Unmarshal(raw, &name) == nil:
		return []string{name}, nil
	}
	err := json.Unmarshal(raw, &list)
	return list, err
}

// plainKey is a property's name that needs no quotes.
var plainKey = regexp.MustCompile(`^[A-Za-z_]\w*$`)

func objectOf(s *schema, indent string) (string, error) {
	if len(s.Properties) == 0 {
		rest := "unknown"
		if of := string(s.AdditionalProperties); of != "" && of != "true" && of != "false" {
			var value schema
			if err := json.Unmarshal(s.AdditionalProperties, &value); err != nil {
				return "", err
			}
			var err error
			if rest, err = typeOf(&value, indent); err != nil {
				return "", err
			}
		}
		return "{ [name: string]: " + rest + " }", nil
	}
	var out strings.Builder
	out.WriteString("{\n")
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		t, err := typeOf(s.Properties[name], indent+"  ")
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		key := name
		if !plainKey.MatchString(name) {
			key = strconv.Quote(name)
		}
		if !slices.Contains(s.Required, name) {
			key += "?"
		}
		fmt.Fprintf(&out, "%s  %s: %s;\n", indent, key, t)
	}
	out.WriteString(indent + "}")
	return out.String(), nil
}

func joined[T any](all []T, by string, one func(T) (string, error)) (string, error) {
	texts := make([]string, len(all))
	var first error
	for i, v := range all {
		var err error
		texts[i], err = one(v)
		first = cmp.Or(first, err)
	}
	return strings.Join(texts, by), first
}
