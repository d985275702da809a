package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
)

func (p *program) pool() *cobra.Command {
	return group("pool", "Connections to databases", p.poolStat())
}

// maxPoolTenants is how many tenants a pool is asked for.
const maxPoolTenants = 1000

func (p *program) poolStat() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use: "stat <url>", Short: "Show the figures of a running instance's pool",
		Long: "Show the figures of a running instance's pool. The URL is where the application has mounted dbpool.Pool.Handler.",
		Example: `  tenantctl pool stat http://127.0.0.1:9090/debug/pool
  tenantctl pool stat http://127.0.0.1:9090/debug/pool --tenants 10`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := url.Parse(args[0])
			if err == nil && (at.Scheme != "http" && at.Scheme != "https" || at.Host == "") {
				err = fmt.Errorf("%q is not the URL of a pool, such as http://127.0.0.1:9090/debug/pool", args[0])
			}
			if err == nil && (most < 0 || most > maxPoolTenants) {
				err = fmt.Errorf("--tenants %d, want 0 to %d", most, maxPoolTenants)
			}
			if err != nil {
				return usage(err)
			}
			if q := at.Query(); most > 0 {
				q.Set("tenants", fmt.Sprint(most))
				at.RawQuery = q.Encode()
			}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, at.String(), nil)
			if err != nil {
				return usage(err)
			}
			client := &http.Client{Timeout: 10 * time.Second}
			res, err := client.Do(req)
			if err != nil {
				return fmt.Errorf("%w: %w", tenancy.ErrUnavailable, err)
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", args[0], res.Status)
			}
			var all struct {
				Servers map[string]dbpool.Stat `json:"servers"`
				Tenants []dbpool.TenantStat    `json:"tenants"`
			}
			if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if p.json {
				return p.writeJSON(cmd, all)
			}
			rows := newTable(cmd.OutOrStdout(), "SERVER", "BUDGET", "IN USE", "IDLE", "WAITING", "REFUSED", "DIALS/REQ", "BREAKER")
			for _, name := range slices.Sorted(maps.Keys(all.Servers)) {
				s := all.Servers[name]
				rows.row(name, fmt.Sprint(s.Budget+s.Borrowed), fmt.Sprint(s.InUse), fmt.Sprint(s.Idle), fmt.Sprint(s.Waiting),
					fmt.Sprint(s.Refused+s.GaveUp), fmt.Sprintf("%.3f", s.DialsPerRequest()), s.Breaker)
			}
			if err := rows.flush(); err != nil || most == 0 {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
			rows = newTable(cmd.OutOrStdout(), "SERVER", "CONNS", "IDLE", "WAITING", "STATE", "TENANT")
			for _, t := range all.Tenants[:min(most, len(all.Tenants))] {
				state := "up"
				if t.Down {
					state = "down"
				}
				rows.row(t.Server, fmt.Sprint(t.Conns), fmt.Sprint(t.Idle), fmt.Sprint(t.Waiting), state, string(t.Tenant))
			}
			return rows.flush()
		},
	}
	cmd.Flags().IntVar(&most, "tenants", 0, "also the tenants that use most connections, at most so many")
	return cmd
}
