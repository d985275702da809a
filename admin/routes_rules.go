package admin

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// ruleRoutes are the rows about the addresses from which the console may be used. They name operators, so they are for the scope of all.
func (a *Admin) ruleRoutes() []route {
	return []route{
		{method: "GET", pattern: "ip-rules", permission: auth.IPRulesWrite, reach: allOf, handle: a.showRules},
		{method: "PUT", pattern: "ip-rules", permission: auth.IPRulesWrite, reach: allOf, stepUp: true, body: true, match: true, action: "iprules.update", handle: a.changeRules},
		{method: "POST", pattern: "ip-rules/check", permission: auth.IPRulesWrite, reach: allOf, body: true, action: "iprules.check", handle: a.checkRules},
	}
}

// rulesInput are rules as people write them.
type rulesInput struct {
	All       []string            `json:"all"`
	Roles     map[string][]string `json:"roles"`
	Operators map[string][]string `json:"operators"`
}

func (in *rulesInput) rules() (out auth.IPRules, err error) {
	if out.All, err = prefixes("all", in.All); err != nil {
		return out, err
	}
	for _, group := range []struct {
		field string
		from  map[string][]string
		to    *map[string][]netip.Prefix
	}{{"roles", in.Roles, &out.Roles}, {"operators", in.Operators, &out.Operators}} {
		*group.to = map[string][]netip.Prefix{}
		for name, texts := range group.from {
			list, err := prefixes(group.field+"/"+pointerEscape(name), texts)
			if err != nil {
				return out, err
			}
			(*group.to)[name] = list
		}
	}
	return out, nil
}

func (a *Admin) showRules(c *call) error {
	rules, version, err := a.auth.IPRules(c.ctx())
	if err != nil {
		return err
	}
	return c.replyRules(rules, version)
}

func (c *call) replyRules(rules auth.IPRules, version int64) error {
	c.setVersion(version)
	return c.reply(http.StatusOK, map[string]any{"rules": rules, "version": version, "your_address": addressText(c.id.Address)})
}

func addressText(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.Unmap().String()
}

func (a *Admin) changeRules(c *call) error {
	var in rulesInput
	if err := c.decode(&in); err != nil {
		return err
	}
	rules, err := in.rules()
	if err != nil {
		return err
	}
	_, version, err := a.auth.IPRules(c.ctx())
	if err == nil {
		err = c.ifMatch(version)
	}
	if err == nil {
		err = a.auth.SetIPRules(c.ctx(), c.id, version, rules)
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
	return c.replyRules(rules, version+1)
}

// lockout says whom rules would lock out.
type lockout struct {
	You         bool        `json:"you"`
	Owners      bool        `json:"owners"`
	YourAddress string      `json:"your_address"`
	Sessions    []lockedOut `json:"sessions"`
}

type lockedOut struct {
	Operator operatorRef `json:"operator"`
	Address  string      `json:"address"`
}

func (a *Admin) checkRules(c *call) error {
	var in rulesInput
	if err := c.decode(&in); err != nil {
		return err
	}
	rules, err := in.rules()
	if err != nil {
		return err
	}
	found, err := a.auth.CheckIPRules(c.ctx(), c.id, rules)
	if err != nil {
		return err
	}
	out := lockout{You: found.You, Owners: found.Owners, YourAddress: addressText(c.id.Address), Sessions: []lockedOut{}}
	for _, s := range found.Sessions {
		out.Sessions = append(out.Sessions, lockedOut{refOf(s.Operator), addressText(s.Address)})
	}
	return c.reply(http.StatusOK, out)
}
