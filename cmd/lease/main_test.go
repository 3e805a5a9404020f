package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHelpFitsAScreenHasAnExampleAndNamesTheFlags(t *testing.T) {
	t.Parallel()
	for _, c := range append([]command{{help: help, setup: noSetup}}, commands...) {
		ways := [][]string{{c.name, "-h"}, {"help", c.name}}
		if c.name == "" {
			ways = [][]string{{"-h"}, {"help"}}
		}
		for _, way := range ways {
			r := runWith(t, environment(), way...)
			assert.Equal(t, result{stdout: c.help}, r, way)
		}
		lines := strings.Split(strings.TrimSuffix(c.help, "\n"), "\n")
		assert.LessOrEqual(t, len(lines), 23, "%s: and a line for the prompt", c.name)
		for _, line := range lines {
			assert.LessOrEqual(t, len(line), 79, line)
		}
		assert.Regexp(t, `(?m)^Examples?: .*lease `, c.help)
		flags := (&app{}).newFlags(c.name)
		c.setup(&app{}, flags)
		flags.VisitAll(func(f *flag.Flag) {
			assert.Regexp(t, `[\s[]-`+f.Name+`\b`, c.help, "%s -%s", c.name, f.Name)
		})
		for _, named := range regexp.MustCompile(`(?m)^  -([a-z]+)`).FindAllStringSubmatch(c.help, -1) {
			assert.NotNil(t, flags.Lookup(named[1]), "%s -%s", c.name, named[1])
		}
	}
}

func TestParseTakesFlagsBetweenTheArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args     string
		verbatim bool
		rest     string
	}{
		{"-x 1 a b", false, "a b"}, {"a -x 1 b", false, "a b"}, {"a b -x 1", false, "a b"}, {"a -x=1 -- -y b", false, "a -y b"},
		{"-x 1 -- a -y", true, "a -y"}, {"-x 1 a -x 2 -y", true, "a -x 2 -y"}, {"a -- -y -x 1", true, "a -- -y -x 1"},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		x := flags.Int("x", 0, "")
		rest, err := parse(flags, strings.Fields(test.args), test.verbatim)
		require.NoError(t, err, test.args)
		assert.Equal(t, test.rest, strings.Join(rest, " "), test.args)
		if !strings.HasPrefix(test.args, "a -- ") {
			assert.Equal(t, 1, *x, test.args)
		}
	}
}

func TestUsageErrorsAreOneLineAndStatus2(t *testing.T) {
	t.Parallel()
	env := environment("LEASE_TABLE=unused")
	for _, test := range []struct{ args, words string }{
		{"", "no command"}, {"show", `"show"`}, {"list -color", "-color"}, {"list alice", "no arguments"}, {"list -held -free", "one of"},
		{"watch -every 0s", "-every"}, {"add", "add -h"}, {"add a -set b", "NAME=VALUE"}, {"retire", "retire -h"}, {"init x", "-table"},
		{"yield", "yield -h"}, {"yield a -wait -1s", "-wait"}, {"release a", "-token"}, {"release a b -token 1", "one item"},
		{"release a -token 1", "-yes"}, {"hold -- true", "-as"}, {"hold -as w", "no command"}, {"hold -as w -most -1 true", "-most"},
		{"hold -as w -duration 1ms true", "-duration"}, {"list -endpoint localhost:8000", "http://"},
	} {
		r := runWith(t, env, strings.Fields(test.args)...)
		assertOneLine(t, r, 2, test.words)
		assert.Empty(t, r.stdout, test.args)
	}
	assertOneLine(t, runWith(t, environment(), "list"), 2, "-table", "LEASE_TABLE")
}

func noSetup(*app, *flag.FlagSet) action { return nil }

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
		{"said already", t.Context(), fmt.Errorf("wrapped: %w", exitStatus(75)), 75},
		{"a signal", t.Context(), interrupted{syscall.SIGINT}, 128 + 2},
		{"what a signal has ended", interruptedCtx, errors.New("given up"), 128 + 15},
		{"wrong usage", t.Context(), usagef("no"), 2},
		{"anything else", t.Context(), errors.New("no"), 1},
	} {
		assert.Equal(t, test.want, (&app{}).status(test.ctx, test.err), test.name)
	}
}

func TestOneLineIsOneLineThatNoTerminalTakesForACommand(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a; b: c; d", oneLine(" a\nb\n\tc\r\nd\n"))
	assert.Equal(t, " [2J x", oneLine("\x1b[2J\u009bx"))
}
