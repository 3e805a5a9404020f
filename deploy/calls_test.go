package main

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/intercom/lease"
)

// call is a way to use the library or the command. It is what docs/deploy.md has a row of, which
// says what permissions it needs.
type call struct {
	name    string           // in docs/deploy.md
	variant string           // of the same name, with the same permissions
	prepare func(f *fixture) // around the guard; nil: there is nothing to prepare
	run     func(f *fixture) error
	noTable bool // there is no table

	// runWithoutKey is run where the command isn't told the key; nil of the library.
	runWithoutKey func(f *fixture) error
}

// newFixture is what the call is made on: a table of two items.
func (c call) newFixture(tb testing.TB) *fixture {
	tb.Helper()
	if c.noTable {
		return newFixtureWithoutTable(tb)
	}
	f := newFixture(tb, "a", "b")
	if c.prepare != nil {
		c.prepare(f)
	}
	return f
}

// calls are all of the library and the command.
func calls() []call {
	var all []call
	all = append(all, storeCalls...)
	all = append(all, lockerCalls...)
	return append(all, commandCalls()...)
}

// held has item "a" leased.
func held(f *fixture) {
	f.held = f.hold("a", me)
	f.seen = f.look("a")
}

// wished has it leased, and wanted by another.
func wished(f *fixture) {
	held(f)
	if err := f.direct.WantLease(f.ctx, f.seen, other.name, wishEnd); err != nil {
		f.tb.Fatal(err)
	}
	f.seen = f.look("a")
}

// wishEnd is when the wishes end. It is one time for all, to withdraw them by.
var wishEnd = in(5 * time.Minute)

var text = map[string]*dynamodb.AttributeValue{"Server": {S: aws.String("imap")}}

var storeCalls = []call{
	{name: "LockStore.ListLeaseIDs", run: func(f *fixture) error {
		_, err := f.store.ListLeaseIDsWithContext(f.ctx)
		return err
	}},
	{name: "LockStore.ScanLeaseItems", run: func(f *fixture) error {
		_, _, err := f.store.ScanLeaseItemsWithContext(f.ctx, "", 0)
		return err
	}},
	{name: "LockStore.GetLeaseItem", run: func(f *fixture) error {
		_, err := f.store.GetLeaseItem(f.ctx, "a")
		return err
	}},
	{name: "LockStore.Lease", run: func(f *fixture) error {
		_, err := f.store.LeaseWithContext(f.ctx, "a", me, in(time.Minute))
		return err
	}},
	{name: "LockStore.LeaseAsSeen",
		prepare: func(f *fixture) { f.seen = f.look("a") },
		run: func(f *fixture) error {
			_, err := f.store.LeaseAsSeen(f.ctx, f.seen, nil, me, in(time.Minute))
			return err
		}},
	{name: "LockStore.RenewLease", prepare: held, run: func(f *fixture) error {
		return f.store.RenewLeaseWithContext(f.ctx, f.held, in(2*time.Minute))
	}},
	{name: "LockStore.RenewLeaseItem", prepare: held, run: func(f *fixture) error {
		_, err := f.store.RenewLeaseItem(f.ctx, f.held, in(2*time.Minute), wishEnd)
		return err
	}},
	{name: "LockStore.SaveAttributes", prepare: held, run: func(f *fixture) error {
		return f.store.SaveAttributes(f.ctx, f.held, text)
	}},
	{name: "LockStore.WantLease", prepare: held, run: func(f *fixture) error {
		return f.store.WantLease(f.ctx, f.seen, other.name, wishEnd)
	}},
	{name: "LockStore.WithdrawWish", prepare: wished, run: func(f *fixture) error {
		_, err := f.store.WithdrawWish(f.ctx, f.seen, other.name, wishEnd)
		return err
	}},
	{name: "LockStore.HandOverLease", prepare: wished, run: func(f *fixture) error {
		return f.store.HandOverLease(f.ctx, f.held, in(time.Minute))
	}},
	{name: "LockStore.ReleaseLease", prepare: held, run: func(f *fixture) error {
		return f.store.ReleaseLeaseWithContext(f.ctx, f.held)
	}},
	{name: "LockStore.AddLeaseID", run: func(f *fixture) error {
		return f.store.AddLeaseIDWithContext(f.ctx, "new", text)
	}},
	{name: "LockStore.RemoveLeaseID", run: func(f *fixture) error {
		return f.store.RemoveLeaseIDWithContext(f.ctx, "a")
	}},
	{name: "LockStore.RemoveLease", prepare: held, run: func(f *fixture) error {
		return f.store.RemoveLeaseWithContext(f.ctx, f.held)
	}},
	{name: "LockStore.EnsureTable", noTable: true, run: func(f *fixture) error {
		return f.store.EnsureTableWithContext(f.ctx)
	}},
}

