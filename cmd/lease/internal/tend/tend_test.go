package tend

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/leasetest"
)

// fakeGroup is a group without processes, which notes the signals that it gets, and when.
type fakeGroup struct {
	group
	began   time.Time
	signals []string
	over    atomic.Bool

	cleanup time.Duration // it ends so long after SIGTERM; 0: it is deaf
	kills   int           // it survives so many SIGKILLs
}

func newFakeGroup() *fakeGroup {
	f := &fakeGroup{began: time.Now()}
	f.id = 1 << 30 // more than any process has
	f.exited = make(chan struct{})
	f.kill = f.get
	return f
}

// get is what kill(2) is to other groups.
func (f *fakeGroup) get(_ int, s syscall.Signal) error {
	if f.over.Load() {
		return syscall.ESRCH
	}
	if s == 0 || s == syscall.SIGCONT {
		return nil
	}
	f.signals = append(f.signals, fmt.Sprintf("%v at %v", s, f.age()))
	if s == syscall.SIGTERM && f.cleanup > 0 {
		time.AfterFunc(f.cleanup, f.end)
	}
	if s == syscall.SIGKILL {
		f.kills--
		if f.kills < 0 {
			f.end()
		}
	}
	return nil
}

func (f *fakeGroup) age() time.Duration { return time.Since(f.began).Round(100 * time.Millisecond) }

// exit ends the command, but not what it has started.
func (f *fakeGroup) exit() {
	select {
	case <-f.exited:
	default:
		close(f.exited)
	}
}

func (f *fakeGroup) end() {
	f.over.Store(true)
	f.exit()
}

// tended is a group under a lease of 30 s: renewed each 10 s, and over 27 s after the last renewal.
type tended struct {
	*fakeGroup
	store *leasetest.Store
	stop  context.CancelFunc // of the holder, at the first signal
	again func()             // the second signal
}

func TestTendingEndsAGroupInTime(t *testing.T) {
	t.Parallel()
	at := func(seconds int, do func()) { time.AfterFunc(time.Duration(seconds)*time.Second, do) }
	for _, test := range []struct {
		name    string
		happen  func(x *tended)
		signals []string
		end     time.Duration
	}{
		{"which ends by itself", func(x *tended) {
			at(45, x.end)
		}, nil, 45 * time.Second},
		{"which may take its time when the holder is to stop", func(x *tended) {
			x.cleanup = time.Minute
			at(5, x.stop)
		}, []string{"terminated at 5s"}, 65 * time.Second},
		{"at once at the second signal", func(x *tended) {
			at(5, x.stop)
			at(6, x.again)
		}, []string{"terminated at 5s", "killed at 6s"}, 6 * time.Second},
		{"again and again if it survives that", func(x *tended) {
			x.kills = 2
			at(5, x.stop)
			at(6, x.again)
		}, []string{"terminated at 5s", "killed at 6s", "killed at 6.1s", "killed at 6.2s"}, 6200 * time.Millisecond},
		{"before the tenure's end in an outage", func(x *tended) {
			at(5, func() { x.store.SetOutage(true) })
		}, []string{"terminated at 24.1s", "killed at 26.9s"}, 26900 * time.Millisecond},
		{"not in an outage that is over in time", func(x *tended) {
			at(5, func() { x.store.OutageFor(15 * time.Second) })
			at(65, x.end)
		}, nil, 65 * time.Second},
		{"a second after its lease was found to be stolen", func(x *tended) {
			at(5, func() { x.store.Steal("a", "thief", time.Hour) })
		}, []string{"terminated at 10s", "killed at 11s"}, 11 * time.Second},
		{"at once if it was told before its lease was stolen", func(x *tended) {
			at(5, x.stop)
			at(6, func() { x.store.Steal("a", "thief", time.Hour) })
		}, []string{"terminated at 5s", "killed at 10s"}, 10 * time.Second},
		{"that its command has left, after some seconds", func(x *tended) {
			at(3, x.exit)
		}, []string{"terminated at 3s", "killed at 8s"}, 8 * time.Second},
		{"whose item is wanted", func(x *tended) {
			x.cleanup = 2 * time.Second
			at(5, func() { x.wish() })
		}, []string{"terminated at 10s"}, 12 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := tend(t, test.happen)
				assert.Equal(t, test.signals, x.signals)
				assert.Equal(t, test.end, x.age())
			})
		})
	}
}

var w1 = dynamo.Lessee{Name: "w1", Duration: 30 * time.Second}

// newTestKeeper returns a keeper with a guard that has no process.
func newTestKeeper(kill chan struct{}) *Keeper {
	return &Keeper{
		Duration: 30 * time.Second,
		Kill:     kill,
		guard: &guard{
			ends: make(map[int]time.Time),
			news: make(map[int]bool),
			wake: make(chan struct{}, 1),
		},
	}
}

// tend lets things happen to a group while it is tended, until it has ended.
func tend(t *testing.T, happen func(x *tended)) *tended {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	again := make(chan struct{})
	k := newTestKeeper(again)
	x := &tended{store: leasetest.NewStore("a"), stop: stop, again: func() { close(again) }}
	var words atomic.Int64
	go func() {
		for range k.guard.wake {
			words.Add(1)
		}
	}()
	defer close(k.guard.wake)
	locker := lease.NewLocker(x.store)
	locker.Hold(ctx, w1, func(ctx context.Context, l *lease.Lease) error {
		x.fakeGroup = newFakeGroup()
		happen(x)
		time.AfterFunc(time.Hour, x.end)
		k.newTending(l, &x.group).run(ctx)
		x.checkGuard(t, k.guard, l)
		synctest.Wait()
		// The last second's word may come at the same time as the end, and so not at all.
		atLeast := int64(x.age()/time.Second) - 1
		assert.GreaterOrEqual(t, words.Load(), atLeast, "it hears of it each second")
		return nil
	})
	require.NotNil(t, x.fakeGroup)
	return x
}

// checkGuard checks that the guard would have killed the group when the tenure ended, at the latest.
func (x *tended) checkGuard(t *testing.T, g *guard, l *lease.Lease) {
	end := g.ends[x.id]
	assert.False(t, end.IsZero())
	if l.Context().Err() == nil {
		left := l.Remaining() - time.Until(end)
		assert.InDelta(t, 100*time.Millisecond, left, float64(100*time.Millisecond))
	}
}

// wish has an operator ask for the item.
func (x *tended) wish() {
	items, _, err := x.store.ScanLeaseItems("", 1)
	if err == nil {
		x.store.WantLease(context.Background(), items[0], "", time.Now().Add(time.Minute))
	}
}

func TestTendingFollowsTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const duration = 30 * time.Second
		x := newFakeGroup()
		k := newTestKeeper(make(chan struct{}))
		l := &lease.Lease{LeaseID: "a", Request: w1, Until: time.Now().Add(duration)}
		tenureEnd := time.Now().Add(duration - duration/10)

		tending := k.newTending(l, &x.group)
		tending.keepUntilEnd(l.Remaining())
		assert.Equal(t, tenureEnd.Add(-100*time.Millisecond), tending.ends)
		assert.Equal(t, tending.ends, k.guard.ends[x.id])

		time.Sleep(time.Minute / 4)
		tending.endTenure()
		assert.False(t, tending.lost, "it was renewed at the last moment")
		assert.Nil(t, tending.kill)

		time.Sleep(time.Minute)
		tending.stop()
		assert.Empty(t, x.signals, "it is lost, which has a grace of its own")
		tending.endTenure()
		assert.True(t, tending.lost)
		<-tending.kill
	})
}
