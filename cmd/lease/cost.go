package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

func (a *app) cost() *cobra.Command {
	var lasts, every time.Duration
	var prices *fleet.Prices
	var asJSON bool
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:     "cost [-for 30s] [-write-price P] [-read-price P] [-json]",
		Short:   "what the fleet costs as it is now",
		Long:    costHelp,
		Example: "lease cost -table mailboxes -write-price 0.705 -read-price 0.1415",
		Args:    cli.NoArguments,
	}, func(ctx context.Context, _ []string) error {
		if every <= 0 {
			return exit.Usagef("-every is %v; want a time", every)
		}
		if lasts < every {
			return exit.Usagef("-for is %v; want %v or more", lasts, every)
		}
		if err := checkPrices(c, prices); err != nil {
			return err
		}
		client, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		m, err := client.Measure(ctx, lasts, every)
		if err != nil {
			return err
		}
		b := m.Bill(*prices)
		if asJSON {
			return json.NewEncoder(os.Stdout).Encode(b)
		}
		return say.Printf("%s", b)
	})
	flags := c.Flags()
	flags.DurationVar(&lasts, "for", 30*time.Second, "watch the table for `D`, else 30s")
	flags.DurationVar(&every, "every", 2*time.Second, "look each `D`, else 2s: more often than leases are renewed")
	prices = pricesOf(c)
	flags.BoolVar(&asJSON, "json", false, "an object")
	return c
}

// pricesOf are the prices that a command's flags say.
func pricesOf(c *cobra.Command) *fleet.Prices {
	p := &fleet.Prices{}
	flags := c.Flags()
	flags.Float64Var(&p.Write, "write-price", fleet.WritePrice,
		"`P` dollars for a million write units")
	flags.Float64Var(&p.Read, "read-price", fleet.ReadPrice,
		"`P` dollars for a million read units")
	return p
}

// checkPrices tells what is wrong with them, and notes whether they were given.
func checkPrices(c *cobra.Command, p *fleet.Prices) error {
	if !p.AreNumbers() {
		return exit.Usagef("-write-price is %v and -read-price %v; want dollars", p.Write, p.Read)
	}
	p.AreGiven = cli.IsGiven(c, "write-price") || cli.IsGiven(c, "read-price")
	return nil
}

const costHelp = `Watches a table for a while, and says what the fleet costs: its writes, as
they are seen (a renewal for each item and third of a lease, above all), and
the looks of its workers, as HoldShare makes them: one in a third of a lease,
at most one each 30 seconds, fewer in fleets of over 100. Storage, and what
works read and write themselves, is not in it.`
