package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease/cmd/lease/internal/ask"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// wanting is what the flags of yield say.
type wanting struct {
	holder string // of all items that are asked for; "": they are named
	to     string // who is to have them; "" is whoever comes
	force  bool   // whoever that is
	wait   time.Duration
}

func (a *app) yield() *cobra.Command {
	var f wanting
	c := a.command(cobra.Command{
		Use:     "yield ITEM... | -holder X [-to LESSEE [-force]] [-wait 1m]",
		Short:   "ask a holder to give it up",
		Long:    yieldHelp,
		Example: "lease yield -table mailboxes alice -to host-2:4711 -wait 2m",
	}, func(ctx context.Context, ids []string) error {
		if err := f.check(ids); err != nil {
			return err
		}
		y, err := ask.New(&a.Address, f.to, f.wait)
		if err != nil {
			return err
		}
		err = y.Patiently(ctx, func(ctx context.Context) error {
			wanted, err := f.survey(ctx, y.Client, ids)
			if err == nil {
				ids = wanted
			}
			return err
		})
		if err != nil {
			return err
		}
		return y.Run(ctx, ids)
	})
	flags := c.Flags()
	flags.StringVar(&f.holder, "holder", "", "instead of ITEM: all that `X` holds")
	flags.StringVar(&f.to, "to", "",
		"it is to hand the item over to `LESSEE`; else it frees it for whoever comes")
	flags.BoolVar(&f.force, "force", false, "also where no live worker of that name is seen")
	flags.DurationVar(&f.wait, "wait", time.Minute,
		"wait for `D` at most, else 1m; 0: ask, and don't wait. The wish "+
			"stands until the lease would end, so the holder will see it")
	return c
}

const yieldHelp = `Asks the holder of an item to finish its work and give the item up. It learns
of that with its next renewal, and nothing happens by force: a worker that
heeds no wishes keeps the item. Then it waits until somebody else has the
item, or nobody, and says who. If the holder still has it then, the exit
status is 1. A worker that goes on takes a fair share again: to drain it, stop
it instead.`

func (f wanting) check(ids []string) error {
	isNamed := len(ids) > 0
	if isNamed && f.holder != "" {
		return exit.Usagef("give items, or -holder: not both")
	}
	if !isNamed && f.holder == "" {
		return exit.Usagef(`yield what? see "lease yield -h"`)
	}
	if f.holder != "" && f.holder == f.to {
		return exit.Usagef("-holder and -to are the same worker: there is nothing to ask it for")
	}
	if f.wait < 0 {
		return exit.Usagef("-wait is %v; want 0 or more", f.wait)
	}
	return nil
}

// survey looks who is there, where that matters, and returns the items to ask for.
func (f wanting) survey(ctx context.Context, c *dynamo.Client, ids []string) ([]string, error) {
	if err := c.Reach(ctx); err != nil {
		return nil, err
	}
	checksTo := f.to != "" && !f.force
	if f.holder == "" && !checksTo {
		return ids, nil
	}
	seen := fleet.NewCensus()
	_, err := c.Scan(ctx, true, func(page []fleet.Item) error {
		seen.Add(page, time.Now())
		return nil
	})
	if err == nil && checksTo {
		err = seen.Refuse(f.to)
	}
	if err != nil || f.holder == "" {
		return ids, err
	}
	ids = seen.Items[f.holder]
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s holds nothing in table %q", say.Name(f.holder), c.Table)
	}
	say.Warn("%s has %s. If it goes on it takes a fair share of all items again: "+
		"stop it to drain it.", say.Name(f.holder), say.Items(len(ids)))
	return ids, nil
}
