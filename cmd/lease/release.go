package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// releasing is what the flags of release say.
type releasing struct {
	token  int64
	holder string // "" if it isn't given
	yes    bool
}

func (a *app) release() *cobra.Command {
	var r releasing
	c := a.command(cobra.Command{
		Use:     "release ITEM -token N [-holder LESSEE] [-yes]",
		Short:   "free an item by force",
		Long:    releaseHelp,
		Example: "lease release -table mailboxes alice -token 1767225600002",
	}, func(ctx context.Context, args []string) error {
		if err := r.check(args); err != nil {
			return err
		}
		c, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		return r.run(ctx, c, args[0])
	})
	c.Flags().Int64Var(&r.token, "token", -1, "the fencing token `N`, as \"lease list\" shows it")
	c.Flags().StringVar(&r.holder, "holder", "", "you saw it held by `LESSEE`; else the holder is read now, and shown")
	c.Flags().BoolVar(&r.yes, "yes", false, "don't ask; needed where stdin is no terminal")
	return c
}

const releaseHelp = `Frees an item by force, in the tenure that you saw: nothing happens if its
token or its holder has changed since. The holder is not asked. It learns of
it with its next renewal; until then it and the next holder may both work on
the item. "lease yield" asks the holder, and is the safe way.

Exit status: 0 if the item was freed; 1 if not, because it has changed, say.`

func (r *releasing) check(args []string) error {
	if len(args) != 1 {
		return exit.Usagef(`release frees one item, and got %d; see "lease release -h"`, len(args))
	}
	if r.token < 0 {
		return exit.Usagef(`which tenure? Give -token N, as "lease list" shows it`)
	}
	if !r.yes && !say.IsTerminal(os.Stdin) {
		return exit.Usagef("nothing was released: stdin is no terminal to ask on; give -yes")
	}
	return nil
}

func (r *releasing) run(ctx context.Context, c *dynamo.Client, id string) error {
	seen, err := c.Find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := r.refuse(seen, now); err != nil {
		return err
	}
	if !seen.Live(now) {
		return say.Printf("%s: there is nothing to release: it %s\n", say.Name(id), seen.Describe(now))
	}
	holder := say.Name(seen.LesseeID)
	say.Warn("%s %s.", say.Name(id), seen.Describe(now))
	say.Warn("This frees it by force. %s learns of that with its next renewal; "+
		"until then it and the next holder may both work on it.", holder)
	if err := r.confirm(ctx); err != nil {
		return err
	}
	if err := r.release(ctx, c, seen); err != nil {
		return err
	}
	return say.Printf("%s: released; %s had it, with the token %d\n", say.Name(id), holder, r.token)
}

// refuse returns why an item is not what the operator saw, or can't be released.
func (r *releasing) refuse(i fleet.Item, now time.Time) error {
	name := say.Name(i.LeaseID)
	if i.Why != "" {
		return fmt.Errorf("nothing was released: %s %s", name, i.Describe(now))
	}
	if !r.saw(i) {
		text := "nothing was released, as it has changed: " + name + " " + i.Describe(now)
		if !i.Live(now) && i.FencingToken != r.token {
			text += fmt.Sprintf(", and its token is %d", i.FencingToken)
		}
		return errors.New(text)
	}
	if i.Tokenless {
		return fmt.Errorf("nothing was released: %s has no token to be bound to, "+
			"as %s is a worker of the original library; stop that one, "+
			"or wait until its lease ends",
			name, say.Name(i.LesseeID))
	}
	return nil
}

// saw tells whether an item may be as the operator saw it: in that tenure.
func (r *releasing) saw(i fleet.Item) bool {
	if i.LesseeID == "" || i.FencingToken != r.token {
		return false
	}
	return r.holder == "" || r.holder == i.LesseeID
}

// confirm asks the operator, if that is wanted. It returns an error unless the item is to be
// released.
func (r *releasing) confirm(ctx context.Context) error {
	if r.yes {
		return nil
	}
	sure, err := say.Confirm(ctx, "Release it? [y/N] ")
	if err != nil || !sure {
		return errors.Join(err, errors.New("nothing was released"))
	}
	return nil
}

// release frees the item in the tenure that was seen. Where it has changed, the error says how.
func (r *releasing) release(ctx context.Context, c *dynamo.Client, seen fleet.Item) error {
	if err := c.MarkForced(ctx, seen); err != nil {
		return err
	}
	err := c.ReleaseLeaseWithContext(ctx, dynamo.LeaseOf(seen.LeaseItem))
	if !errors.Is(err, lease.LeaseLostError) {
		return err
	}
	is, found, err := c.Get(ctx, seen.LeaseID)
	if err != nil {
		return err
	}
	name := say.Name(seen.LeaseID)
	if !found {
		return fmt.Errorf("nothing was released: %s was retired meanwhile", name)
	}
	return fmt.Errorf("nothing was released, as it has changed meanwhile: %s %s",
		name, is.Describe(time.Now()))
}
