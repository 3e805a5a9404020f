package lease_test

import (
	"os"
	"testing"
	"time"

	"github.com/intercom/lease"
)

func TestMixed(t *testing.T) {
	for name, weights := range map[string]weigher{"heavy": heavy, "log-normal": logNormal} {
		t.Run(name, func(t *testing.T) {
			weigh(t, 20*big, weights, func(f *weighed) {
				blind := func(w *sharer) {
					w.locker = lease.NewLocker(showing{w.client, func(item *lease.LeaseItem) { item.Weight = 0 }})
				}
				f.startSome(big, big, 0, blind)
				time.Sleep(2 * time.Minute)
				f.startSome(0, big, 0, f.knows)
				time.Sleep(5 * time.Minute)
				first := f.moved()
				for range 6 {
					time.Sleep(10 * time.Minute)
					moved := f.moved()
					l, _ := f.loads()
					c, _ := f.counts()
					if false {
						t.Log(f.flows, l, c)
						clear(f.flows)
					}
					t.Logf("RESULT later: moved %d", moved)
				}
				t.Logf("RESULT mixed %s: first %d", name, first)
			})
		})
	}
}

var big = map[bool]int{true: 50, false: 5}[os.Getenv("BIG") != ""]
