package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// What "lease hold" says while it waits, and of renewals that fail.

var errWaitedEnough = errors.New("no item was to be had in time")

// waitsFor says what it waits for; "" if it doesn't.
func (h *holder) waitsFor(ctx context.Context) string {
	if h.phase.Load() != waiting {
		return ""
	}
	return h.situation(ctx)
}

// situation says why no item is to be had, as it is now.
func (h *holder) situation(ctx context.Context) string {
	c := h.Client.Load()
	isAnswered := c != nil && h.opened.Load() && c.LastFailure() == nil
	if !isAnswered {
		return h.Unanswered()
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := h.situationIn(ctx, c)
	if err != nil {
		return h.Explain(err)
	}
	return text
}

func (h *holder) situationIn(ctx context.Context, c *dynamo.Client) (string, error) {
	if h.item != "" {
		i, err := c.Find(ctx, h.item)
		return say.Name(h.item) + " " + i.Describe(time.Now()), err
	}
	sum := fleet.NewCounts()
	all := 0
	_, err := c.Scan(ctx, false, func(page []fleet.Item) error {
		all += len(page)
		page = slices.DeleteFunc(page, func(i fleet.Item) bool { return !fleet.Matches(h.items, i.LeaseID) })
		sum.Add(page, time.Now())
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case all == 0:
		return fmt.Sprintf(`table %q has no items: register some with "lease add"`, c.Table), nil
	case sum.Items == 0:
		return fmt.Sprintf("none of the %s of table %q is called %q", say.Items(all), c.Table, h.items), nil
	case h.items != "*":
		return fmt.Sprintf("called %q: %s", h.items, sum), nil
	}
	return sum.String(), nil
}

// news is what it says of the Locker's events: when renewals and looks begin to fail, why, and when
// that is over. It ends a wait that is limited, or hopeless.
type news struct {
	*holder
	deny            context.CancelCauseFunc
	tell            func(about say.About, format string, args ...any)
	limit           sync.Once
	looks, renewals trouble
}

// trouble is what fails, of many that may fail together.
type trouble struct {
	since time.Time
	of    map[string]bool
}

// begin tells whether that is the first to fail.
func (t *trouble) begin(id string, at time.Time) bool {
	if t.of[id] {
		return false
	}
	if len(t.of) > 0 {
		t.of[id] = true
		return false
	}
	*t = trouble{since: at, of: map[string]bool{id: true}}
	return true
}

// end tells whether nothing fails any more.
func (t *trouble) end(id string) bool {
	is := t.of[id]
	delete(t.of, id)
	return is && len(t.of) == 0
}

func (n *news) hear(e lease.Event) {
	if e.Kind == lease.EventLookFailed || e.Kind == lease.EventLooked {
		n.limit.Do(n.limitWait)
	}
	isHopeless := !n.began() && dynamo.IsDenied(e.Err)
	if isHopeless {
		n.deny(&deniedError{n.Explain(e.Err)})
		return
	}
	n.follow(e)
}

// follow tells what begins to fail, and what is over.
func (n *news) follow(e lease.Event) {
	switch e.Kind {
	case lease.EventLookFailed: // Before, it is told what it waits for.
		if n.began() && n.looks.begin("", e.At) {
			why := n.causeOf(e.Err)
			n.tell(say.About{Cause: why}, "the look at the items fails: %s", why)
		}
	case lease.EventLooked:
		if n.looks.end("") {
			n.tellOver("looks at the items work again", e.At.Sub(n.looks.since))
		}
	case lease.EventRenewalFailed:
		if n.renewals.begin(e.LeaseID, e.At) {
			n.tellFailure(e, "renewal", "fails")
		}
	case lease.EventRenewed:
		if n.renewals.end(e.LeaseID) {
			n.tellOver("renewals work again", e.At.Sub(n.renewals.since))
		}
	case lease.EventGivenUp, lease.EventLost, lease.EventExpired, lease.EventStuck:
		n.renewals.end(e.LeaseID)
	case lease.EventWriteFailed:
		n.tellFailure(e, e.Request, "has failed")
	}
}

// tellFailure tells what has failed for an item, and why.
func (n *news) tellFailure(e lease.Event, request, fails string) {
	why := n.causeOf(e.Err)
	about := say.About{Item: e.LeaseID, Cause: why}
	n.tell(about, "the %s of %s %s: %s", request, say.Name(e.LeaseID), fails, why)
}

// tellOver tells that something works again.
func (n *news) tellOver(what string, lasted time.Duration) {
	n.tell(say.About{Lasted: lasted.Seconds()}, "%s, after %s", what, say.Duration(lasted))
}

// limitWait ends the wait in time. What is to be had at once is had a moment after the first look.
func (n *news) limitWait() {
	const moment = 2 * time.Second
	if !n.waits {
		return
	}
	time.AfterFunc(max(time.Until(n.until), moment), func() {
		if n.phase.CompareAndSwap(waiting, waitedEnough) {
			n.deny(errWaitedEnough)
		}
	})
}

// causeOf says why a request has failed. One that had no answer in time has failed for what the
// attempts before have come to.
func (h *holder) causeOf(err error) string {
	c := h.Client.Load()
	if !dynamo.IsCutOff(err) {
		return h.Explain(err)
	}
	if last := c.LastFailure(); last != nil {
		return h.Explain(last)
	}
	return "no answer from " + h.Endpoint + " in time: check the network"
}
