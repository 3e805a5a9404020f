package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
	"github.com/intercom/lease/cmd/lease/internal/screen"
)

// watching is what the flags of watch say.
type watching struct {
	every time.Duration
	json  bool
	local bool
}

func (a *app) watch() *cobra.Command {
	var f watching
	c := a.command(cobra.Command{
		Use:     "watch [-every 2s] [-json] [-local] [-v]",
		Short:   "what changes, as it does",
		Long:    watchHelp,
		Example: "lease watch -table mailboxes -every 1s",
		Args:    cli.NoArguments,
	}, func(ctx context.Context, _ []string) error {
		if f.every < 50*time.Millisecond {
			return exit.Usagef("-every is %v; want 50ms or more", f.every)
		}
		lease.SetLogger(nil) // There may be a screen; and -v is for renewals.
		client, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		err = a.watchTable(ctx, client, f)
		if ctx.Err() != nil { // That is how one leaves it.
			return nil
		}
		return err
	})
	c.Flags().DurationVar(&f.every, "every", 2*time.Second, "look each `D`, else 2s")
	c.Flags().BoolVar(&f.json, "json", false, "one event a line, as an object")
	c.Flags().BoolVar(&f.local, "local", false, "times are of this host's zone, else UTC")
	return c
}

const watchHelp = `Shows what changes, as it does. It reads the whole table at each look, at one
read unit for each 4 KB. What comes and goes between two looks is not seen.

On a terminal: a screen with all items, the changed ones marked, and the
latest events. "?" lists the keys; q or Ctrl-C leaves.

Elsewhere, or with -json: one event a line. First each item as it is (state);
then obtained, renewed (with -v), released, freed (by force), ended,
handed_over, wanted, registered, retired, unusable.`

// zoneOf is where times are that people read.
func zoneOf(isLocal bool) *time.Location {
	if isLocal {
		return time.Local
	}
	return time.UTC
}

func (a *app) watchTable(ctx context.Context, c *dynamo.Client, f watching) error {
	w := dynamo.NewWatcher(c)
	if _, err := w.Look(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if hasScreen() && !f.json {
		return screen.Run(ctx, w, screen.Options{
			Where:   strings.Join([]string{say.Name(a.Table), say.Name(c.Region()), say.Name(a.Endpoint)}, "  "),
			Every:   f.every,
			Zone:    zoneOf(f.local),
			Verbose: a.verbose,
			Explain: func(err error) string { return say.Line(a.Explanation(err)) },
		})
	}
	say.Log.Timed = true
	say.Warn("watching %s of table %q, with a look each %v", say.Items(len(w.Seen)), c.Table, f.every)
	p := screen.Printer{Verbose: a.verbose, Explain: a.Explanation}
	p.Print = screen.Text(zoneOf(f.local))
	if f.json {
		p.Print = screen.JSON(os.Stdout)
	}
	if err := p.Events(w.States()); err != nil {
		return err
	}
	return p.Run(ctx, w.Start(ctx, f.every))
}

func hasScreen() bool { return say.IsTerminal(os.Stdout) && os.Getenv("TERM") != "dumb" }
