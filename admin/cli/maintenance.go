package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
)

func (p *program) maintenance() *cobra.Command {
	return group("maintenance", "Maintenance mode of tenants, or of the whole service",
		p.maintenanceOn(), p.maintenanceSchedule(), p.maintenanceExtend(), p.maintenanceOff(), p.maintenanceStatus(), p.maintenanceBypass(), p.maintenanceDrain())
}

// closing are the flags of commands that begin maintenance, now or later.
type closing struct {
	bulk
	service, readOnly bool
	message, contact  string
	allow, paths      []string
	lasts             time.Duration
	from, until       string
	rule, zone        string
}

func (c *closing) flags(cmd *cobra.Command) {
	c.bulk.flags(cmd)
	cmd.Flags().BoolVar(&c.service, "service", false, "the whole service, instead of tenants")
	cmd.Flags().BoolVar(&c.readOnly, "read-only", false, "serve what only reads")
	cmd.Flags().StringVar(&c.message, "message", "", "text for clients")
	cmd.Flags().StringVar(&c.contact, "contact", "", "contact for clients")
	cmd.Flags().StringSliceVar(&c.allow, "allow", nil, "client address, or prefix such as 10.0.0.0/8, that is served all the same; may be repeated")
	cmd.Flags().StringSliceVar(&c.paths, "path", nil, "prefix of paths that is served all the same, such as /status; may be repeated")
}

// keepsLong says in help texts what becomes of maintenance that is there.
const keepsLong = `It takes the place of maintenance that is in force or planned. Of that stay the message,
the contact, the addresses and the paths whose flag is not given; an empty flag, such as
--allow=, removes them. A bypass of before does not work any more.`

// params returns the parameters of maintenance.Gate.BeginTask. Those of flags that were not given are left out.
func (c *closing) params(cmd *cobra.Command, now time.Time) (tenancy.Params, error) {
	p := tenancy.Params{"mode": string(tenancy.MaintenanceClosed)}
	if c.readOnly {
		p["mode"] = string(tenancy.MaintenanceReadOnly)
	}
	for flag, of := range map[string]struct{ name, value string }{
		"message": {"message", c.message}, "contact": {"contact", c.contact},
		"allow": {"allow", strings.Join(c.allow, ",")}, "path": {"paths", strings.Join(c.paths, ",")},
	} {
		if cmd.Flags().Changed(flag) {
			p[of.name] = of.value
		}
	}
	for name, value := range map[string]string{"rule": c.rule, "zone": c.zone} {
		if value != "" {
			p[name] = value
		}
	}
	if c.lasts != 0 {
		p["for"] = c.lasts.String()
	}
	zone := time.Local
	if c.zone != "" {
		var err error
		if zone, err = time.LoadLocation(c.zone); err != nil {
			return nil, usage(fmt.Errorf("--zone %q is no time zone", c.zone))
		}
	}
	for _, flag := range []struct{ name, text string }{{"from", c.from}, {"until", c.until}} {
		if flag.text == "" {
			continue
		}
		t, err := moment(flag.text, now, zone)
		if err != nil {
			return nil, usage(fmt.Errorf("--%s %w", flag.name, err))
		}
		p[flag.name] = t.Format(time.RFC3339)
	}
	if c.rule == "" {
		delete(p, "zone") // it was for --from and --until
	}
	return p, nil
}

