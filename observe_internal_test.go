package lease

import (
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// numbered are n events, of the items "0", "1" and so on.
func (l *Locker) noteNumbered(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		l.note(Event{LeaseID: strconv.Itoa(i)})
	}
}

// ear is an observer that keeps what it hears.
type ear struct {
	mu    sync.Mutex
	heard []Event
}

func (e *ear) hear(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, event)
}

func (e *ear) items() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.heard {
		ids = append(ids, event.LeaseID)
	}
	return ids
}

func TestObserversAreToldInOrderEachOfEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocker(nil)
		var first, second, late ear
		l.noteNumbered(3)
		l.Observe(first.hear)
		l.Observe(second.hear)
		l.noteNumbered(3)
		l.Observe(late.hear) // Of what was before, it isn't told.
		l.noteNumbered(2)
		synctest.Wait()
		all := []string{"0", "1", "2", "0", "1"}
		assert.Equal(t, all, first.items())
		assert.Equal(t, all, second.items())
		assert.Equal(t, []string{"0", "1"}, late.items())
		assert.False(t, l.events.isTelling, "its goroutine is gone")
	})
}

func TestObserverMayCallTheLocker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocker(nil)
		var added ear
		told := 0
		l.Observe(func(Event) {
			told++
			l.Stats()
			if told == 1 {
				l.Observe(added.hear)
				l.noteNumbered(1)
			}
		})
		l.noteNumbered(1)
		synctest.Wait()
		assert.Equal(t, 2, told)
		assert.Equal(t, []string{"0"}, added.items())
	})
}

func TestObserverThatIsSlowHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocker(nil)
		var heard ear
		l.Observe(func(e Event) {
			time.Sleep(hour)
			heard.hear(e)
		})
		begun := time.Now()
		l.noteNumbered(10)
		assert.Zero(t, time.Since(begun))
		time.Sleep(hour + time.Nanosecond)
		assert.Len(t, heard.items(), 1, "it is called one after the other")
		time.Sleep(9 * hour)
		assert.Len(t, heard.items(), 10)
	})
}

func TestObserverThatLeavesItsGoroutineIsToldOfTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocker(nil)
		var first, second ear
		l.Observe(func(e Event) {
			first.hear(e)
			if e.LeaseID == "1" {
				runtime.Goexit()
			}
		})
		l.Observe(second.hear)
		l.noteNumbered(3)
		synctest.Wait()
		assert.Equal(t, []string{"0", "1", "2"}, first.items())
		assert.Equal(t, []string{"0", "1", "2"}, second.items())
	})
}

func TestObserverThatIsFarBehindMissesWhatComesThen(t *testing.T) {
	logger := &noting{}
	SetLogger(logger)
	defer SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		l := NewLocker(nil)
		var heard ear
		isBlocked := make(chan struct{})
		l.Observe(func(e Event) {
			<-isBlocked
			heard.hear(e)
		})
		l.noteNumbered(1)
		synctest.Wait()
		l.noteNumbered(mostEvents + 5)
		synctest.Wait()
		assert.Contains(t, logger.all(), "error Observer Too Slow")
		close(isBlocked)
		synctest.Wait()
		assert.Contains(t, logger.all(), "error Events Dropped")
		assert.Len(t, heard.items(), 1+mostEvents)
		l.noteNumbered(2)
		synctest.Wait()
		assert.Len(t, heard.items(), 1+mostEvents+2)
	})
}

func TestObserverThatIsNoneIsLogged(t *testing.T) {
	logger := &noting{}
	SetLogger(logger)
	defer SetLogger(nil)
	l := NewLocker(nil)
	l.Observe(nil)
	(*Locker)(nil).Observe(func(Event) {})
	assert.Empty(t, l.events.observers)
	assert.Len(t, logger.all(), 2)
}

func TestLockerThatNobodyObservesSpendsNothingOnIt(t *testing.T) {
	l := &Locker{tenures: newTenures()}
	held := tenureIn(l, "a", hour)
	scanned := l.errand("scan", "", "w1")
	allocations := testing.AllocsPerRun(100, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		was := held.state().term
		l.noteTransition(held, fact{kind: lossSeen}, was, was.after(fact{kind: lossSeen}))
		l.noteRequest(EventLooked, scanned, nil)
		l.noteObtained(held)
	})
	assert.Zero(t, allocations)
}

// BenchmarkRenewal is what a renewal costs in the process: a transition of its tenure.
func BenchmarkRenewal(b *testing.B) {
	for name, observers := range map[string]int{"nobody observes": 0, "one observes": 1} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			l := &Locker{tenures: newTenures()}
			for range observers {
				l.Observe(func(Event) {})
			}
			held := tenureIn(l, "a", hour)
			until := time.Now().Add(hour)
			g := grant{duration: hour, asked: until, until: until}
			for b.Loop() {
				held.extend(g, time.Millisecond, held.state().granted)
			}
		})
	}
}
