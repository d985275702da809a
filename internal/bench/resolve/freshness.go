//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/internal/bench"
)

// replicas is how many processes look at what this one changes.
const replicas = 3

// task is what a replica is told when it starts.
type task struct {
	Postgres, Redis string // addresses; without Redis the TTL is a second
}

// watch is what a replica looks for: a version or a later one of a tenant, and
// whether a domain leads somewhere.
type watch struct {
	Slug    string
	Version int64
	Domain  string // "" is none
	There   bool
}

// runFreshness prints how soon a change is seen by other processes.
func (g *ground) runFreshness(ctx context.Context) error {
	fmt.Printf("\n%-28s %8s %11s %11s %11s   %s\n", "freshness, 3 processes", "changes", "p50", "p99", "max", "between two looks: p50, p99, max")
	if err := g.freshness(ctx, "status", g.changes/4, g.redis, g.setStatus); err != nil {
		return err
	}
	if err := g.freshness(ctx, "settings", g.changes/4, g.redis, g.setSettings); err != nil {
		return err
	}
	if err := g.freshness(ctx, "domain added or removed", g.changes/2, g.redis, g.setDomain); err != nil {
		return err
	}
	return g.freshness(ctx, "without Redis, TTL 1s", g.late, "", g.setStatus)
}

// changer makes the change of that number to a tenant, in turn with others.
type changer func(ctx context.Context, cat *catalog.Catalog, t *tenancy.Tenant, i int) (*tenancy.Tenant, error)

func (g *ground) setStatus(ctx context.Context, cat *catalog.Catalog, t *tenancy.Tenant, _ int) (*tenancy.Tenant, error) {
	if t.Status == tenancy.StatusActive {
		return cat.SetStatus(ctx, t.ID, tenancy.StatusSuspended)
	}
	return cat.SetStatus(ctx, t.ID, tenancy.StatusActive)
}

func (g *ground) setSettings(ctx context.Context, cat *catalog.Catalog, t *tenancy.Tenant, i int) (*tenancy.Tenant, error) {
	t = t.Clone()
	t.Settings["theme"] = fmt.Sprint("theme ", i)
	return cat.Update(ctx, t)
}

func (g *ground) setDomain(ctx context.Context, cat *catalog.Catalog, t *tenancy.Tenant, i int) (*tenancy.Tenant, error) {
	if i%2 == 0 {
		return cat.AddDomain(ctx, t.ID, moved)
	}
	return cat.RemoveDomain(ctx, t.ID, moved)
}

// moved is the domain that setDomain adds and removes.
const moved = "moved.example.net"

// freshness makes changes, one when all replicas have seen the one before, and
// prints a row.
func (g *ground) freshness(ctx context.Context, what string, changes int, redis string, change changer) error {
	cat := g.inPG.Catalog
	if redis != "" {
		// It tells others of changes.
		cache, err := cache.NewRedis(cat, g.client, namespace, &cache.Options{Logger: quiet})
		if err != nil {
			return err
		}
		defer func() { _ = cache.Close() }()
	}
	all := make([]*process, replicas)
	for i := range all {
		p, err := startReplica(ctx, task{g.postgres, redis})
		if err != nil {
			return err
		}
		defer p.kill()
		all[i] = p
	}
	// What was changed before is another row's.
	t, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: g.tenants[0].Slug})
	if err != nil {
		return err
	}
	var took []time.Duration
	for i := range changes {
		w := watch{Slug: t.Slug, Version: t.Version + 1, There: i%2 == 0}
		if what == "domain added or removed" {
			w.Domain = moved
		}
		for _, p := range all {
			if err := p.watch(w); err != nil {
				return err
			}
		}
		began := time.Now()
		if t, err = change(ctx, cat, t, i); err != nil {
			return err
		}
		for _, p := range all {
			at, err := p.seen()
			if err != nil {
				return err
			}
			took = append(took, at.Sub(began))
		}
	}
	var gaps string
	for _, p := range all {
		text, err := p.end()
		if err != nil {
			return err
		}
		gaps += "  " + text
	}
	fmt.Printf("%-28s %8d %11v %11v %11v %s\n", what, changes, micro(bench.Percentile(took, 50)), micro(bench.Percentile(took, 99)), micro(bench.Percentile(took, 100)), gaps)
	return nil
}

func micro(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// process is a replica.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startReplica(ctx context.Context, of task) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, program)} // this one
	p.cmd.Env = append(os.Environ(), replicaEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	return p, p.cmd.Start()
}

func (p *process) line() (string, error) {
	if !p.out.Scan() {
		return "", errors.Join(errors.New("a replica has ended"), p.out.Err())
	}
	return p.out.Text(), nil
}

// watch returns when the replica has looked for the first time.
func (p *process) watch(w watch) error {
	if err := json.NewEncoder(p.in).Encode(w); err != nil {
		return err
	}
	_, err := p.line()
	return err
}

// seen returns when the replica saw what it looked for.
func (p *process) seen() (time.Time, error) {
	text, err := p.line()
	if err != nil {
		return time.Time{}, err
	}
	var at int64
	_, err = fmt.Sscan(text, &at)
	return time.Unix(0, at), err
}

// end ends the replica and returns how often it looked.
func (p *process) end() (string, error) {
	_ = p.in.Close()
	return p.line()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
