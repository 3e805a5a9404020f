package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/ask"
	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

func (a *app) retire() *cobra.Command {
	var yields bool
	var wait time.Duration
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:     "retire ITEM... [-yield [-wait 1m]]",
		Short:   "delete items",
		Long:    retireHelp,
		Example: "lease retire -table mailboxes alice bob -yield",
	}, func(ctx context.Context, ids []string) error {
		if len(ids) == 0 {
			return exit.Usagef(`retire what? see "lease retire -h"`)
		}
		if wait <= 0 {
			return exit.Usagef("-wait is %v; want a time to wait for", wait)
		}
		if yields {
			return ask.Retire(ctx, &a.Address, ids, wait)
		}
		if cli.IsGiven(c, "wait") {
			return exit.Usagef("-wait is for -yield: without that it waits for nothing")
		}
		c, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		return a.each(ctx, ids, func(id string) error { return retire(ctx, c, id) })
	})
	c.Flags().BoolVar(&yields, "yield", false,
		"ask the holder to finish and hand the item over, and then "+
			"delete it, so that nobody else comes first")
	c.Flags().DurationVar(&wait, "wait", time.Minute,
		"with -yield: wait for `D` at most, else 1m. An item that isn't "+
			"given up in that time stays, and is asked for no longer")
	return c
}

const retireHelp = `Deletes items that nobody holds, with all their attributes. One that is held
stays, and the exit status is 1, unless it is had by -yield in time.`

func retire(ctx context.Context, c *dynamo.Client, id string) error {
	i, err := c.Find(ctx, id)
	if err != nil {
		return err
	}
	err = c.RemoveLeaseIDWithContext(ctx, id)
	if errors.Is(err, lease.LeaseHeldError) {
		return heldError(ctx, c, id)
	}
	if err != nil && i.Why != "" {
		return errors.New(i.Unreadable())
	}
	if err != nil {
		return err
	}
	return say.Printf("%s: retired\n", say.Name(id))
}

// heldError says who holds an item that was to be retired.
func heldError(ctx context.Context, c *dynamo.Client, id string) error {
	state := "is held"
	i, err := c.Find(ctx, id)
	if err == nil {
		state = i.Describe(time.Now())
	}
	return fmt.Errorf(`%s %s: "lease retire ITEM -yield" asks for it, and deletes it then`,
		say.Name(id), state)
}
