// Package token authenticates the users of tenants by tokens that the service signs
// itself, each for exactly one tenant.
//
// A token is a JSON Web Token (RFC 7519) with the claims iss (the service), aud (the
// tenant's ID), sub (the user), scope, jti, iat, nbf, exp and gen, signed with
// HMAC-SHA256. The signing key is derived (HKDF, RFC 5869) from one of the service's
// master keys and the tenant's ID: a token of one tenant is not even well signed at
// another. Tokens of other issuers are verified by the application's own
// authenticator, behind the same interface.
//
// Verifying needs no I/O: revocations are in the tenant's record.
package token

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/internal/signed"
	"github.com/artflow-studio/tenancy/middleware"
)

var _ middleware.Authenticator = (*Tokens)(nil)

const (
	// maxToken is the size of the longest token that is verified, in bytes.
	maxToken = 8 << 10
	// typ tells these tokens from those of other issuers.
	typ = "tenant+jwt"
	alg = "HS256"
)

// Key is a master key.
type Key struct {
	// ID is in each token that the key has signed: 1 to 64 letters, digits, hyphens and underscores. It is not
	// secret.
	ID string
	// Secret has at least 32 bytes and comes from a random source.
	Secret tenancy.Secret
}

// Options are the options of [New].
type Options struct {
	// TTL is how long a token is valid if [Tokens.Issue] is not given another time. Default: 15 minutes.
	TTL time.Duration
	// Leeway is how far clocks may differ. Negative: not at all. Default: 10 seconds.
	Leeway time.Duration
}

// Tokens issues and verifies tokens. It is a [middleware.Authenticator]. Its methods
// may be called by many goroutines at once.
type Tokens struct {
	issuer      string
	keys        []master
	ttl, leeway time.Duration
	parser      *jwt.Parser
}

// master is a master key.
type master struct {
	id     string
	prk    tenancy.Secret // from which tenants' keys are derived
	header string         // of tokens that are signed with it, encoded
}

// New returns the tokens of the issuer, a permanent name of the service. The first key signs, all keys verify.
// To rotate keys, put a new one in front, and remove the old one when its tokens have expired. Malformed
// arguments are errors that wrap [tenancy.ErrInvalid].
func New(issuer string, keys []Key, opts *Options) (*Tokens, error) {
	const op = "token.New"
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	t := &Tokens{issuer: issuer, ttl: o.TTL, leeway: o.Leeway}
	if issuer == "" || !utf8.ValidString(issuer) || len(keys) == 0 {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: want an issuer and a key", tenancy.ErrInvalid))
	}
	for _, k := range keys {
		m, err := newMaster(k)
		if err == nil && slices.ContainsFunc(t.keys, func(other master) bool { return other.id == k.ID }) {
			err = fmt.Errorf("%w: two keys %s", tenancy.ErrInvalid, k.ID)
		}
		if err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
		t.keys = append(t.keys, m)
	}
	t.parser = jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithStrictDecoding(), jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(t.leeway))
	return t, nil
}

func (o *Options) complete() error {
	o.TTL = cmp.Or(o.TTL, 15*time.Minute)
	o.Leeway = max(cmp.Or(o.Leeway, 10*time.Second), 0)
	if o.TTL < time.Second {
		return fmt.Errorf("%w: TTL %v, want at least a second", tenancy.ErrInvalid, o.TTL)
	}
	return nil
}

func newMaster(k Key) (master, error) {
	if k.ID == "" || len(k.ID) > 64 || strings.Trim(k.ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return master{}, fmt.Errorf("%w: key ID %.80q", tenancy.ErrInvalid, k.ID)
	}
	if err := signed.CheckKey("key "+k.ID, k.Secret); err != nil {
		return master{}, err
	}
	prk, err := hkdf.Extract(sha256.New, []byte(k.Secret.Reveal()), []byte("tenancy token"))
	if err != nil {
		return master{}, err
	}
	header, err := json.Marshal(headerOf(k.ID))
	return master{k.ID, tenancy.NewSecret(string(prk)), base64.RawURLEncoding.EncodeToString(header)}, err
}

func headerOf(kid string) map[string]any {
	return map[string]any{"alg": alg, "kid": kid, "typ": typ}
}

// derive returns the key that signs the tokens of one tenant.
func (m *master) derive(id tenancy.ID) ([]byte, error) {
	return hkdf.Expand(sha256.New, []byte(m.prk.Reveal()), string(id), sha256.Size)
}

