//go:build unix

// Command busy runs another command on a machine that seems slow:
//
//	busy -loops 8 go test ./...          # beside eight loops that compute
//	go test -exec 'busy -share 0.1' ./... # each test binary runs a tenth of the time
//
// With -share it stops the command's process group and lets it go on, again and
// again. It signals that group alone, ends it when busy itself is ended, and
// exits as the command does.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// slice is how long the command runs between two stops, on average.
const slice = 10 * time.Millisecond

func main() {
	loops := flag.Int("loops", 0, "loops that compute beside the command")
	share := flag.Float64("share", 1, "part of the time in which the command runs, above 0 and up to 1")
	flag.Parse()
	if flag.NArg() == 0 || *loops < 0 || *share <= 0 || *share > 1 {
		fmt.Fprintln(os.Stderr, "usage: busy [-loops n] [-share part] command [argument ...]")
		os.Exit(2)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	spin(*loops)
	code, err := run(flag.Args(), *share, signals)
	if err != nil {
		fmt.Fprintln(os.Stderr, "busy:", err)
	}
	os.Exit(code)
}

// spin starts n loops, which end with this process.
func spin(n int) {
	runtime.GOMAXPROCS(n + runtime.GOMAXPROCS(0)) // a processor of its own for each, so that the kernel divides the time
	for range n {
		go func() {
			for x := uint64(1); ; x *= 3 { //nolint:staticcheck // it computes
			}
		}()
	}
}

// run runs a command with this process's standard streams, stopped for all of the
// time but the share, and returns its exit code. Signals go to the command's group.
func run(argv []string, share float64, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Should this process be killed, the kernel ends the group: it sends SIGHUP and
	// SIGCONT to a stopped group that has lost its last parent.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	group, stopped := -cmd.Process.Pid, false
	var next <-chan time.Time
	if share < 1 {
		next = time.After(slice)
	}
	for {
		select {
		case err := <-done:
			return exitCode(err)
		case sig := <-signals:
			_ = syscall.Kill(group, sig.(syscall.Signal))
			_ = syscall.Kill(group, syscall.SIGCONT) // a stopped process takes no signal
			stopped = false
		case <-next:
			if stopped = !stopped; stopped {
				_ = syscall.Kill(group, syscall.SIGSTOP)
				next = time.After(about(time.Duration(float64(slice) * (1/share - 1))))
			} else {
				_ = syscall.Kill(group, syscall.SIGCONT)
				next = time.After(about(slice))
			}
		}
	}
}

// about returns a time between half of d and one and a half, so that the stops keep
// no step with anything that the command does.
func about(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func exitCode(err error) (int, error) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, err
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
