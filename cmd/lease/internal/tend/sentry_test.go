package tend

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSentryThatWasStoppedFirstHearsWhatHasCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var killed []int
		s := newSentry(func(group int) { killed = append(killed, group) })
		line := func(group int, left time.Duration) string {
			return fmt.Sprintf("%d %d %d", group, time.Now().Add(left).UnixNano(), left)
		}
		s.hear(line(5, 2*time.Second))
		s.hear(line(6, 2*time.Second))
		time.Sleep(10 * time.Second) // It is stopped.
		<-s.wake
		s.look()
		assert.Empty(t, killed)
		s.hear(line(5, 2*time.Second))
		<-s.wake
		s.look()
		assert.Equal(t, []int{6}, killed, "the other was renewed")
	})
}

func TestGuardKillsAtTheEndByEitherClock(t *testing.T) {
	t.Parallel()
	type kill struct {
		group int
		after time.Duration
	}
	guarded := func(t *testing.T, feed func(lines chan<- string, line func(group int, end, left time.Duration))) (kills []kill) {
		synctest.Test(t, func(t *testing.T) {
			began, lines, done := time.Now(), make(chan string), make(chan struct{})
			go func() {
				guardGroups(lines, func(group int) {
					if len(kills) == 0 || kills[len(kills)-1].group != group {
						kills = append(kills, kill{group, time.Since(began)})
					}
				})
				close(done)
			}()
			feed(lines, func(group int, end, left time.Duration) {
				lines <- fmt.Sprintf("%d %d %d", group, time.Now().Add(end).UnixNano(), left)
			})
			close(lines)
			<-done
		})
		return kills
	}
	const second = time.Second
	assert.Equal(t, []kill{{5, 3 * second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, 2*second, 2*second)
		time.Sleep(second)
		line(5, 2*second, 2*second)
		time.Sleep(10 * second)
		line(5, 0, 0)
	}), "a renewal moves the end")
	assert.Equal(t, []kill{{5, second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, second, 5*second) // a line that came late
		time.Sleep(2 * second)
		line(5, 0, 0)
	}))
	assert.Equal(t, []kill{{5, second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, 5*second, second) // the wall clock was set back
		time.Sleep(2 * second)
		line(5, 0, 0)
	}))
	assert.Equal(t, []kill{{5, 2 * second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, 9*second, 9*second)
		line(6, 9*second, 9*second)
		line(6, 0, 0) // has ended
		lines <- "nonsense"
		lines <- "1 2"
		time.Sleep(2 * second)
	}), "it is alone")
	assert.Equal(t, []kill{{5, 300 * time.Millisecond}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		time.Sleep(100 * time.Millisecond)
		line(5, second/5, second/5)
		time.Sleep(2 * second)
		line(5, 0, 0)
	}), "sooner than it would look next")
}