// moment reads a time: of RFC 3339, without a zone, of today, or a time from now.
func moment(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if t, ok := instant(text, zone); ok {
		return t, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("%q, want a time such as \"2027-01-31 02:00\", 2027-01-31T02:00:00Z, or 2h from now", text)
}

// past is moment for times that are past: a time, or how long ago.
func past(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if t, ok := instant(text, zone); ok {
		return t, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q, want a time such as \"2027-01-31 02:00\", 2027-01-31, or 2h for two hours ago", text)
}

// instant reads a time of RFC 3339, or without a zone, or a day.
func instant(text string, zone *time.Location) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// begin begins the maintenance of the service, or of the tenants that are selected.
func (c *closing) begin(cmd *cobra.Command, names []string) error {
	params, err := c.params(cmd, time.Now())
	if err != nil {
		return err
	}
	if !c.service {
		c.spec.Params = params
		return c.run(cmd, names)
	}
	if err := c.p.mayService(cmd, names, (&bulk{}).flags); err != nil {
		return err
	}
	m, err := maintenance.ParseParams(params)
	if err != nil {
		return err
	}
	if err := c.p.confirm(cmd, c.verb+" the whole service?", "service"); err != nil {
		return err
	}
	if err := c.p.app.Gate.Service().BeginParams(cmd.Context(), params); err != nil {
		return err
	}
	return c.p.say(cmd, "The whole service: maintenance %s.", windows(&m))
}

func (p *program) maintenanceOn() *cobra.Command {
	c := &closing{bulk: bulk{p: p, task: TaskMaintenanceOn, verb: "Close for maintenance"}}
	cmd := &cobra.Command{
		Use: "on [tenant]...", Short: "Begin maintenance now",
		Long: "Begin maintenance now.\n\n" + keepsLong,
		Example: `  tenantctl maintenance on acme --message "Back at noon." --for 2h
  tenantctl maintenance on acme --allow 192.0.2.0/24 --path /status
  tenantctl maintenance on --service --read-only`,
		RunE: p.with(c.begin),
	}
	c.flags(cmd)
	cmd.Flags().DurationVar(&c.lasts, "for", 0, "end by itself after this time (default: until \"maintenance off\")")
	return cmd
}

func (p *program) maintenanceSchedule() *cobra.Command {
	c := &closing{bulk: bulk{p: p, task: TaskMaintenanceOn, verb: "Plan maintenance of"}}
	cmd := &cobra.Command{
		Use: "schedule [tenant]...", Short: "Plan maintenance for later, once or again and again",
		Long: "Plan maintenance for later, once or again and again. Times without a zone are\nthose of --zone, or of this machine.\n\n" + keepsLong,
		Example: `  tenantctl maintenance schedule acme --from "2027-01-31 02:00" --until "2027-01-31 04:00"
  tenantctl maintenance schedule --all --from 30m --for 2h --message "We move house."
  tenantctl maintenance schedule --service --rule "0 3 * * 0" --zone Europe/Berlin --for 1h`,
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			switch {
			case c.from == "" && c.rule == "":
				return usage(errors.New("say when: --from or --rule"))
			case c.rule != "" && c.lasts == 0:
				return usage(errors.New("--rule wants --for, how long it lasts each time"))
			case c.rule == "" && c.lasts == 0 && c.until == "":
				return usage(errors.New("say until when: --until or --for"))
			}
			return c.begin(cmd, args)
		}),
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&c.from, "from", "", "when it begins: a time, or how long from now; with --rule the first time at the earliest")
	cmd.Flags().StringVar(&c.until, "until", "", "when it ends; with --rule the time from which it begins no more")
	cmd.Flags().DurationVar(&c.lasts, "for", 0, "how long it lasts, each time")
	cmd.Flags().StringVar(&c.rule, "rule", "", "cron expression of the times at which it begins, such as \"0 3 * * 0\"")
	cmd.Flags().StringVar(&c.zone, "zone", "", "time zone, such as Europe/Berlin (default: UTC for --rule, this machine's for times)")
	return cmd
}

// mayService checks a command that is about the whole service: nothing may say which tenants, or how a run goes about them, as these
// flags do. A --dry-run that closes the service would be bad.
func (p *program) mayService(cmd *cobra.Command, args []string, flags func(*cobra.Command)) error {
	if len(args) > 0 {
		return usage(errors.New("--service is for the whole service: name no tenants"))
	}
	var err error
	of := &cobra.Command{}
	flags(of)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if of.Flags().Lookup(f.Name) != nil {
			err = usage(fmt.Errorf("--service is for the whole service: --%s does not go with it", f.Name))
		}
	})
	if err != nil {
		return err
	}
	return need(p.app.Gate != nil, "maintenance mode")
}

