//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

// browser is the Debian package of the browser that the console's page is tried in. Its program has the same name.
const browser = "chromium"

// install installs the packages of those engines that are missing, and the browser's where it can.
func install(ctx context.Context) error {
	var packages []string
	if _, err := exec.LookPath(browser); err != nil && os.Geteuid() == 0 {
		if _, err := exec.LookPath("apt-get"); err == nil {
			packages = append(packages, browser)
		}
	}
	if _, err := testserver.FindBouncer(); errors.Is(err, testserver.ErrNotInstalled) {
		packages = append(packages, testserver.BouncerPackage)
	}
	for _, engine := range engines() {
		err := engine.Find()
		if errors.Is(err, testserver.ErrNotInstalled) {
			packages = append(packages, engine.Package())
		} else if err != nil {
			return err
		}
	}
	if len(packages) == 0 {
		return nil
	}
	names := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("this needs servers: install %s (names of Debian's packages), or run as root where apt-get is", names)
	}
	fmt.Fprintln(os.Stderr, "run: installing", names)
	return aptInstall(ctx, packages)
}

func aptInstall(ctx context.Context, packages []string) error {
	dir, err := os.MkdirTemp("", "tenancy-install-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// A file, not a pipe: what an installation starts after all, and holds our pipe,
	// would keep whoever reads it waiting.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	allow, err := forbidStarts(policyFile)
	if err != nil {
		return err
	}
	defer allow()
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "--no-install-recommends", "-y"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // not in the midst of a package
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, text)
		}
	}
	return nil
}
