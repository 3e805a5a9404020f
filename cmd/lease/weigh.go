package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// weight is how much of a worker's load an item is to be; 0: none was given.
type weight float64

func (w weight) String() string { return strconv.FormatFloat(float64(w), 'g', -1, 64) }

func (weight) Type() string { return "W" }

func (w *weight) Set(text string) error {
	const most = 1e9 // as the library writes it
	n, err := strconv.ParseFloat(text, 64)
	isWeight := err == nil && n > 0 && n <= most // NaN is not above 0.
	if !isWeight {
		return errors.New("want a number above 0, 1 or 2.5 say, and 1e9 at most")
	}
	*w = weight(n)
	return nil
}

func (w weight) value() *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(w.String())}
}

func (a *app) weigh() *cobra.Command {
	c := a.command(cobra.Command{
		Use:     "weigh ITEM W",
		Short:   "say how much load an item is",
		Long:    weighHelp,
		Example: "lease weigh -table mailboxes alice 2.5",
	}, func(ctx context.Context, args []string) error {
		if len(args) != 2 {
			return exit.Usagef(`weigh what, and how much? see "lease weigh -h"`)
		}
		var w weight
		if err := w.Set(args[1]); err != nil {
			return exit.Usagef(wrongWeight, args[1], err)
		}
		c, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		return weigh(ctx, c, args[0], w)
	})
	c.SetFlagErrorFunc(explainNegative)
	return c
}

const wrongWeight = "the weight is %q; %v"

// explainNegative has a weight below 0 be told from a flag.
func explainNegative(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		text := "-" + unknown.GetSpecifiedName()
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return exit.Usagef(wrongWeight, text, new(weight).Set(text))
		}
	}
	return c.Root().FlagErrorFunc()(c, err)
}

const weighHelp = `Sets the weight of an item that is registered, whoever holds it, and says what
it was before: how much of a worker's load it is, next to items that weigh 1,
as those without a weight do. Workers that hold a share of all items heed it
with their next look. One that measures its work sets the weight anew.`

func weigh(ctx context.Context, c *dynamo.Client, id string, w weight) error {
	was, err := c.Weigh(ctx, id, w.value())
	if err != nil {
		return err
	}
	before := "it had no weight, which counts as 1"
	if was != nil {
		before = "it was " + fleet.TextOf(was)
	}
	return say.Printf("%s: weighs %v now; %s\n", say.Name(id), w, before)
}
