package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

const addHelp = `Registers items: from then on workers may lease them. An item that is
registered already stays as it is; the others are added, and the exit
status is 1.

A row that is added also gets the attribute FirstToken, by which "lease list"
tells later whether the item was ever leased.`

// settings are the -set flags.
type settings map[string]*dynamodb.AttributeValue

func (settings) String() string { return "" }

func (settings) Type() string { return "NAME=VALUE" }

func (s settings) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found || name == "" {
		return errors.New("want NAME=VALUE")
	}
	if s[name] != nil {
		return fmt.Errorf("%s is set twice", name)
	}
	if name == fleet.WeightAttribute {
		return errors.New("give -weight")
	}
	if name == fleet.FirstTokenAttribute || name == "FencingToken" {
		return fmt.Errorf("%s is not to be set", name)
	}
	s[name] = &dynamodb.AttributeValue{S: &value}
	return nil
}

func (a *app) add() *cobra.Command {
	set := make(settings)
	var w weight
	c := a.command(cobra.Command{
		Use:   "add ITEM... [-weight W] [-set NAME=VALUE]...",
		Short: "register items",
		Long:  addHelp,
		Example: "lease add -table mailboxes alice bob -set Server=imap.example.com\n" +
			"         xargs lease add -table mailboxes -- <names",
	}, func(ctx context.Context, ids []string) error {
		if len(ids) == 0 {
			return exit.Usagef(`add what? see "lease add -h"`)
		}
		c, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		attributes := fleet.Row(set)
		if w > 0 {
			attributes[fleet.WeightAttribute] = w.value()
		}
		return a.each(ctx, ids, func(id string) error { return add(ctx, c, id, attributes) })
	})
	c.Flags().Var(set, "set", "give the items an attribute, of type string; whoever "+
		"leases an item finds it there. May be repeated")
	c.Flags().Var(&w, "weight", "how much load each is for a worker, next to items that "+
		"weigh 1, as those without a weight do")
	return c
}

func add(ctx context.Context, c *dynamo.Client, id string, given fleet.Row) error {
	err := c.Add(ctx, id, given)
	if errors.Is(err, lease.LeaseIDExistsError) {
		return fmt.Errorf("%s is registered already, and stays as it is", say.Name(id))
	}
	if err != nil {
		return err
	}
	return say.Printf("%s: added\n", say.Name(id))
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
		a.Complain(err)
		failed = exit.Status(exit.Failed)
	}
	return failed
}

func (a *app) initialize() *cobra.Command {
	return a.command(cobra.Command{
		Use:     "init -table T [-key K]",
		Short:   "make the table",
		Long:    initHelp,
		Example: "lease init -table mailboxes -key mailbox",
	}, func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return exit.Usagef("init takes no arguments, and got %q; the table is named by -table", args)
		}
		c, err := a.Connect(dynamo.FewRetries)
		if err != nil {
			return err
		}
		made, err := c.MakeTable(ctx)
		if err != nil {
			return err
		}
		what := "was there already"
		if made {
			what = "made"
		}
		return say.Printf("%s: %s, with the hash key %s\n", say.Name(c.Table), what, say.Name(c.Key))
	})
}

const initHelp = `Makes the table, with on-demand capacity, and waits until it is active. Its
hash key is a string of the name K, or "id". A table that is there stays
as it is; if lease items can't be in it, the error says why.`
