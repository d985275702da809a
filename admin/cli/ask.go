package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// placeholder is an argument in the line of use of a command: "<tenant>" is required,
// "[tenant]" may be missing, and dots say that it may be repeated.
type placeholder struct {
	name             string
	required, repeat bool
}

var placeholders = regexp.MustCompile(`<([a-z]+)>(\.\.\.)?|\[([a-z]+)\](\.\.\.)?`)

// argumentsOf returns the arguments in the line of use of a command.
func argumentsOf(cmd *cobra.Command) (out []placeholder) {
	for _, m := range placeholders.FindAllStringSubmatch(cmd.Use, -1) {
		out = append(out, placeholder{m[1] + m[3], m[1] != "", m[2]+m[4] != ""})
	}
	return out
}

// prepare makes all commands ask for the arguments that they lack, where somebody can
// answer, and complete them in a shell.
func (p *program) prepare(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		p.prepare(sub)
	}
	if cmd.RunE == nil || cmd.HasSubCommands() {
		return
	}
	all := argumentsOf(cmd)
	p.complete(cmd, all)
	var required []placeholder
	for _, a := range all {
		if a.required {
			required = append(required, a)
		}
	}
	check, run := cmd.Args, cmd.RunE
	if len(required) == 0 || check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if _, can := terminal(cmd.InOrStdin()); can && len(args) < len(required) {
			return nil // asked for below
		}
		return check(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, a := range required[min(len(args), len(required)):] {
			answer, err := p.ask(cmd, a.question())
			if err != nil {
				return err
			}
			args = append(args, answer)
		}
		if err := check(cmd, args); err != nil {
			return err
		}
		return run(cmd, args)
	}
}

func (a placeholder) question() string {
	switch a.name {
	case "tenant":
		return "Tenant (slug, ID or domain):"
	case "key":
		return "ID of the key:"
	case "url":
		return "URL:"
	}
	return strings.ToUpper(a.name[:1]) + a.name[1:] + ":"
}

// ask asks for a text on a terminal.
func (p *program) ask(cmd *cobra.Command, question string) (string, error) {
	fmt.Fprint(cmd.ErrOrStderr(), question+" ")
	answer, err := p.readLine(cmd)
	if err == nil && answer == "" {
		err = usage(fmt.Errorf("no answer; see %q", cmd.CommandPath()+" --help"))
	}
	return answer, err
}

// readLine reads a line of the standard input. Lines that follow stay for the next
// question. Its error is one of usage, or the context's after an interrupt.
func (p *program) readLine(cmd *cobra.Command) (string, error) {
	if p.input == nil {
		p.input = bufio.NewReader(cmd.InOrStdin())
	}
	type read struct {
		line string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		line, err := p.input.ReadString('\n')
		got <- read{line, err}
	}()
	select {
	case <-cmd.Context().Done(): // Ctrl-C while a question waits
		fmt.Fprintln(cmd.ErrOrStderr())
		return "", cmd.Context().Err()
	case r := <-got:
		if errors.Is(r.err, io.EOF) && r.line == "" {
			fmt.Fprintln(cmd.ErrOrStderr())
			return "", usage(errors.New("no answer"))
		}
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", usage(fmt.Errorf("no answer: %w", r.err))
		}
		return strings.TrimSpace(r.line), nil
	}
}