func (p *program) maintenanceOff() *cobra.Command {
	var service bool
	b := &bulk{p: p, task: TaskMaintenanceOff, verb: "End maintenance of"}
	cmd := &cobra.Command{
		Use: "off [tenant]...", Short: "End maintenance, and what is planned",
		Example: "  tenantctl maintenance off acme\n  tenantctl maintenance off --service",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if !service {
				return b.run(cmd, args)
			}
			if err := p.mayService(cmd, args, (&bulk{}).flags); err != nil {
				return err
			}
			if err := p.app.Gate.Service().End(cmd.Context()); err != nil {
				return err
			}
			return p.say(cmd, "The whole service is open.")
		}),
	}
	b.flags(cmd)
	cmd.Flags().BoolVar(&service, "service", false, "the whole service, instead of tenants")
	return cmd
}

// serviceName stands for the whole service where tenants are listed.
const serviceName = "(service)"

func (p *program) maintenanceStatus() *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use: "status [tenant]...", Short: "List the maintenance that is in force or planned",
		Long:    "List the maintenance that is in force or planned: the service's, and that of all tenants unless some are selected.",
		Example: "  tenantctl maintenance status\n  tenantctl maintenance status --where plan:pro",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			rows := newTable(cmd.OutOrStdout(), "TENANT", "MODE", "SINCE", "WHEN", "MESSAGE")
			rows.lines = 4
			show := func(name string, m *tenancy.Maintenance) error {
				switch {
				case m == nil:
				case p.json:
					return p.writeJSON(cmd, map[string]any{"tenant": name, "maintenance": m})
				default:
					rows.row(name, string(m.Mode), minute(m.BeganAt), windows(m), passing(m)+m.Message)
				}
				return nil
			}
			if len(args) == 0 && !s.chosen() {
				s.all = true
				m, err := p.serviceMaintenance(cmd.Context())
				if err == nil {
					err = show(serviceName, m)
				}
				if err != nil {
					return err
				}
			}
			for t, err := range s.each(p, cmd, args) {
				if err == nil {
					err = show(t.Slug, t.Access.Maintenance)
				}
				if err != nil {
					return err
				}
			}
			if p.json {
				return nil
			}
			if len(rows.rows) == 1 {
				return p.say(cmd, "No maintenance.")
			}
			return rows.flush()
		}),
	}
	s.flags(cmd)
	return cmd
}

// serviceMaintenance returns the maintenance of the service, or nil.
func (p *program) serviceMaintenance(ctx context.Context) (*tenancy.Maintenance, error) {
	if p.app.Gate == nil {
		return nil, nil
	}
	s, err := p.app.Gate.Service().Status(ctx)
	if errors.Is(err, tenancy.ErrInvalid) { // the gate has no database for it
		return nil, nil
	}
	return s.Record, err
}

// passing says what is served all the same, for in front of the message.
func passing(m *tenancy.Maintenance) string {
	var all []string
	for _, each := range []struct {
		n         int
		one, many string
	}{{len(m.Allow), "1 address", "addresses"}, {len(m.Paths), "1 path", "paths"}} {
		switch {
		case each.n == 1:
			all = append(all, each.one)
		case each.n > 1:
			all = append(all, fmt.Sprint(each.n, " ", each.many))
		}
	}
	if m.Bypass != (tenancy.Digest{}) {
		all = append(all, "a bypass")
	}
	if len(all) == 0 {
		return ""
	}
	return "Served: " + strings.Join(all, ", ") + ". "
}

// windows says when maintenance is in force.
func windows(m *tenancy.Maintenance) string {
	switch {
	case len(m.Windows) == 0:
		return "until off"
	case len(m.Windows) > 1:
		return fmt.Sprintf("%d windows", len(m.Windows))
	}
	w := m.Windows[0]
	switch {
	case w.Rule != "":
		return fmt.Sprintf("%s %s, %s", w.Rule, cmp.Or(w.Zone, "UTC"), lasting(w.Length))
	case w.Start.After(time.Now()) && w.End.IsZero():
		return "from " + minute(w.Start)
	case w.Start.After(time.Now()):
		return "from " + minute(w.Start) + ", " + lasting(w.End.Sub(w.Start))
	case w.End.IsZero():
		return "until off"
	}
	return "until " + minute(w.End)
}

