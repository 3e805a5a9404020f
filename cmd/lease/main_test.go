package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/exit"
)

func TestHelpFitsAScreenHasAnExampleAndNamesTheFlags(t *testing.T) {
	t.Parallel()
	root := (&app{}).commands()
	for _, c := range append(root.Commands(), root) {
		name := strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), "lease"), " ")
		if c.Hidden {
			continue
		}
		shown := helpOf(t, append(strings.Fields(name), "-h")...)
		assert.Equal(t, shown, helpOf(t, append([]string{"help"}, strings.Fields(name)...)...), name)
		lines := strings.Split(strings.TrimSuffix(shown, "\n"), "\n")
		assert.LessOrEqual(t, len(lines), 24, name)
		for _, line := range lines {
			assert.LessOrEqual(t, len(line), 79, line)
		}
		assert.Regexp(t, `(?m)^Example: .*lease `, shown, name)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			assert.Regexp(t, `[\s[]-`+cmp.Or(f.Shorthand, f.Name)+`\b`, shown, "%s -%s", name, f.Name)
		})
	}
}

func helpOf(t *testing.T, args ...string) string {
	root := (&app{}).commands()
	var shown strings.Builder
	root.SetOut(&shown)
	root.SetArgs(args)
	require.NoError(t, root.ExecuteContext(t.Context()))
	return shown.String()
}

func TestFlagsHaveOneDashOrTwoAndStandBetweenTheArguments(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"list -table x":               "list --table x",
		"-table x list":               "--table x list",
		"list --table=x -v -h":        "list --table=x -v -h",
		"add a -set=b=c -- -table":    "add a --set=b=c -- -table",
		"yield -wait -1s a -color":    "yield --wait -1s a --color",
		"hold -as -x cmd -as y -":     "hold --as -x cmd -as y -",
		"hold -as x -- -cmd -as y":    "hold --as x -- -cmd -as y",
		"-table hold hold -as x -c":   "--table hold hold --as x -c",
		"release a -yes -token 5 -to": "release a --yes --token 5 --to",
	} {
		root := (&app{}).commands()
		assert.Equal(t, want, strings.Join(cli.WithTwoDashes(root, strings.Fields(args)), " "))
	}
}

func TestVersionCompletionAndManualAreThere(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"version":            `^\S+ .*go1\.\d`,
		"completion bash":    "complete .* lease",
		"completion zsh":     "#compdef lease",
		"completion fish":    "complete -c lease",
		"man":                `\.TH "LEASE" "1"`,
		"man hold":           `SIGTERM(?s:.*)--items`,
		"__complete hold --": "(?s)--items\t.*--wait\t",
	} {
		r := runWith(t, environment(), strings.Fields(args)...)
		assert.Regexp(t, want, r.stdout, args)
		assert.Zero(t, r.status, args)
	}
}

func TestShellsAreToldFlagsWithTheDashesThatTheyHave(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		"list -sor":          {"-sort\tsort by COLUMN: name, state, holder, ends, token or weight"},
		"list --sor":         {"--sort\t"},
		"list -sort ":        {"ends\n", "weight\n"},
		"-table x list -sta": {"-state\tonly items in these states, S: held, reserved, free, never_leased, unusable"},
		"list -state ":       {"never_leased\n"},
		"hold -":             {"-items\t", "-wait\t", "-capacity\t", "-table\t"},
		"":                   {"version\t", "man\t", "completion\t", "hold\t"},
	} {
		words := strings.Split(args, " ")
		r := runWith(t, environment(), append([]string{"__complete"}, words...)...)
		for _, text := range want {
			assert.Contains(t, "\n"+r.stdout, "\n"+text, args)
		}
		assert.NotContains(t, r.stdout, "`")
	}
}

func TestUsageErrorsAreOneLineAndStatus2(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, words string }{
		{"", "no command"}, {"show", `"show"`}, {"hodl", "is it hold?"}, {"help hodl", "is it hold?"}, {"man hold list", "one command"}, {"completion tcsh", "which shell"},
		{"completion", "which shell"}, {"release a -token x", "want a number"}, {"cost -write-price -1", "want dollars"}, {"cost -every 0", "-every"}, {"cost x", "no arguments"}, {"weigh a 1e300", "1e9"}, {"list -color", "-color"}, {"list [", "pattern"}, {"list -sort x", "-sort"}, {"list -state x", "-state"}, {"list -held -free", "one of"},
		{"watch -every 0s", "-every"}, {"add", "add -h"}, {"add a -set b", "NAME=VALUE"}, {"retire", "retire -h"}, {"init x", "-table"},
		{"retire a -wait 1s", "-yield"}, {"retire a -yield -wait 0", "-wait"}, {"weigh a", "weigh -h"}, {"weigh a 0", "above 0"},
		{"add a -weight inf", "above 0"}, {"yield a -holder w", "not both"}, {"yield -holder w -to w", "-to"}, {"yield", "yield -h"}, {"yield a -wait -1s", "-wait"}, {"release a", "-token"}, {"release a b -token 1", "one item"},
		{"release a -token 1", "-yes"}, {"hold", "no command"}, {"hold -try -wait 1s true", "-try"}, {"hold -most 1 -item a true", "-most"},
		{"hold -items a* true", "-most"}, {"hold -most 1 -items [ true", "pattern"}, {"hold -linger -1s true", "-linger"}, {"hold -duration 30 true", "want 30s"}, {"hold -as w -most -1 true", "-most"},
		{"hold -as w -duration 1ms true", "-duration"}, {"list -endpoint localhost:8000", "http://"},
	} {
		err := (&app{}).run(t.Context(), append([]string{"-table", "unused"}, strings.Fields(test.args)...))
		assert.ErrorAs(t, err, new(exit.UsageError), test.args)
		assert.ErrorContains(t, err, test.words, test.args)
		assert.NotContains(t, err.Error(), "\n")
	}
	assertOneLine(t, runWith(t, environment(), "list"), 2, "-table", "LEASE_TABLE")
}

func TestSignalsOfOneSecondCountAsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &app{again: make(chan struct{})}
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		signals := make(chan os.Signal)
		go a.awaitSignals(signals, cancel)
		signals <- syscall.SIGINT
		synctest.Wait()
		assert.Equal(t, interrupted{syscall.SIGINT}, context.Cause(ctx))

		// timeout(1) sends two.
		for range 2 {
			signals <- syscall.SIGTERM
			time.Sleep(500 * time.Millisecond)
		}
		select {
		case <-a.again:
			assert.Fail(t, "it counts as another")
		default:
		}
		time.Sleep(time.Millisecond)
		signals <- syscall.SIGTERM
		<-a.again
	})
}

func TestStatusIsThatOfWhatWentWrong(t *testing.T) {
	t.Parallel()
	interruptedCtx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGTERM})
	for _, test := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"nothing", t.Context(), nil, 0},
		{"nothing, and a signal came", interruptedCtx, nil, 0},
		{"said already", t.Context(), fmt.Errorf("wrapped: %w", exit.Status(75)), 75},
		{"a signal", t.Context(), interrupted{syscall.SIGINT}, 128 + 2},
		{"what a signal has ended", interruptedCtx, errors.New("given up"), 128 + 15},
		{"wrong usage", t.Context(), exit.Usagef("no"), 2},
		{"anything else", t.Context(), errors.New("no"), 1},
	} {
		assert.Equal(t, test.want, (&app{}).status(test.ctx, test.err), test.name)
	}
}
