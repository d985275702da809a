package auth

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/artflow-studio/tenancy"
)

const (
	minPassword = 15
	maxPassword = 256
)

// keyboardRows are what people type with one finger, forwards and backwards.
var keyboardRows = []string{"`1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiop", "azertyuiop", "abcdefghijklmnopqrstuvwxyz"}

// checkPassword refuses passwords that are guessed first. words are what the password must not contain, in any case: the host's
// and the product's name, the name in front of the @ of the operator's address. The error wraps [tenancy.ErrInvalid] and does not
// show the password.
func checkPassword(password string, words ...string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: password: %s", tenancy.ErrInvalid, why) }
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return refuse("it is not valid UTF-8")
	case n < minPassword || n > maxPassword:
		return refuse(fmt.Sprintf("it has %d characters, want %d to %d", n, minPassword, maxPassword))
	}
	lower := strings.ToLower(password)
	for _, w := range words {
		if w = strings.ToLower(w); len(w) >= 4 && strings.Contains(lower, w) {
			return refuse("it contains the name of the service or of the operator")
		}
	}
	if period(lower) <= n/2 {
		return refuse("it repeats itself")
	}
	if rows(lower) {
		return refuse("it is a row of the keyboard or the alphabet")
	}
	if oneWord(lower) {
		return refuse("it is one word, repeated")
	}
	return nil
}

// period returns the length, in characters, of the shortest text of which s is a repetition, the last one perhaps cut off.
func period(s string) int {
	r := []rune(s)
	fail := make([]int, len(r))
	for i, k := 1, 0; i < len(r); i++ { // the failure function of Knuth, Morris and Pratt
		for k > 0 && r[i] != r[k] {
			k = fail[k-1]
		}
		if r[i] == r[k] {
			k++
		}
		fail[i] = k
	}
	return len(r) - fail[len(r)-1]
}

// rows reports whether s consists of few runs along rows of the keyboard or the alphabet, in either direction.
func rows(s string) bool {
	r := []rune(s)
	runs := 1
	step := 0
	for i := 1; i < len(r); i++ {
		next := stepOf(r[i-1], r[i])
		if next == 0 || step != 0 && next != step {
			runs++
			step = 0
			continue
		}
		step = next
	}
	return runs <= len(r)/5
}

// stepOf returns 1 or -1 if b is beside a in a row, and 0 otherwise.
func stepOf(a, b rune) int {
	for _, row := range keyboardRows {
		i := strings.IndexRune(row, a)
		if i < 0 {
			continue
		}
		switch j := strings.IndexRune(row, b); {
		case j == i+1:
			return 1
		case j >= 0 && j == i-1:
			return -1
		}
	}
	return 0
}

// oneWord reports whether all words of s, taken apart at what is no letter, are the same.
func oneWord(s string) bool {
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, w := range words {
		if w != words[0] {
			return false
		}
	}
	return len(words) > 1
}
