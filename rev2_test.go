package lease_test

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func userCodeThatPanics() { var m map[string]int; m["x"] = 1 }

func TestRevP(t *testing.T) {
	log := &revLog{}
	lease.SetLogger(log)
	defer lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			p := recover()
			st := string(debug.Stack())
			t.Log("P:", p, "stack of the panic names the user's function:", strings.Contains(st, "userCodeThatPanics"), "log:", len(log.l), strings.Contains(fmt.Sprint(log.l), "userCodeThatPanics"))
		}()
		w := &sharer{name: "w", duration: 30 * time.Second}
		lease.NewLocker(leasetest.NewStore("a")).HoldShare(t.Context(), w, 0, func(ctx context.Context, l *lease.Lease) error { userCodeThatPanics(); return nil })
	})
}

func TestRevQ(t *testing.T) {
	for _, n := range []int{1, 150} {
		simulate(t, 600, func(f *simulation) {
			f.startAll(300, 0)
			f.until("held", 5*time.Minute, f.held)
			time.Sleep(3 * time.Minute)
			for i := range n {
				f.kill(f.workers[fmt.Sprintf("w%d", i)])
			}
			f.Logf("Q: 300 workers, %d killed: all held %v", n, f.until("held", 5*time.Minute, f.held))
		})
	}
}
