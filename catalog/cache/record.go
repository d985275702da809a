package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/intern"
)

// redisRecord is what a text in Redis says; see redis.lua.
type redisRecord struct {
	epoch  string
	seq    int64
	time   int64           // of the server, in microseconds
	tenant *tenancy.Tenant // nil: a mark
}

// recordFormat names the format of a record. Programs whose tenants have other
// fields have another: what one does not know it would lose for all.
func recordFormat() string {
	var fields strings.Builder
	describe(&fields, reflect.TypeFor[tenancy.Tenant](), map[reflect.Type]bool{})
	return fmt.Sprintf("1.%08x", crc32.ChecksumIEEE([]byte(fields.String())))
}

// describe writes the fields of a type, and of the types in it that are of the
// same package.
func describe(w *strings.Builder, t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		describe(w, t.Elem(), seen)
	case reflect.Struct:
		if seen[t] || t.PkgPath() != reflect.TypeFor[tenancy.Tenant]().PkgPath() {
			return
		}
		seen[t] = true
		for _, f := range reflect.VisibleFields(t) {
			fmt.Fprintln(w, f.Name, f.Type, f.Tag)
			describe(w, f.Type, seen)
		}
	default:
	}
}

// decodeRecord reads a text from Redis, which may hold anything.
func decodeRecord(text, format string) (redisRecord, error) {
	part := strings.SplitN(text, " ", 5)
	if len(part) != 5 || part[0] != format {
		return redisRecord{}, fmt.Errorf("not of the format %s", format)
	}
	r := redisRecord{epoch: part[1]}
	var err error
	if r.seq, err = strconv.ParseInt(part[2], 10, 64); err != nil {
		return redisRecord{}, err
	}
	if r.time, err = strconv.ParseInt(part[3], 10, 64); err != nil {
		return redisRecord{}, err
	}
	if part[4] == "-" {
		return r, nil
	}
	r.tenant = &tenancy.Tenant{}
	if err := json.Unmarshal([]byte(part[4]), r.tenant); err != nil {
		return redisRecord{}, err
	}
	if r.tenant.Version < 1 {
		return redisRecord{}, errors.New("no version")
	}
	if err := r.tenant.Validate(); err != nil {
		return redisRecord{}, err
	}
	r.tenant.Status = intern.Status(r.tenant.Status)
	r.tenant.CreatedAt, r.tenant.UpdatedAt = r.tenant.CreatedAt.UTC(), r.tenant.UpdatedAt.UTC()
	return r, nil
}

// removedPrefix begins the line of an entry of the log that names a tenant that was removed. Programs
// from before there were any leave it out.
const removedPrefix = "removed:"

// parseRefs reads the refs of an entry of the log, and the tenants that were removed. What is
// neither is left out.
func parseRefs(text string) (refs []tenancy.Ref, removed []tenancy.ID) {
	kinds := map[string]tenancy.RefKind{}
	for _, k := range []tenancy.RefKind{tenancy.RefID, tenancy.RefSlug, tenancy.RefDomain} {
		kinds[k.String()] = k
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if id, ok := strings.CutPrefix(line, removedPrefix); ok && tenancy.ID(id).Validate() == nil {
			removed = append(removed, tenancy.ID(id))
			continue
		}
		kind, value, _ := strings.Cut(line, ":")
		if ref, err := tenancy.NewRef(kinds[kind], value); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs, removed
}
