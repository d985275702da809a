package admin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog/audit"
)

// verifyRoutes are the rows that say whether the record of what was done is whole.
func (a *Admin) verifyRoutes() []route {
	return []route{
		{method: "POST", pattern: "audit/verify", permission: auth.AuditVerify, reach: allOf, action: "audit.verify", part: partAudit, handle: a.verifyAudit},
		{method: "GET", pattern: "audit/checkpoints", permission: auth.AuditVerify, reach: allOf, part: partAudit, handle: a.checkpoints},
	}
}

// verified is what a verification found.
type verified struct {
	Whole bool `json:"whole"`
	// UpTo is the number of the last entry that is as it was sealed.
	UpTo    int64  `json:"up_to"`
	Entries int64  `json:"entries"`
	Hash    string `json:"hash"`
	// Cut is the number up to which old entries were removed. Zero: none were.
	Cut int64 `json:"cut,omitempty"`
	// Signed is the number of the last entry that a checkpoint vouches for.
	Signed int64 `json:"signed,omitempty"`
	// Late is the number of entries that say they are older than a checkpoint in front of them: see [audit.Report].
	Late  int64        `json:"late,omitempty"`
	Fault *audit.Fault `json:"fault,omitempty"`
}

func verdict(r *audit.Report) verified {
	return verified{r.Fault == nil, r.Number, r.Entries, r.Hash, r.Cut, r.Signed, r.Late, r.Fault}
}

// progressEvery is how often a verification says how far it is.
const progressEvery = 250 * time.Millisecond

// verifyAudit answers with the verdict. A client that accepts application/jsonl gets a line with the progress at least at the beginning, and
// then again and again; the verdict is the last line. A verification that fails midway, or whose operator may not see it any more, is a broken
// transfer. Each reads the whole audit, so an operator has one at once, and few are under way.
func (a *Admin) verifyAudit(c *call) error {
	operator := c.id.Operator.ID
	if err := a.verifications.enter(operator); err != nil {
		return err
	}
	defer a.verifications.leave(operator)
	if c.r.Header.Get("Accept") != "application/jsonl" {
		report, err := a.opts.Audit.Verify(c.ctx())
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, verdict(report))
	}
	w := &exportWriter{call: c, as: exported{media: "application/jsonl"}, out: http.NewResponseController(c.w), checked: time.Now()}
	lines := json.NewEncoder(w)
	var said time.Time
	report, err := a.opts.Audit.VerifyEach(c.ctx(), func(p audit.Progress) error {
		if time.Since(said) < progressEvery {
			return nil
		}
		said = time.Now()
		if err := lines.Encode(p); err != nil {
			return err
		}
		return w.flush()
	})
	if err == nil {
		err = lines.Encode(verdict(report))
	}
	return w.end(err)
}

// checkpoints lists the signed statements of what the audit was, with the Ed25519 keys that sign them.
func (a *Admin) checkpoints(c *call) error {
	operator := c.id.Operator.ID // there may be half a million for a year
	if err := a.verifications.enter(operator); err != nil {
		return err
	}
	defer a.verifications.leave(operator)
	found, err := a.opts.Audit.Checkpoints(c.ctx())
	if err != nil {
		return err
	}
	if found == nil {
		found = []audit.Checkpoint{}
	}
	keys := []string{}
	for _, key := range a.opts.Audit.PublicKeys() {
		keys = append(keys, base64.StdEncoding.EncodeToString(key))
	}
	return c.reply(http.StatusOK, map[string]any{"checkpoints": found, "public_keys": keys})
}
