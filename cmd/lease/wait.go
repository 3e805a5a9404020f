package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
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
	_, err := c.Scan(ctx, false, func(page []fleet.Item) error {
		sum.Add(page, time.Now())
		return nil
	})
	if sum.Items == 0 && err == nil {
		return fmt.Sprintf(`table %q has no items: register some with "lease add"`, c.Table), nil
	}
	return sum.String(), err
}

// news is what it says of the Locker's events: when renewals and looks begin to fail, why, and when
// that is over. It ends a wait that is limited, or hopeless.
type news struct {
	*holder
	deny    context.CancelCauseFunc
	tell    func(format string, args ...any)
	limit   sync.Once
	failing map[string]time.Time // what fails, and since when
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
	renewal := "the renewal of " + say.Name(e.LeaseID)
	switch e.Kind {
	case lease.EventLookFailed:
		if n.began() { // Else it is told what it waits for.
			n.fails(e, "the look at the items")
		}
	case lease.EventLooked:
		n.goesOn(e, "the look at the items")
	case lease.EventRenewalFailed:
		n.fails(e, renewal)
	case lease.EventRenewed:
		n.goesOn(e, renewal)
	case lease.EventGivenUp, lease.EventLost, lease.EventExpired, lease.EventStuck:
		delete(n.failing, renewal)
	case lease.EventWriteFailed:
		n.tell("the %s of %s has failed: %s", e.Request, say.Name(e.LeaseID), n.causeOf(e.Err))
	}
}

func (n *news) fails(e lease.Event, what string) {
	if _, is := n.failing[what]; !is {
		n.failing[what] = e.At
		n.tell("%s fails: %s", what, n.causeOf(e.Err))
	}
}

func (n *news) goesOn(e lease.Event, what string) {
	if since, was := n.failing[what]; was {
		delete(n.failing, what)
		n.tell("%s works again, after %s", what, say.Duration(e.At.Sub(since)))
	}
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
	last := h.Client.Load().LastFailure()
	if last != nil && !errors.As(err, new(awserr.Error)) {
		err = last
	}
	return h.Explain(err)
}
