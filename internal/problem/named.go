package problem

import "slices"

// Names of the rows for which the root has no sentinel. An [Error] names its row.
const (
	StepUp        = "step-up"
	Validation    = "validation"
	Precondition  = "precondition"
	Required      = "precondition-required"
	NotConfigured = "not-configured"
	Media         = "media"
	Misdirected   = "misdirected"
	Mismatch      = "key-mismatch"
	Unfinished    = "unfinished"
	// What a sign-in lacks.
	SecondFactor = "second-factor"
	Enrol        = "enrol"
)

// Error is an error that names its row in the table, for rows without a sentinel.
type Error struct {
	Name string
	Err  error
	// Detail, if it is set, replaces the row's text. It is for clients.
	Detail string
	// Fields are the parts of the request that are wrong.
	Fields []Field
}

// Field names a part of a request, and what is wrong with it. Its texts are for clients.
type Field struct {
	// Pointer is a JSON pointer into the body (RFC 6901), or the name of a parameter behind "?".
	Pointer string `json:"pointer"`
	// Code is for programs, such as "malformed", and Text for people.
	Code string `json:"code"`
	Text string `json:"text"`
}

// New returns an error of that row. err is for logs.
func New(name string, err error, fields ...Field) *Error {
	return &Error{Name: name, Err: err, Fields: slices.Clone(fields)}
}

// Say returns an error of that row with a detail of its own, which is for clients. err is for logs.
func Say(name, detail string, err error) *Error {
	return &Error{Name: name, Err: err, Detail: detail}
}

// Error returns the text for logs.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error underneath.
func (e *Error) Unwrap() error { return e.Err }
