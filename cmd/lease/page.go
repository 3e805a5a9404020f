package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/page"
)

func (a *app) page() *cobra.Command {
	var o page.Options
	var prices *fleet.Prices
	var isLocal bool
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:     "page [-listen HOST:PORT] [-db FILE] [-keep D] [-every D] [-local]",
		Short:   "the fleet in a browser",
		Long:    pageHelp,
		Example: "lease page -table mailboxes -db mailboxes.db",
		Args:    cli.NoArguments,
	}, func(ctx context.Context, _ []string) error {
		if err := checkPrices(c, prices); err != nil {
			return err
		}
		o.Prices = *prices
		o.Zone = zoneOf(isLocal)
		if cli.IsGiven(c, "db") && o.File == "" {
			return exit.Usagef("-db is empty; want a file, or leave it out")
		}
		if err := o.Check(); err != nil {
			return err
		}
		lease.SetLogger(nil) // What goes wrong it says itself.
		client, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		err = page.Run(ctx, client, &a.Address, o)
		if ctx.Err() != nil { // That is how one leaves it.
			return nil
		}
		return err
	})
	flags := c.Flags()
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8099", "serve at `HOST:PORT`")
	flags.StringVar(&o.File, "db", "", "keep what is seen in `FILE`, of SQLite; else in memory")
	flags.DurationVar(&o.Keep, "keep", 7*24*time.Hour, "for how long, `D`, else a week")
	flags.BoolVar(&isLocal, "local", false, "times are of this host's zone, else UTC")
	flags.DurationVar(&o.Every, "every", 2*time.Second, "look each `D`, else 2s")
	prices = pricesOf(c)
	return c
}

const pageHelp = `Shows a table in a browser, live: who holds how much over time, who came,
died and left, each item's tenures, what nobody works on and why, and the
cost; as JSON under /api/, for Prometheus at /metrics. It looks as watch does,
at one read unit for each 4 KB, and writes nothing to the table.

Whoever reaches its address may look; by default that is this host alone.`