// claims are what a token says.
type claims struct {
	Issuer     string           `json:"iss"`
	Tenant     tenancy.ID       `json:"aud"`
	Subject    string           `json:"sub"`
	Scope      string           `json:"scope,omitempty"` // RFC 8693, section 4.2
	ID         string           `json:"jti"`
	IssuedAt   *jwt.NumericDate `json:"iat"`
	NotBefore  *jwt.NumericDate `json:"nbf"`
	ExpiresAt  *jwt.NumericDate `json:"exp"`
	Generation int64            `json:"gen,omitempty"`
}

func (c *claims) GetIssuer() (string, error)  { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error) { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{string(c.Tenant)}, nil
}
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore, nil }
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt, nil }

func (c *claims) principal() *middleware.Principal {
	return &middleware.Principal{Tenant: c.Tenant, ID: c.ID, Subject: c.Subject, Scopes: strings.Fields(c.Scope), ExpiresAt: c.ExpiresAt.UTC()}
}

// Issue makes a token of the tenant for one of its users. The token is valid for ttl, or for [Options.TTL] if
// ttl is zero, and expires at a full second. Issue returns the token, whose method Reveal returns the text, and
// the principal of requests with the token. For scopes see [middleware.RequireScope]. Malformed arguments are
// errors that wrap [tenancy.ErrInvalid].
func (k *Tokens) Issue(t *tenancy.Tenant, subject string, scopes []string, ttl time.Duration) (tenancy.Secret, *middleware.Principal, error) {
	const op = "token.Tokens.Issue"
	if ttl == 0 {
		ttl = k.ttl
	}
	fail := func(err error) (tenancy.Secret, *middleware.Principal, error) {
		return tenancy.Secret{}, nil, tenancy.Wrap(op, t.ID, err)
	}
	if subject == "" || len(subject) > 256 || !utf8.ValidString(subject) || ttl < time.Second {
		return fail(fmt.Errorf("%w: want a subject of up to 256 bytes, and at least a second", tenancy.ErrInvalid))
	}
	for _, scope := range scopes {
		if !credential.IsScope(scope) {
			return fail(fmt.Errorf("%w: scope %.80q", tenancy.ErrInvalid, scope))
		}
	}
	now := time.Now().Truncate(time.Second)
	c := &claims{
		Issuer: k.issuer, Tenant: t.ID, Subject: subject, Scope: strings.Join(scopes, " "), ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl).Truncate(time.Second)),
		Generation: t.Access.TokenGeneration,
	}
	signing, err := k.keys[0].derive(t.ID)
	if err != nil {
		return fail(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	token.Header = headerOf(k.keys[0].id)
	text, err := token.SignedString(signing)
	if err == nil && len(text) > maxToken {
		err = fmt.Errorf("%w: a token of %d bytes, want at most %d", tenancy.ErrInvalid, len(text), maxToken)
	}
	if err != nil {
		return fail(err)
	}
	return tenancy.NewSecret(text), c.principal(), nil
}

// Authenticate implements [middleware.Authenticator] for bearer tokens in the header Authorization. It ignores
// tokens of another form.
func (k *Tokens) Authenticate(r *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
	text, err := credential.Bearer(r)
	if err != nil || !k.ours(text) {
		return nil, err
	}
	return k.Verify(text, t)
}

// Verify returns the principal of a token, for tokens that do not come in the header Authorization. Any text
// that is not a valid token of the tenant is an error that wraps [tenancy.ErrUnauthenticated] and does not
// contain the text.
func (k *Tokens) Verify(text string, t *tenancy.Tenant) (*middleware.Principal, error) {
	c, err := k.verify(text, t.ID)
	switch {
	case err != nil:
		return nil, err
	case c.Generation < t.Access.TokenGeneration:
		return nil, refuse("it was revoked with all others")
	case t.Access.Revoked(c.ID):
		return nil, refuse("it was revoked")
	}
	return c.principal(), nil
}

// Claims returns the claims of the request's token, for resolver.NewClaim: the claim "aud" is the tenant's ID.
// It verifies the signature and the times, but does not know whether the token was revoked;
// [Tokens.Authenticate] does. Claims returns nil if the request has no token of this form.
func (k *Tokens) Claims(r *http.Request) (map[string]any, error) {
	text, err := credential.Bearer(r)
	if err != nil || !k.ours(text) {
		return nil, err
	}
	if len(text) > maxToken {
		return nil, refuse("it is too long")
	}
	_, rest, _ := strings.Cut(text, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var unverified struct {
		Tenant tenancy.ID `json:"aud"`
	}
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(b, &unverified) != nil || unverified.Tenant.Validate() != nil {
		return nil, refuse("it is malformed")
	}
	c, err := k.verify(text, unverified.Tenant)
	if err != nil {
		return nil, err
	}
	return map[string]any{"iss": c.Issuer, "aud": string(c.Tenant), "sub": c.Subject, "scope": c.Scope, "jti": c.ID}, nil
}

// ours reports whether a token says that it is of this form.
func (k *Tokens) ours(text string) bool {
	header, _, ok := strings.Cut(text, ".")
	if !ok || len(header) > maxToken {
		return false
	}
	if k.masterOf(header) != nil {
		return true
	}
	b, err := base64.RawURLEncoding.DecodeString(header)
	var h struct {
		Type string `json:"typ"`
	}
	return err == nil && json.Unmarshal(b, &h) == nil && h.Type == typ
}

// masterOf returns the key whose tokens have exactly this header. Nothing in a header is interpreted.
func (k *Tokens) masterOf(header string) *master {
	for i := range k.keys {
		if k.keys[i].header == header {
			return &k.keys[i]
		}
	}
	return nil
}

// verify checks everything that does not need the tenant's record.
func (k *Tokens) verify(text string, id tenancy.ID) (*claims, error) {
	header, _, _ := strings.Cut(text, ".")
	m := k.masterOf(header)
	if m == nil || len(text) > maxToken || strings.ContainsAny(text, "\r\n") { // which decoders of base 64 skip
		return nil, refuse("it is malformed, too long, or of a key that is not known")
	}
	c := &claims{}
	_, err := k.parser.ParseWithClaims(text, c, func(*jwt.Token) (any, error) { return m.derive(id) })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, refuse("it has expired")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return nil, refuse("it is not valid yet")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, refuse("it was not signed for this tenant")
	case err != nil:
		return nil, refuse("it is malformed")
	case c.Tenant != id || c.Subject == "" || c.ID == "":
		return nil, refuse("it is not one of this tenant's")
	}
	return c, nil
}

func refuse(why string) error {
	return fmt.Errorf("%w: a token that is refused: %s", tenancy.ErrUnauthenticated, why)
}

// Editor changes tenants' records, as a catalog.Catalog does.
type Editor interface {
	Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error)
}

