package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

var retires = flag.Int("retires", 20, "so many items are retired from a live fleet")

// crew is three workers of this process that share the items of a table.
type crew struct {
	mu      sync.Mutex
	working map[string]int  // items, and how many work on each
	retired map[string]bool // items that nobody is to work on any more
	wrong   []string        // items that somebody began to work on all the same
}

func (f *fixture) startFleet(t *testing.T) *crew {
	all := &crew{working: make(map[string]int), retired: make(map[string]bool)}
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	for n := range 3 {
		locker := lease.NewLocker(f.LockStore)
		as := dynamo.Lessee{Name: fmt.Sprint("w", n), Duration: 3 * time.Second}
		ended.Go(func() {
			err := locker.HoldShare(ctx, as, 0, all.work)
			assert.ErrorIs(t, err, context.Canceled)
		})
	}
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	return all
}

func (f *crew) work(ctx context.Context, l *lease.Lease) error {
	f.note(l.LeaseID, 1)
	defer f.note(l.LeaseID, -1)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (f *crew) note(id string, begun int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.working[id] += begun
	if begun > 0 && f.retired[id] {
		f.wrong = append(f.wrong, id)
	}
}

// retire notes that an item is retired, and returns how many work on it.
func (f *crew) retire(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired[id] = true
	return f.working[id]
}

func (f *crew) worksOn(ids []string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(ids, func(id string) bool { return f.working[id] == 0 })
}

func TestRetireTakesItemsOutOfALiveFleet(t *testing.T) {
	t.Parallel()
	const kept, atOnce = 5, 5
	var ids []string
	for n := range kept + *retires {
		ids = append(ids, fmt.Sprintf("box-%02d", n))
	}
	f := newFixture(t, ids...)
	fleet := f.startFleet(t)
	await(t, "all items are worked on", func() bool { return fleet.worksOn(ids) })
	for batch := range slices.Chunk(ids[kept:], atOnce) {
		var running []*process
		for _, id := range batch {
			running = append(running, f.start("retire", id, "-yield", "-wait", "5m"))
		}
		for n, p := range running {
			r := p.wait()
			assert.Equal(t, 0, r.status, r.stderr)
			assert.Contains(t, r.stdout, batch[n]+": retired\n")
			assert.Zero(t, fleet.retire(batch[n]), "its holder has ended its work")
		}
	}
	await(t, "the others are worked on", func() bool { return fleet.worksOn(ids[:kept]) })
	for _, id := range ids[kept:] {
		assert.Nil(t, f.row(id))
	}
	fleet.mu.Lock()
	defer fleet.mu.Unlock()
	assert.Empty(t, fleet.wrong, "somebody works on what was retired")
}

func TestRetireByYieldLeavesWhatIsNotGivenUpInTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "held", "free")
	f.lease("held", "w1", time.Hour)
	f.put(fleet.Row{"id": str("bad"), "LeaseUntil": str("soon")})
	r := f.run("retire", "held", "missing", "bad", "free", "-yield", "-wait", "1s")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stdout, "held: asked w1 to give it up, to be retired\n")
	assert.Contains(t, r.stdout, "free: retired\n")
	assert.Regexp(t, `(?m)^lease: held stays, and is asked for no longer: it is held by w1 with the token \d+, for another [^\n]*wishes$`, r.stderr)
	assert.Contains(t, r.stderr, "lease: there is no item missing in table")
	assert.Contains(t, r.stderr, `lease: bad stays, as its row doesn't tell whether it is held (LeaseUntil "soon" is not a number)`)
	assert.Equal(t, 3, strings.Count(r.stderr, "\n"))
	assert.Nil(t, f.row("free"))
	is := f.item("held")
	assert.Equal(t, "w1", is.LesseeID)
	assert.Zero(t, is.WantedUntil, "the wish is withdrawn")
}

func TestRetireByYieldTakesItsWishBackAtASignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.lease("a", "w1", time.Hour)
	p := f.start("retire", "a", "-yield", "-wait", "5m")
	p.stdout.await(t, "asked w1")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 128+15, p.wait().status)
	assert.Zero(t, f.item("a").WantedUntil)
}

// handOverAtLast has the command's withdrawal of its wish come when the item was just handed over to it.
func (f *fixture) handOverAtLast(t *testing.T, l *lease.Lease) {
	f.env = f.through(func(_ http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(`"REMOVE #wantedBy, #wantedUntil"`)) {
			assert.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(10*time.Minute)))
		}
		return false
	}, nil)
}

func TestRetireByYieldRetiresWhatIsHandedOverAtTheLastMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.handOverAtLast(t, f.lease("a", "w1", time.Hour))
	r := f.run("retire", "a", "-yield", "-wait", "1s")
	assert.Equal(t, result{stdout: "a: asked w1 to give it up, to be retired\na: retired\n"}, r)
	assert.Nil(t, f.row("a"))
}

func TestRetireByYieldReleasesWhatIsHandedOverAfterASignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.handOverAtLast(t, f.lease("a", "w1", time.Hour))
	p := f.start("retire", "a", "-yield", "-wait", "5m")
	p.stdout.await(t, "asked w1")
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	assert.Equal(t, 128+2, p.wait().status)
	is := f.item("a")
	assert.Empty(t, is.LesseeID)
	assert.Zero(t, is.LeaseUntil)
}

func TestRetireByYieldGoesOnAfterAnOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	var deletions atomic.Int64
	f.env = f.through(func(_ http.ResponseWriter, r *http.Request) bool {
		isDeletion := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteItem")
		if isDeletion && deletions.Add(1) <= dynamo.FewRetries+1 {
			panic(http.ErrAbortHandler)
		}
		return false
	}, nil)
	r := f.run("retire", "a", "-yield", "-wait", "5m")
	assert.Equal(t, 0, r.status)
	assert.Equal(t, "a: retired\n", r.stdout)
	assert.Contains(t, r.stderr, "it asks on")
	assert.Nil(t, f.row("a"))
}

func TestRetireByYieldReleasesWhatItMayNotDelete(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.env = f.through(func(w http.ResponseWriter, r *http.Request) bool {
		isDeletion := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteItem")
		if isDeletion {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}`)
		}
		return isDeletion
	}, nil)
	first := f.item("a").FencingToken
	r := f.run("retire", "a", "-yield", "-wait", "5m")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stderr, "a stays, and is released: no permission for dynamodb:DeleteItem")
	is := f.item("a")
	assert.Empty(t, is.LesseeID)
	assert.Equal(t, first+1, is.FencingToken, "it was leased once")
}
