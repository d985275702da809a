package table

import (
	"hash/maphash"
	"math/bits"

	"github.com/artflow-studio/tenancy"
)

// name is a text of at most [nameLen] bytes in four words. Words and length together are those of no other text. Names are compared and hashed
// without a call, which takes a third off the time of a look.
type name struct{ a, b, c, d uint64 }

const nameLen = 32

// nameOf packs a text of at most nameLen bytes. The words of a text of eight bytes or more overlap, so the length only decides where they
// begin.
func nameOf(s string) name {
	n := len(s)
	switch {
	case n >= 8:
		return name{word(s, 0), word(s, min(8, n-8)), word(s, min(16, n-8)), word(s, n-8)}
	case n >= 4:
		return name{a: uint64(half(s, 0)) | uint64(half(s, n-4))<<32}
	case n > 0:
		return name{a: uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16}
	}
	return name{}
}

// word and half are the bytes from i on, the first the lowest.
func word(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func half(s string, i int) uint32 {
	s = s[i : i+4]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// hasher hashes refs with secret keys, so that nobody can choose names with one hash.
type hasher struct {
	long maphash.Seed
	keys name
}

func newHasher() hasher {
	h := hasher{long: maphash.MakeSeed()}
	for i, key := range []*uint64{&h.keys.a, &h.keys.b, &h.keys.c, &h.keys.d} {
		*key = maphash.Comparable(h.long, i)
	}
	return h
}

// short returns the hash of a name of n bytes: two folded products of 64 by 64 bits,
// as in wyhash, by which Go hashes maps where the processor has no better way.
// Source: https://github.com/wangyi-fudan/wyhash
func (h *hasher) short(w name, n int, kind tenancy.RefKind) uint64 {
	hi, lo := bits.Mul64(w.a^h.keys.a, w.b^h.keys.b)
	hi2, lo2 := bits.Mul64(w.c^h.keys.c^uint64(n)<<8^uint64(kind), w.d^h.keys.d) // n is a length
	return hi ^ lo ^ hi2 ^ bits.RotateLeft64(lo2, 32)
}

// of returns the hash of any ref.
func (h *hasher) of(ref tenancy.Ref) uint64 {
	if n := len(ref.Value); n <= nameLen {
		return h.short(nameOf(ref.Value), n, ref.Kind)
	}
	return maphash.String(h.long, ref.Value) + uint64(ref.Kind)*0x9e3779b97f4a7c15 // odd: see Knuth's multiplicative hashing
}