// Revoke revokes the token of the principal, for example when its user logs out. A principal without a subject,
// such as that of an API key, has no token: an error that wraps [tenancy.ErrInvalid]. A tenant can have up to
// 4,096 revoked tokens that have not expired yet; one more is an error that wraps [tenancy.ErrInvalid].
func (k *Tokens) Revoke(ctx context.Context, in Editor, p *middleware.Principal) error {
	const op = "token.Tokens.Revoke"
	if p.ID == "" || p.Subject == "" || p.ExpiresAt.IsZero() {
		return tenancy.Wrap(op, p.Tenant, fmt.Errorf("%w: no token", tenancy.ErrInvalid))
	}
	_, err := in.Edit(ctx, p.Tenant, func(t *tenancy.Tenant) error {
		all := t.Access.RevokedTokens
		all = append(all, tenancy.RevokedToken{ID: p.ID, ExpiresAt: p.ExpiresAt})
		over := time.Now().Add(-k.leeway - time.Minute) // of clocks that are slow
		all = slices.DeleteFunc(all, func(each tenancy.RevokedToken) bool { return each.ExpiresAt.Before(over) })
		slices.SortFunc(all, func(a, b tenancy.RevokedToken) int { return strings.Compare(a.ID, b.ID) })
		t.Access.RevokedTokens = slices.CompactFunc(all, func(a, b tenancy.RevokedToken) bool { return a.ID == b.ID })
		return nil
	})
	return tenancy.Wrap(op, p.Tenant, err)
}

// RevokeAll revokes all tokens of the tenant that were issued so far.
func (k *Tokens) RevokeAll(ctx context.Context, in Editor, id tenancy.ID) error {
	_, err := in.Edit(ctx, id, func(t *tenancy.Tenant) error {
		t.Access.RevokeTokens()
		return nil
	})
	return tenancy.Wrap("token.Tokens.RevokeAll", id, err)
}
