package problem

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// statusClientClosed is what proxies log for a client that went away. It has no
// number of its own in HTTP, and nobody reads the answer.
const statusClientClosed = 499

// row is one row of the table that turns errors into HTTP.
type row struct {
	is         []error          // any of them, by errors.Is, or
	as         func(error) bool // by type
	status     []tenancy.Status // if set, also one of these is that of the StatusError
	code       int
	name       string // the last part of the type
	title      string
	detail     string
	level      slog.Level
	retryAfter time.Duration // unless the error says
}

// problems is the table. The first row that matches counts: a server that
// cannot be reached outweighs what else an error says.
var problems = []row{
	{is: []error{context.Canceled}, code: statusClientClosed, name: "cancelled", title: "Cancelled",
		detail: "The request was cancelled.", level: slog.LevelDebug},
	{as: underMaintenance, code: http.StatusServiceUnavailable, name: "maintenance", title: "Under maintenance",
		detail: "This is being worked on. Try again later.", level: slog.LevelInfo, retryAfter: 5 * time.Minute},
	{is: []error{tenancy.ErrUnavailable, tenancy.ErrClosed, context.DeadlineExceeded}, code: http.StatusServiceUnavailable, name: "unavailable",
		title: "Temporarily unavailable", detail: "The service cannot answer at the moment. Try again shortly.",
		level: slog.LevelError, retryAfter: 5 * time.Second},
	{as: named(StepUp), code: http.StatusForbidden, name: StepUp, title: "Credentials wanted again",
		detail: "This action asks for credentials that were shown lately. Show them again.", level: slog.LevelInfo},
	{as: named(Validation), code: http.StatusUnprocessableEntity, name: Validation, title: "Not valid",
		detail: "Some fields of the request are not valid.", level: slog.LevelInfo},
	{as: named(Precondition), code: http.StatusPreconditionFailed, name: Precondition, title: "Changed meanwhile",
		detail: "The thing is not the one that If-Match names. Read it again.", level: slog.LevelInfo},
	{as: named(Required), code: http.StatusPreconditionRequired, name: Required, title: "If-Match wanted",
		detail: "This change asks for the header If-Match with the ETag that was read.", level: slog.LevelInfo},
	{as: named(NotConfigured), code: http.StatusNotFound, name: NotConfigured, title: "Not configured",
		detail: "The service does not use this part.", level: slog.LevelDebug},
	{as: named(Media), code: http.StatusUnsupportedMediaType, name: Media, title: "Not JSON",
		detail: "The request's body is not of the type application/json.", level: slog.LevelInfo},
	{as: named(Misdirected), code: http.StatusMisdirectedRequest, name: Misdirected, title: "Another host",
		detail: "This service does not answer for the host that the request names.", level: slog.LevelInfo},
	{as: named(Mismatch), code: http.StatusUnprocessableEntity, name: Mismatch, title: "Another request had this key",
		detail: "The Idempotency-Key was used for a request with another body.", level: slog.LevelInfo},
	{as: named(Unfinished), code: http.StatusConflict, name: Unfinished, title: "Still being made",
		detail: "The creation of this tenant has not ended. Resume it first, or purge the tenant.", level: slog.LevelInfo},
	{as: named(SecondFactor), code: http.StatusUnauthorized, name: SecondFactor, title: "Second factor wanted",
		detail: "The sign-in lacks its second factor. Send it first: POST auth/second-factor.", level: slog.LevelInfo},
	{as: named(Enrol), code: http.StatusUnauthorized, name: Enrol, title: "No second factor yet",
		detail: "Set up a second factor first: POST auth/enrolment, then POST auth/enrolment/confirm.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrUnresolved}, code: http.StatusNotFound, name: "unresolved", title: "No tenant named",
		detail: "This address leads to no tenant.", level: slog.LevelDebug},
	// A handler that finds no row in its tenant's database has nothing to show.
	{is: []error{tenancy.ErrNotFound, sql.ErrNoRows}, code: http.StatusNotFound, name: "unknown", title: "Not found",
		detail: "There is nothing at this address.", level: slog.LevelDebug},
	{is: []error{tenancy.ErrNotActive}, status: []tenancy.Status{tenancy.StatusProvisioning}, code: http.StatusServiceUnavailable, name: "provisioning",
		title: "Being set up", detail: "This tenant is being set up. Try again in a moment.", level: slog.LevelInfo, retryAfter: 5 * time.Second},
	{is: []error{tenancy.ErrNotActive}, status: []tenancy.Status{tenancy.StatusSuspended}, code: http.StatusForbidden, name: "suspended",
		title: "Suspended", detail: "This tenant is suspended.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrNotActive}, status: []tenancy.Status{tenancy.StatusBlocked}, code: http.StatusForbidden, name: "blocked",
		title: "Blocked", detail: "This tenant is blocked.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrNotActive}, status: []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging}, code: http.StatusGone, name: "archived",
		title: "Gone", detail: "This tenant is closed for good.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrNotActive}, code: http.StatusForbidden, name: "inactive",
		title: "Not active", detail: "This tenant is not active.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrUnauthenticated}, code: http.StatusUnauthorized, name: "unauthenticated", title: "Not authenticated",
		detail: "The request lacks valid credentials.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrForbidden}, code: http.StatusForbidden, name: "forbidden", title: "Forbidden",
		detail: "This request is not allowed.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrLimited}, code: http.StatusTooManyRequests, name: "limited", title: "Too many requests",
		detail: "A limit is reached. Try again later.", level: slog.LevelInfo, retryAfter: time.Second},
	{is: []error{tenancy.ErrExists}, code: http.StatusConflict, name: "exists", title: "Exists already",
		detail: "That name is taken.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrConflict}, code: http.StatusConflict, name: "conflict", title: "Changed meanwhile",
		detail: "Somebody else changed it meanwhile. Read it again.", level: slog.LevelInfo},
	{as: tooLarge, code: http.StatusRequestEntityTooLarge, name: "too-large", title: "Too large",
		detail: "The request's body is too large.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrInvalid}, code: http.StatusBadRequest, name: "invalid", title: "Invalid request",
		detail: "The request is malformed or contradicts itself.", level: slog.LevelInfo},
}