const (
	// drainParallel is how many tenants are drained at a time.
	drainParallel = 16
	// drainUsual is how long a drain waits unless it is told otherwise: longer than the default of maintenance.GateOptions.Settle.
	drainUsual = 90 * time.Second
)

func (p *program) maintenanceDrain() *cobra.Command {
	var service bool
	var timeout time.Duration
	s := &selection{}
	cmd := &cobra.Command{
		Use: "drain [tenant]...", Short: "Wait until no request is in flight that maintenance refuses",
		Long: `Wait until no request is in flight that maintenance refuses, on any instance. The
maintenance must be in force: begin it with "maintenance on".

Instances tell when they are done if the application has wired
maintenance.GateOptions.Drains here and there. Otherwise the command waits for
the time in which every instance sees the change, and does not know the rest:
maintenance.GateOptions.Settle, a minute unless the application says otherwise.
--timeout must be longer.`,
		Example: "  tenantctl maintenance drain acme --timeout 5m\n  tenantctl maintenance drain --service",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Gate != nil, "maintenance mode"); err != nil {
				return err
			}
			if service {
				if err := p.mayService(cmd, args, (&selection{}).flags); err != nil {
					return err
				}
				g := p.gauge(cmd, "maintenance drain", "drained", 0)
				err := drain(cmd.Context(), p.app.Gate.Service(), timeout)
				g.end()
				return p.drained(cmd, serviceName, err)
			}
			return p.drainEach(timeout, cmd, s, args)
		}),
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&service, "service", false, "the whole service, instead of tenants")
	cmd.Flags().DurationVar(&timeout, "timeout", drainUsual, "how long to wait for each tenant, or for the service; see above")
	return cmd
}

// drain drains the scope, or gives up after the timeout.
func drain(ctx context.Context, s maintenance.Scope, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.Drain(ctx)
}

// drainEach drains the tenants that are selected, several at a time.
func (p *program) drainEach(timeout time.Duration, cmd *cobra.Command, s *selection, names []string) error {
	ids, exclude, err := s.complete(p, cmd, names)
	if err != nil {
		return err
	}
	total, err := s.count(p, cmd, ids, exclude)
	if err != nil {
		return err
	}
	g := p.gauge(cmd, "maintenance drain", "tenants", total)
	defer g.end()
	var mu sync.Mutex // guards became
	var became []error
	var wg sync.WaitGroup
	slots := make(chan struct{}, drainParallel)
	for t, err := range s.these(p, cmd, ids, exclude) {
		if err != nil {
			wg.Wait()
			return err
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := drain(cmd.Context(), p.app.Gate.Tenant(t.ID), timeout)
			g.add(1)
			err = g.around(func() error { return p.drained(cmd, t.Slug, err) }) // one at a time
			mu.Lock()
			defer mu.Unlock()
			became = append(became, err)
		})
	}
	wg.Wait()
	return someFailed(became)
}

// someFailed returns the error of a command that has shown what became of each tenant: that there was none is one, too. Its exit code is that of the tenants' errors if
// all tenants failed with the same one.
func someFailed(became []error) error {
	if len(became) == 0 {
		return usage(errors.New("no tenant is selected"))
	}
	failed := slices.DeleteFunc(slices.Clone(became), func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	other := func(err error) bool { return exitCode(err) != exitCode(failed[0]) }
	if len(failed) < len(became) || slices.ContainsFunc(failed, other) {
		return &quietError{errors.New("some tenants failed")}
	}
	return failed[0]
}

// drained says how a drain ended.
func (p *program) drained(cmd *cobra.Command, name string, err error) error {
	switch {
	case p.json:
		line := map[string]any{"tenant": name, "drained": err == nil}
		if err != nil {
			line["error"] = err.Error()
		}
		if e := p.writeJSON(cmd, line); e != nil {
			return e
		}
	case err == nil:
		if e := p.say(cmd, "Drained %s.", name); e != nil {
			return e
		}
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", name, err)
	}
	if err != nil {
		return &quietError{err}
	}
	return nil
}
