package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"

	"github.com/intercom/lease"
)

// What "lease hold" says while it waits, and of renewals that fail.

var errWaitedEnough = errors.New("no item was to be had in time")

// tellWhileItWaits says what it waits for: soon, and then now and then. The function that it
// returns stops it.
func (h *holder) tellWhileItWaits(ctx context.Context) (stop func()) {
	const first, then = 3 * time.Second, 30 * time.Second
	ctx, cancel := context.WithCancel(ctx)
	if h.try { // It says why it doesn't wait.
		return cancel
	}
	go func() {
		timer := time.NewTimer(first)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			if h.phase.Load() != waiting {
				return
			}
			warn("waiting: %s", h.situation(ctx))
			timer.Reset(then)
		}
	}()
	return cancel
}

// situation says why no item is to be had, as it is now.
func (h *holder) situation(ctx context.Context) string {
	c := h.client.Load()
	isAnswered := c != nil && h.opened.Load() && c.lastFailure() == nil
	if !isAnswered {
		return h.unanswered()
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := h.situationIn(ctx, c)
	if err != nil {
		return h.explain(err)
	}
	return text
}

func (h *holder) situationIn(ctx context.Context, c *client) (string, error) {
	if h.item != "" {
		i, err := c.find(ctx, h.item)
		return show(h.item) + " " + i.describe(time.Now()), err
	}
	sum := newCounts()
	_, err := c.scan(ctx, false, func(page []item) error {
		sum.add(page, time.Now())
		return nil
	})
	if sum.Items == 0 && err == nil {
		return fmt.Sprintf(`table %q has no items: register some with "lease add"`, c.table), nil
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
			warn("%s fails: %s", what, h.causeOf(e.Err))
		}
	}
	goesOn := func(e lease.Event, what string) {
		if since, was := failing[what]; was {
			delete(failing, what)
			warn("%s works again, after %s", what, short(e.At.Sub(since)))
		}
	}
	var limit sync.Once
	return func(e lease.Event) {
		switch e.Kind {
		case lease.EventLookFailed:
			limit.Do(func() { h.limitWait(deny) })
			if h.began() { // Else it is told what it waits for.
				fails(e, "the look at the items")
			}
		case lease.EventLooked:
			limit.Do(func() { h.limitWait(deny) })
			goesOn(e, "the look at the items")
		case lease.EventRenewalFailed:
			fails(e, "the renewal of "+show(e.LeaseID))
		case lease.EventRenewed:
			goesOn(e, "the renewal of "+show(e.LeaseID))
		case lease.EventWriteFailed:
			warn("the %s of %s has failed: %s", e.Request, show(e.LeaseID), h.causeOf(e.Err))
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
	last := h.client.Load().lastFailure()
	if last != nil && !errors.As(err, new(awserr.Error)) {
		err = last
	}
	return h.explain(err)
}
