//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// grace is how long a command may take to end after SIGTERM or SIGHUP.
const grace = 10 * time.Second

// runCommand runs a command with this process's standard streams and the added
// environment, passes signals on to it, and returns its exit code. What go test
// prints of failures is printed again in the end.
//
// Without a terminal the command has a process group of its own and signals go
// to the whole group: a shell or "go test" would not pass them on. A terminal
// sends SIGINT to every process by itself.
func runCommand(argv, env []string, signals <-chan os.Signal) (int, error) {
	tty := hasTerminal()
	cmd := exec.Command(argv[0], argv[1:]...)
	failed := &failures{to: os.Stdout}
	defer failed.repeat()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, failed, os.Stderr
	cmd.WaitDelay = grace // for a process that it left behind, with the pipe
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !tty}
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	target := -cmd.Process.Pid
	if tty {
		target = cmd.Process.Pid
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			return exitCode(err)
		case <-late:
			_ = syscall.Kill(target, syscall.SIGKILL)
		case sig := <-signals:
			if sig != syscall.SIGINT {
				late = time.After(grace)
			} else if tty {
				continue
			}
			_ = syscall.Kill(target, sig.(syscall.Signal))
		}
	}
}

// hasTerminal reports whether a terminal controls this process.
func hasTerminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func exitCode(err error) (int, error) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if errors.Is(err, exec.ErrWaitDelay) {
		return 0, nil // it ended well, before a process that it left behind
	}
	if !ok {
		return 0, err
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