// soon looks and renews each few moments.
var soon = worker{"me", 2 * time.Second}

// done is work that is over at once.
func done(context.Context, *lease.Lease) error { return nil }

// withLease is what is done with a lease of a Locker.
type withLease func(f *fixture, locker *lease.Locker, l *lease.Lease) error

// obtained has a Locker obtain a lease, through the guard, which then enforces its policy.
func obtained(run withLease) func(f *fixture) error {
	return func(f *fixture) error {
		policy := f.guard.policy
		f.guard.enforce(nil)
		locker := lease.NewLocker(f.store)
		l, err := locker.ObtainLeaseWithContext(f.ctx, me)
		if err != nil {
			return err
		}
		f.guard.enforce(policy)
		return run(f, locker, l)
	}
}

type work func(context.Context, *lease.Lease) error

// share runs a share beside a worker that has all items, until it has been handed one over.
func share(
	holdShare func(ctx context.Context, locker *lease.Locker, do work) error,
) func(f *fixture) error {
	return func(f *fixture) error {
		all := lease.NewLocker(f.direct)
		began := make(chan struct{}, 2)
		rival := worker{"rival", soon.duration}
		go all.HoldShare(f.ctx, rival, 0, func(ctx context.Context, _ *lease.Lease) error {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		for range cap(began) {
			<-began
		}
		ctx, stop := context.WithCancel(f.ctx)
		defer stop()
		worked := false
		err := holdShare(ctx, lease.NewLocker(f.store), func(context.Context, *lease.Lease) error {
			worked = true
			stop()
			return nil
		})
		if worked {
			return nil
		}
		return err
	}
}

// heartbeat renews once.
func heartbeat(f *fixture, locker *lease.Locker, l *lease.Lease) error {
	ctx, stop := context.WithCancel(f.ctx)
	defer stop()
	locker.Observe(func(e lease.Event) {
		if e.Kind == lease.EventRenewed {
			stop()
		}
	})
	err := locker.HeartbeatWithContext(ctx, l, 50*time.Millisecond)
	if locker.Stats().Renewed > 0 {
		return nil
	}
	return err
}

var lockerCalls = []call{
	{name: "Locker.ObtainLease", run: func(f *fixture) error {
		_, err := lease.NewLocker(f.store).ObtainLeaseWithContext(f.ctx, me)
		return err
	}},
	{name: "Locker.WaitUntilLeaseObtained", run: func(f *fixture) error {
		locker := lease.NewLocker(f.store)
		_, err := locker.WaitUntilLeaseObtainedWithContext(f.ctx, me, 20*time.Millisecond)
		return err
	}},
	{name: "Locker.ObtainItem", run: func(f *fixture) error {
		_, err := lease.NewLocker(f.store).ObtainItem(f.ctx, "a", me)
		return err
	}},
	{name: "Locker.Heartbeat", run: obtained(heartbeat)},
	{name: "Locker.ReleaseLease", run: obtained(
		func(f *fixture, locker *lease.Locker, l *lease.Lease) error {
			return locker.ReleaseLeaseWithContext(f.ctx, l)
		})},
	{name: "Locker.SaveAttributes", run: obtained(
		func(f *fixture, locker *lease.Locker, l *lease.Lease) error {
			return locker.SaveAttributes(f.ctx, l, text)
		})},
	{name: "Locker.Hold", run: func(f *fixture) error {
		return lease.NewLocker(f.store).Hold(f.ctx, soon, done)
	}},
	{name: "Locker.HoldItem", run: func(f *fixture) error {
		return lease.NewLocker(f.store).HoldItem(f.ctx, "a", soon, done)
	}},
	{name: "Locker.HoldShare", run: share(
		func(ctx context.Context, locker *lease.Locker, do work) error {
			return locker.HoldShare(ctx, soon, 0, do)
		})},
	{name: "Locker.HoldShareWith", run: share(
		func(ctx context.Context, locker *lease.Locker, do work) error {
			options := lease.ShareOptions{Capacity: 2, Patience: time.Second}
			return locker.HoldShareWith(ctx, soon, options, do)
		})},
}

// sendNothing are the methods without a request.
var sendNothing = []string{
	"LockStore.ParseLeaseItem", "Locker.Stats", "Locker.Leases", "Locker.Observe",
}

// heldByTwo has both items leased: by other, who heeds wishes, and by next.
func heldByTwo(f *fixture) {
	f.heed(f.hold("a", other))
	f.hold("b", next)
}

// usage is a way to use the command.
type usage struct {
	name     string // in docs/deploy.md
	prepare  func(f *fixture)
	until    string   // it is told to end when it has written that; "": it ends by itself
	variants []string // TOKEN stands for item a's, SCRIPT for a command that goes on
}

var usages = []usage{
	{name: "lease list", variants: []string{
		"list", "list -wide", "list -json", "list -held", "list a*", "list a b*",
	}},
	{name: "lease list ITEM", variants: []string{"list a", "list a b -wide"}},
	{name: "lease watch", until: " state ", variants: []string{
		"watch -every 50ms", "watch -v -local",
	}},
	{name: "lease watch", until: `"state"`, variants: []string{"watch -json"}},
	{name: "lease page", until: "showing table", variants: []string{"page -listen 127.0.0.1:0"}},
	{name: "lease cost", variants: []string{
		"cost -for 60ms -every 20ms", "cost -json -for 1ms -every 1ms",
	}},
	{name: "lease add", variants: []string{"add new", "add new newer -weight 2 -set Server=imap"}},
	{name: "lease weigh", variants: []string{"weigh a 2"}},
	{name: "lease retire", variants: []string{"retire a", "retire a b"}},
	{name: "lease retire -yield", variants: []string{"retire a -yield"}},
	{name: "lease retire -yield", prepare: heldByTwo, variants: []string{"retire a -yield -wait 2m"}},
	{name: "lease yield", prepare: heldByTwo, variants: []string{"yield a", "yield a -wait 0"}},
	{name: "lease yield -holder", prepare: heldByTwo, variants: []string{"yield -holder other"}},
	{name: "lease yield -to", prepare: heldByTwo, variants: []string{
		"yield a -to next", "yield a -to next -force", "yield -holder other -to next",
	}},
	{name: "lease release", prepare: held, variants: []string{
		"release a -token TOKEN -yes", "release a -token TOKEN -holder me -yes",
	}},
	{name: "lease hold", variants: []string{
		"hold true", "hold -try -- true", "hold -wait 1m -linger 1m -- true",
		"hold -as me -json -- true", "hold -watchdog 1m -patience 1m -- true",
	}},
	{name: "lease hold -item", variants: []string{
		"hold -item a -- true", "hold -item a -try -linger 1m -- true",
	}},
	{name: "lease hold -most", until: "began", variants: []string{
		"hold -most 1 -- sh -c SCRIPT", "hold -most 0 -items a* -capacity 2 -- sh -c SCRIPT",
	}},
}

func commandCalls() (all []call) {
	for _, u := range usages {
		for _, variant := range u.variants {
			all = append(all, call{
				name:    u.name,
				variant: variant,
				prepare: u.prepare,
				run:     func(f *fixture) error { return f.runWords(key, u.until, variant) },
				runWithoutKey: func(f *fixture) error {
					return f.runWords("", u.until, variant)
				},
			})
		}
	}
	return append(all, call{
		name:    "lease init",
		noTable: true,
		run:     func(f *fixture) error { return f.runWords(key, "", "init") },

		// It has the key "id" then, which is as good.
		runWithoutKey: func(f *fixture) error { return f.runWords("", "", "init") },
	})
}

// runWords runs the command with these words.
func (f *fixture) runWords(key, until, words string) error {
	args := strings.Fields(words)
	for i, arg := range args {
		switch arg {
		case "TOKEN":
			args[i] = strconv.FormatInt(f.held.FencingToken(), 10)
		case "SCRIPT":
			args[i] = "echo began; sleep 600"
		}
	}
	_, err := f.run(key, until, args...)
	return err
}
