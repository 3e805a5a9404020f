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

// observer returns what is told of the Locker's events. It ends a wait that is limited, and says when
// renewals and looks begin to fail, why, and when that is over.
func (h *holder) observer(deny context.CancelCauseFunc) func(lease.Event) {
	failing := make(map[string]time.Time) // since when
	fails := func(e lease.Event, what string) {
		if _, is := failing[what]; !is {
			failing[what] = e.At
			say.Warn("%s fails: %s", what, h.causeOf(e.Err))
		}
	}
	goesOn := func(e lease.Event, what string) {
		if since, was := failing[what]; was {
			delete(failing, what)
			say.Warn("%s works again, after %s", what, say.Duration(e.At.Sub(since)))
		}
	}
	var limit sync.Once
	return func(e lease.Event) {
		switch e.Kind {
		case lease.EventLookFailed, lease.EventLooked:
			limit.Do(func() { h.limitWait(deny) })
		}
		isHopeless := !h.began() && dynamo.IsDenied(e.Err)
		if isHopeless {
			deny(&deniedError{h.Explain(e.Err)})
			return
		}
		switch e.Kind {
		case lease.EventLookFailed:
			if h.began() { // Else it is told what it waits for.
				fails(e, "the look at the items")
			}
		case lease.EventLooked:
			goesOn(e, "the look at the items")
		case lease.EventRenewalFailed:
			fails(e, "the renewal of "+say.Name(e.LeaseID))
		case lease.EventRenewed:
			goesOn(e, "the renewal of "+say.Name(e.LeaseID))
		case lease.EventWriteFailed:
			say.Warn("the %s of %s has failed: %s", e.Request, say.Name(e.LeaseID), h.causeOf(e.Err))
		}
	}
}

// limitWait ends the wait in time. What is to be had at once is had a moment after the first look.
func (h *holder) limitWait(deny context.CancelCauseFunc) {
	const moment = 2 * time.Second
	if !h.waits {
		return
	}
	time.AfterFunc(max(h.wait, moment), func() {
		if h.phase.CompareAndSwap(waiting, waitedEnough) {
			deny(errWaitedEnough)
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
