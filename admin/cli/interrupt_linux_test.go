package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/admin/cli"
)

// TestSecondInterrupt interrupts a program whose command does not end: the first interrupt ends its context, the second the program.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	const inside = "TENANCY_TEST_SECOND_INTERRUPT"
	if os.Getenv(inside) != "" {
		cli.Main(&cobra.Command{
			Args: cobra.ArbitraryArgs, DisableFlagParsing: true,
			Run: func(cmd *cobra.Command, _ []string) {
				fmt.Println("ready")
				<-cmd.Context().Done()
				fmt.Println("interrupted")
				select {}
			},
		})
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSecondInterrupt$") // the test's own program
	program.Env = append(os.Environ(), inside+"=1")
	out, err := program.StdoutPipe()
	if err == nil {
		err = program.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case "ready":
			err = program.Process.Signal(os.Interrupt)
		case "interrupted":
			go func() { // the context ends a moment before signals do what they do
				for program.Process.Signal(os.Interrupt) == nil {
					select {
					case <-ctx.Done():
						return
					case <-time.After(10 * time.Millisecond):
					}
				}
			}()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = program.Wait()
	if how, ok := program.ProcessState.Sys().(syscall.WaitStatus); !ok || !how.Signaled() || how.Signal() != syscall.SIGINT {
		t.Errorf("got %v, want the end by the interrupt", program.ProcessState)
	}
}
