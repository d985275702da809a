package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
)

func (p *program) pool() *cobra.Command {
	return group("pool", "Connections to databases", p.poolStat())
}

func (p *program) poolStat() *cobra.Command {
	return &cobra.Command{
		Use: "stat <url>", Short: "Show the figures of a running instance's pool",
		Long:    "Show the figures of a running instance's pool. The URL is where the application has mounted dbpool.Pool.Handler.",
		Example: "  tenantctl pool stat http://127.0.0.1:9090/debug/pool",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, args[0], nil)
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
				return writeJSON(cmd, all)
			}
			rows := newTable(cmd.OutOrStdout(), "SERVER", "BUDGET", "IN USE", "IDLE", "WAITING", "REFUSED", "DIALS/REQ", "BREAKER")
			for _, name := range slices.Sorted(maps.Keys(all.Servers)) {
				s := all.Servers[name]
				rows.row(name, fmt.Sprint(s.Budget+s.Lent), fmt.Sprint(s.InUse), fmt.Sprint(s.Idle), fmt.Sprint(s.Waiting),
					fmt.Sprint(s.Refused+s.GaveUp), fmt.Sprintf("%.3f", s.DialsPerRequest()), s.Breaker)
			}
			return rows.flush()
		},
	}
}
