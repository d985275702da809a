package cli

import (
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

// actorOf returns who calls the program, and from where: the user of the operating system, the program and this machine such as
// tenantctl@db1, and the address of the SSH client if there is one.
func actorOf(program string) tenancy.Actor {
	a := tenancy.Actor{Kind: tenancy.ActorCommandLine, UserAgent: program}
	if u, err := user.Current(); err == nil {
		a.ID = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		a.UserAgent += "@" + host
	}
	client, _, _ := strings.Cut(os.Getenv("SSH_CONNECTION"), " ") // client address, its port, server address, its port
	if address, err := netip.ParseAddr(client); err == nil {
		a.Address = address.Unmap()
	}
	return a
}

// reading returns the commands that change nothing. All others take --reason.
func reading() []string {
	return []string{
		"apikey list", "audit export", "audit list", "audit verify", "db shell", "db status", "event stuck", "health", "maintenance drain", "maintenance status",
		"namespace show", "operator list", "pool stat", "run list", "run show", "run watch", "schedule list", "tenant list", "tenant show",
		"usage export", "usage list", "usage months", "usage overview", "usage show",
	}
}

// giveReasons gives --reason to all commands below cmd that change something. It is the reason of the actor of their contexts.
func (p *program) giveReasons(cmd *cobra.Command, path string) {
	for _, sub := range cmd.Commands() {
		path := strings.TrimSpace(path + " " + sub.Name())
		if sub.HasSubCommands() {
			p.giveReasons(sub, path)
			continue
		}
		if slices.Contains(reading(), path) {
			continue
		}
		sub.Flags().StringVar(&p.reason, "reason", "", "why, for the audit")
		run := sub.RunE
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			if p.reason != "" {
				if err := (tenancy.Actor{Kind: tenancy.ActorCommandLine, Reason: p.reason}).Validate(); err != nil {
					return usage(err)
				}
				actor := tenancy.ActorFrom(cmd.Context())
				actor.Reason = p.reason
				cmd.SetContext(tenancy.WithActor(cmd.Context(), actor))
			}
			return run(cmd, args)
		}
	}
}
