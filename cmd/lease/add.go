package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

const addHelp = `Usage: lease add ITEM... [-set NAME=VALUE]...

Registers items: from then on workers may lease them. An item that is
registered already stays as it is; the others are added, and the exit
status is 1.

  -set NAME=VALUE  give the items an attribute, of type string; whoever
                   leases an item finds it there. May be repeated.

A row that is added also gets the attribute FirstToken, by which "lease list"
tells later whether the item was ever leased.

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Examples: lease add -table mailboxes alice bob -set Server=imap.example.com
          xargs lease add -table mailboxes -- <names
`

// settings are the -set flags.
type settings map[string]*dynamodb.AttributeValue

func (s settings) String() string { return "" }

func (s settings) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found || name == "" {
		return errors.New("want NAME=VALUE")
	}
	if s[name] != nil {
		return fmt.Errorf("%s is set twice", name)
	}
	if name == firstTokenAttribute || name == "FencingToken" {
		return fmt.Errorf("%s is not to be set", name)
	}
	s[name] = &dynamodb.AttributeValue{S: &value}
	return nil
}

func add(a *app, flags *flag.FlagSet) action {
	set := make(settings)
	flags.Var(set, "set", "")
	return func(ctx context.Context, ids []string) error {
		c, err := a.openFor(ctx, "add", ids)
		if err != nil {
			return err
		}
		return a.each(ctx, ids, func(id string) error { return c.add(ctx, id, set) })
	}
}

func (c *client) add(ctx context.Context, id string, set settings) error {
	attributes := maps.Clone(row(set))
	token := number(c.now().UnixMilli()) // as the library would choose it
	attributes["FencingToken"] = token
	if c.key != firstTokenAttribute {
		attributes[firstTokenAttribute] = token
	}
	err := c.AddLeaseIDWithContext(ctx, id, attributes)
	if errors.Is(err, lease.LeaseIDExistsError) {
		return fmt.Errorf("%s is registered already, and stays as it is", show(id))
	}
	if err != nil {
		return err
	}
	return say("%s: added\n", show(id))
}

// openFor is open for a command that needs items to work on.
func (a *app) openFor(ctx context.Context, command string, ids []string) (*client, error) {
	if len(ids) == 0 {
		return nil, usagef(`%s what? see "lease %s -h"`, command, command)
	}
	return a.open(ctx, fewRetries)
}

// each calls f for each item in turn. After an error it goes on with the next; all are reported.
func (a *app) each(ctx context.Context, ids []string, f func(id string) error) error {
	var failed error
	for _, id := range ids {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := f(id)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		a.complain(err)
		failed = exitStatus(statusFailed)
	}
	return failed
}

const retireHelp = `Usage: lease retire ITEM...

Deletes items that nobody holds, with all their attributes. One that is held
stays, and the exit status is 1: stop its holder, or ask for it by
"lease yield", and try again.

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Example: lease retire -table mailboxes alice bob
`

func retire(a *app, flags *flag.FlagSet) action {
	return func(ctx context.Context, ids []string) error {
		c, err := a.openFor(ctx, "retire", ids)
		if err != nil {
			return err
		}
		return a.each(ctx, ids, func(id string) error { return c.retire(ctx, id) })
	}
}

func (c *client) retire(ctx context.Context, id string) error {
	i, err := c.find(ctx, id)
	if err != nil {
		return err
	}
	err = c.RemoveLeaseIDWithContext(ctx, id)
	if errors.Is(err, lease.LeaseHeldError) {
		return c.heldError(ctx, id)
	}
	if err != nil && i.why != "" {
		return fmt.Errorf("%s stays, as its row doesn't tell whether it is held (%s): "+
			"mend the row, or delete it by other means", show(id), i.why)
	}
	if err != nil {
		return err
	}
	return say("%s: retired\n", show(id))
}

// heldError says who holds an item that was to be retired.
func (c *client) heldError(ctx context.Context, id string) error {
	state := "is held"
	i, err := c.find(ctx, id)
	if err == nil {
		state = i.describe(time.Now())
	}
	return fmt.Errorf(`%s %s: stop its holder, or ask for it by "lease yield", and try again`,
		show(id), state)
}

const initHelp = `Usage: lease init -table T [-key K]

Makes the table, with on-demand capacity, and waits until it is active. Its
hash key is a string of the name K, or "id". A table that is there stays
as it is; if lease items can't be in it, the error says why.

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Example: lease init -table mailboxes -key mailbox
`

func initialize(a *app, flags *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("init takes no arguments, and got %q; the table is named by -table", args)
		}
		c, err := a.connect(fewRetries)
		if err != nil {
			return err
		}
		return c.makeTable(ctx)
	}
}

// makeTable makes the table, unless it is there. A table that is there has the last word about the
// key, if none was given.
func (c *client) makeTable(ctx context.Context) error {
	key, err := c.askKey(ctx)
	missing := errors.As(err, new(*dynamodb.ResourceNotFoundException))
	if err != nil && !missing {
		return err
	}
	c.key = cmp.Or(c.key, key, "id")
	c.LockStore = lease.NewLockStore(c.ddb, c.table, c.key)
	if err := c.EnsureTableWithContext(ctx); err != nil {
		return err
	}
	what := "was there already"
	if missing {
		what = "made"
	}
	return say("%s: %s, with the hash key %s\n", show(c.table), what, show(c.key))
}
