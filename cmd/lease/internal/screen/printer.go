package screen

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Printer prints the events of looks, where there is no screen.
type Printer struct {
	Verbose bool
	Explain func(error) string
	Print   func(e fleet.Event) error
	looking say.Trouble
}

// Text prints an event as a line of text.
func Text(zone *time.Location) func(e fleet.Event) error {
	return func(e fleet.Event) error { return say.Printf("%s\n", e.Line(zone)) }
}

// JSON prints an event as an object.
func JSON(w io.Writer) func(e fleet.Event) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return func(e fleet.Event) error { return out.Encode(e) }
}

// Run prints the events until ctx is done, or nobody reads them.
func (p *Printer) Run(ctx context.Context, looks <-chan dynamo.Look) error {
	return dynamo.Each(ctx, looks, func(l dynamo.Look) (goesOn bool, err error) {
		if ctx.Err() == nil {
			p.looking.Tell("the look", p.failure(l.Err))
		}
		if err := p.Events(l.Events); err != nil {
			return false, err
		}
		return !say.IsUnread(os.Stdout), nil
	})
}

// failure says why a look failed; "" if it didn't.
func (p *Printer) failure(err error) string {
	if err == nil {
		return ""
	}
	return p.Explain(err)
}

// Events prints those that are for people.
func (p *Printer) Events(events []fleet.Event) error {
	for _, e := range events {
		if !e.IsShown(p.Verbose) {
			continue
		}
		if err := p.Print(e); err != nil {
			return err
		}
	}
	return nil
}
