package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/intercom/lease"
)

// health answers whether this worker is in touch with the table: 200, or 503 and why not; and
// what it holds, and how many works hang. It is for people, and for alerts. Restart no process
// because of it: that mends no outage, and gives its items up.
type health struct {
	locker *lease.Locker
	looks  time.Duration // how old the last look may be; 0 if the worker doesn't look meanwhile
}

// report is the answer, in JSON.
type report struct {
	Problems []string          `json:"problems"` // none: all is well
	Stats    lease.LockerStats `json:"stats"`
	Leases   []heldItem        `json:"leases"`
}

// add adds a problem.
func (r *report) add(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

type heldItem struct {
	Item      string  `json:"item"`
	Token     int64   `json:"token"`
	Remaining float64 `json:"remaining_seconds"`
}

func (h health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r := report{
		Problems: []string{},
		Stats:    h.locker.Stats(),
		Leases:   []heldItem{},
	}
	for _, l := range h.locker.Leases() {
		left := l.Remaining()
		r.Leases = append(r.Leases, heldItem{l.LeaseID, l.FencingToken(), left.Seconds()})
		// Renewed each third of its duration, a lease never has less than half of it left.
		if left < l.Request.LeaseDuration()/3 {
			r.add("%s isn't renewed: it ends in %v", l.LeaseID, left.Round(time.Millisecond))
		}
	}
	if n := r.Stats.Stuck; n > 0 {
		r.add("%d works go on without a lease: they hang, or don't heed their contexts", n)
	}
	age := time.Since(r.Stats.LastLook)
	if h.looks > 0 && age > h.looks {
		r.add("no look at the table has succeeded since %v", r.Stats.LastLook)
	}
	w.Header().Set("Content-Type", "application/json")
	if len(r.Problems) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(r) // Whoever asked has gone.
}
