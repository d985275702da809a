//go:build unix

package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a server's running program.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when the program and its children have ended
	err  error         // how the program ended; read it after gone
}

// spawn starts argv in the folder dir, its output going to the file log.
func spawn(argv []string, dir, log string, cred *syscall.Credential, orphans syscall.Signal, opts Options) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the server has its own
	cmd := command(context.Background(), argv, dir, cred)
	cmd.Stdout, cmd.Stderr = out, out
	if opts.Detached {
		cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid = false, true
	} else {
		dieWithParent(cmd.SysProcAttr, orphans)
	}
	// All children of the server hold the writing end of this pipe.
	alive, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{held}

	p := &process{cmd: cmd, gone: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux takes the thread that started a process for its parent, so this
		// thread must live as long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = alive.Close() }()
		err := cmd.Start()
		_ = held.Close()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		_, _ = alive.Read(make([]byte, 1)) // until the last child has ended
		close(p.gone)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// end sends the signal and waits until the process has ended. It reports false
// when that takes longer than the timeout.
func (p *process) end(sig syscall.Signal, timeout time.Duration) bool {
	// The only error is that the process has ended.
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.gone:
		return true
	case <-time.After(timeout):
		return false
	}
}

// runOnce runs a command to its end. When ctx ends, its children end too.
func runOnce(ctx context.Context, argv []string, dir string, cred *syscall.Credential) error {
	cmd := command(ctx, argv, dir, cred)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", argv[0], errors.Join(ctx.Err(), err), tail(out))
	}
	return nil
}

// command prepares a command with a process group of its own: a terminal's
// Ctrl-C goes to the tests, which may still need the server to clean up.
func command(ctx context.Context, argv []string, dir string, cred *syscall.Credential) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PWD="+dir, "HOME="+dir, "LC_ALL=C") // LC_ALL: logs are read
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	return cmd
}

// tail returns the last 2000 bytes of a log, or all of it.
func tail(log []byte) []byte {
	return log[max(0, len(log)-2000):]
}
