package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/intercom/lease"
)

const releaseHelp = `Usage: lease release ITEM -token N [-holder LESSEE] [-yes]

Frees an item by force, in the tenure that you saw: nothing happens if its
token or its holder has changed since. The holder is not asked. It learns of
it with its next renewal; until then it and the next holder may both work on
the item. "lease yield" asks the holder, and is the safe way.

  -token N        the fencing token, as "lease list" shows it
  -holder LESSEE  the holder that you saw; else it is read now, and shown
  -yes            don't ask; needed where stdin is no terminal

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Exit status: 0 if the item was freed; 1 if not, because it has changed, say.

Example: lease release -table mailboxes alice -token 1767225600002
`

func release(a *app, flags *flag.FlagSet) func(ctx context.Context, args []string) error {
	token := flags.Int64("token", -1, "")
	holder := flags.String("holder", "", "")
	yes := flags.Bool("yes", false, "")
	return func(ctx context.Context, args []string) error {
		switch {
		case len(args) != 1:
			return usagef(`release frees one item, and got %d; see "lease release -h"`, len(args))
		case *token < 0:
			return usagef(`which tenure? Give -token N, as "lease list" shows it`)
		case !*yes && !isTerminal(os.Stdin):
			return usagef("nothing was released: stdin is no terminal to ask on; give -yes")
		}
		id := args[0]
		c, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		seen, found, err := c.get(ctx, id)
		if err != nil {
			return err
		} else if !found {
			return fmt.Errorf("there is no item %s in table %q", show(id), c.table)
		}
		if err := refuse(seen, *token, *holder); err != nil {
			return err
		}
		if !seen.live(time.Now()) {
			return say("%s: there is nothing to release: it %s\n", show(id), seen.describe(time.Now()))
		}
		warn("%s %s.", show(id), seen.describe(time.Now()))
		warn("This frees it by force. %s learns of that with its next renewal; until then it and the next holder may both work on it.", show(seen.LesseeID))
		if !*yes {
			if sure, err := confirm(ctx, "Release it? [y/N] "); err != nil || !sure {
				return errors.Join(err, errors.New("nothing was released"))
			}
		}
		bare := &lease.Lease{LeaseID: id, Request: lessee{seen.LesseeID, time.Second}, AttributeValues: row{"FencingToken": number(*token)}}
		err = c.ReleaseLeaseWithContext(ctx, bare)
		if errors.Is(err, lease.LeaseLostError) {
			now, found, err := c.get(ctx, id)
			if err != nil {
				return err
			} else if !found {
				return fmt.Errorf("nothing was released: %s was retired meanwhile", show(id))
			}
			return fmt.Errorf("nothing was released, as it has changed meanwhile: %s %s", show(id), now.describe(time.Now()))
		} else if err != nil {
			return err
		}
		return say("%s: released; %s had it, with the token %d\n", show(id), show(seen.LesseeID), *token)
	}
}

// refuse returns why an item is not what the operator saw, or can't be released.
func refuse(i item, token int64, holder string) error {
	now := time.Now()
	switch {
	case i.why != "":
		return fmt.Errorf("nothing was released: %s %s", show(i.LeaseID), i.describe(now))
	case i.FencingToken != token || holder != "" && i.LesseeID != holder || i.LesseeID == "":
		text := fmt.Sprintf("nothing was released, as it has changed: %s %s", show(i.LeaseID), i.describe(now))
		if !i.live(now) && i.FencingToken != token {
			text += fmt.Sprintf(", and its token is %d", i.FencingToken)
		}
		return errors.New(text)
	case i.tokenless:
		return fmt.Errorf("nothing was released: %s has no token to be bound to, as %s is a worker of the original library; stop that one, or wait until its lease ends",
			show(i.LeaseID), show(i.LesseeID))
	}
	return nil
}

// lessee is a lease.LeaseRequest.
type lessee struct {
	name     string
	duration time.Duration
}

func (l lessee) LesseeID() string             { return l.name }
func (l lessee) LeaseDuration() time.Duration { return l.duration }

// confirm asks on the terminal.
func confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(os.Stderr, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-answer:
		return line == "y" || line == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		return false, context.Cause(ctx)
	}
}
