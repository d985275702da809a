package analytics

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"reflect"
	"time"
)

// shareKey is the digest of all that an answer depends on.
type shareKey [sha256.Size]byte

// keyOf returns the key of values, which are whole in it: values of the same types with another
// content have another key. A period that ends within the age of now counts as one that ends now:
// an answer may be as old as that.
func keyOf(now time.Time, age time.Duration, values ...any) shareKey {
	w := keyWriter{sha256.New(), now, age}
	for _, v := range values {
		w.write(reflect.ValueOf(v))
	}
	return shareKey(w.hash.Sum(nil))
}

// keyWriter writes values so that no two write the same bytes.
type keyWriter struct {
	hash hash.Hash
	now  time.Time
	age  time.Duration
}

func (w *keyWriter) number(n uint64) {
	w.hash.Write(binary.BigEndian.AppendUint64(nil, n))
}

func (w *keyWriter) write(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		w.number(uint64(v.Len())) // a length
		w.hash.Write([]byte(v.String()))
	case reflect.Bool:
		n := uint64(0)
		if v.Bool() {
			n = 1
		}
		w.number(n)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.number(uint64(v.Int())) // its bits
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.number(v.Uint())
	case reflect.Float64:
		w.number(math.Float64bits(v.Float()))
	case reflect.Pointer:
		if v.IsNil() {
			w.number(0)
			return
		}
		w.number(1)
		w.write(v.Elem())
	case reflect.Slice:
		w.number(uint64(v.Len())) // a length
		for i := range v.Len() {
			w.write(v.Index(i))
		}
	case reflect.Struct:
		w.structure(v)
	default: // nothing that is asked has one
		panic(fmt.Sprintf("analytics: a key of %v", v.Type()))
	}
}

func (w *keyWriter) structure(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		w.time(v.Interface().(time.Time)) // it is one
		return
	case reflect.TypeFor[Period]():
		p := v.Interface().(Period) // it is one
		if p.From.Before(p.To) && p.To.Sub(w.now).Abs() <= w.age {
			w.number(1)
			w.number(uint64(p.To.Sub(p.From))) // its bits
			return
		}
		w.number(0)
		w.time(p.From)
		w.time(p.To)
		return
	}
	for i := range v.NumField() {
		w.write(v.Field(i)) // also those that are not exported: a scope has no others
	}
}

func (w *keyWriter) time(t time.Time) {
	w.number(uint64(t.Unix())) // its bits
	w.number(uint64(t.Nanosecond()))
}