// internal is the row of all errors that match no other.
var internal = row{code: http.StatusInternalServerError, name: "internal", title: "Internal error",
	detail: "Something went wrong on our side.", level: slog.LevelError}

// tooLarge reports whether a body was cut off by http.MaxBytesReader.
func tooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}

// named returns a function that reports whether an error names the row with that name.
func named(name string) func(error) bool {
	return func(err error) bool {
		var e *Error
		return errors.As(err, &e) && e.Name == name
	}
}

// underMaintenance reports whether a request is refused because of maintenance.
func underMaintenance(err error) bool {
	var e *tenancy.MaintenanceError
	return errors.As(err, &e)
}

// classify finds the row of an error. A cancellation that is not the client's
// own is one of ours, such as the end of the program.
func classify(r *http.Request, err error) *row {
	if errors.Is(err, context.Canceled) && r.Context().Err() == nil {
		err = tenancy.ErrUnavailable
	}
	var notActive *tenancy.StatusError
	var status tenancy.Status
	if errors.As(err, &notActive) {
		status = notActive.Status
	}
	for i := range problems {
		p := &problems[i]
		matches := slices.ContainsFunc(p.is, func(is error) bool { return errors.Is(err, is) }) || p.as != nil && p.as(err)
		if matches && (p.status == nil || slices.Contains(p.status, status)) {
			return p
		}
	}
	if end := r.Context().Err(); end != nil && !errors.Is(err, end) {
		return classify(r, end) // whatever failed, failed because nobody waits any more
	}
	return &internal
}
