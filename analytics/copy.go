package analytics

import (
	"fmt"
	"reflect"
)

// copyOf returns a deep copy of a request or a report. What their fields that are not exported
// lead to is shared: it never changes, as in a time or a scope.
func copyOf[T any](v T) T {
	out := v
	copyInto(reflect.ValueOf(&out).Elem())
	return out
}

// copyInto replaces what the value leads to by copies.
func copyInto(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool, reflect.String, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		copyInto(c.Elem())
		v.Set(c)
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		for i := range c.Len() {
			copyInto(c.Index(i))
		}
		v.Set(c)
	case reflect.Map:
		copyMap(v)
	case reflect.Struct:
		t := v.Type()
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				copyInto(v.Field(i))
			}
		}
	default: // no request or report has one
		panic(fmt.Sprintf("analytics: a copy of %v", v.Type()))
	}
}

func copyMap(v reflect.Value) {
	if v.IsNil() {
		return
	}
	if usage, ok := v.Interface().(map[string]*Figure); ok { // most of what a report has
		v.Set(reflect.ValueOf(copyFigures(usage)))
		return
	}
	c := reflect.MakeMapWithSize(v.Type(), v.Len())
	for entry := v.MapRange(); entry.Next(); {
		value := reflect.New(v.Type().Elem()).Elem()
		value.Set(entry.Value())
		copyInto(value)
		c.SetMapIndex(entry.Key(), value)
	}
	v.Set(c)
}

func copyFigures(usage map[string]*Figure) map[string]*Figure {
	figures := make([]Figure, 0, len(usage))
	c := make(map[string]*Figure, len(usage))
	for name, f := range usage {
		if f != nil {
			figures = append(figures, *f)
			f = &figures[len(figures)-1]
		}
		c[name] = f
	}
	return c
}
