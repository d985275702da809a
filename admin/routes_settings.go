package admin

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// settingRoutes are the rows about what operators decide for the console.
func (a *Admin) settingRoutes() []route {
	return []route{
		{method: "GET", pattern: "settings", permission: auth.OperatorsRead, handle: a.showSettings},
		{method: "PUT", pattern: "settings", permission: auth.SettingsWrite, reach: allOf, stepUp: true, body: true, match: true, action: "settings.update", handle: a.changeConsole},
	}
}

func (a *Admin) showSettings(c *call) error {
	s, version, err := a.auth.Settings(c.ctx())
	if err != nil {
		return err
	}
	return a.replyConsole(c, s, version)
}

func (a *Admin) replyConsole(c *call, s auth.Settings, version int64) error {
	defaults := a.auth.Defaults()
	threshold := int64(a.opts.BulkThreshold)
	defaults.BulkThreshold = &threshold
	if a.opts.Audit != nil {
		if keep, _ := a.opts.Audit.Keep(); keep > 0 {
			seconds := int64(keep / time.Second)
			defaults.AuditRetention = &seconds
		}
	}
	c.setVersion(version)
	return c.reply(http.StatusOK, map[string]any{"settings": s, "defaults": defaults, "version": version})
}

func (a *Admin) changeConsole(c *call) error {
	var in auth.Settings
	if err := c.decode(&in); err != nil {
		return err
	}
	_, version, err := a.auth.Settings(c.ctx())
	if err == nil {
		err = c.ifMatch(version)
	}
	if err == nil {
		err = a.mayRetain(&in)
	}
	if err == nil {
		err = a.auth.SetSettings(c.ctx(), version, in)
	}
	if errors.Is(err, tenancy.ErrConflict) {
		var named *problem.Error
		if !errors.As(err, &named) {
			err = problem.New(problem.Precondition, err)
		}
	}
	if err != nil {
		return err
	}
	return a.replyConsole(c, in, version+1)
}

// pointerEscape returns a name as a part of a JSON pointer. Source: RFC 6901, section 3.
func pointerEscape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
