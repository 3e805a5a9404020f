package leaseprom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom/lease"
)

// observed are the metrics that a Locker's Stats don't have. Events come one at a time, so
// what only follow uses needs no mutex; a scrape may come meanwhile, which the histograms
// allow.
type observed struct {
	requests *prometheus.HistogramVec
	yields   prometheus.Histogram
	wanted   map[string]wanted // by item; no more than there are items
}

// wanted is a tenure whose item somebody asks for.
type wanted struct {
	token int64
	since time.Time
}

func newObserved() *observed {
	return &observed{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lease_request_duration_seconds",
			Help: "How long requests took that succeeded or failed, retries included. " +
				"Those that a row refuses aren't counted, nor wishes and saves that succeed.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"request", "outcome"}),
		yields: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lease_yield_duration_seconds",
			Help: "How long a lease went on after its holder had seen that its item is wanted.",
			Buckets: []float64{
				.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900,
			},
		}),
		wanted: make(map[string]wanted),
	}
}

func (o *observed) describe(to chan<- *prometheus.Desc) {
	o.requests.Describe(to)
	o.yields.Describe(to)
}

func (o *observed) collect(to chan<- prometheus.Metric) {
	o.requests.Collect(to)
	o.yields.Collect(to)
}

// follow is the observer.
func (o *observed) follow(e lease.Event) {
	o.followRequest(e)
	o.followWish(e)
}

func (o *observed) followRequest(e lease.Event) {
	if e.Request == "" {
		return
	}
	outcome := "succeeded"
	switch e.Kind {
	case lease.EventRenewalFailed, lease.EventLookFailed, lease.EventWriteFailed:
		outcome = "failed"
	}
	o.requests.WithLabelValues(requestLabel(e.Request), outcome).Observe(e.Took.Seconds())
}

// requestLabel is the label of a request: one of these, whatever a later version of the
// library may call its requests.
func requestLabel(request string) string {
	switch request {
	case "lease", "renewal", "release", "handover", "save", "wish", "scan", "read":
		return request
	case "withdraw the wish":
		return "withdrawal"
	}
	return "other"
}

// followWish measures from when an item was seen to be wanted to the first end of its tenure.
func (o *observed) followWish(e lease.Event) {
	switch e.Kind {
	case lease.EventWanted:
		o.wanted[e.LeaseID] = wanted{token: e.FencingToken, since: e.At}
	case lease.EventGivenUp, lease.EventLost, lease.EventExpired, lease.EventStuck:
		w, isWanted := o.wanted[e.LeaseID]
		if !isWanted {
			return
		}
		delete(o.wanted, e.LeaseID)
		if w.token == e.FencingToken {
			o.yields.Observe(e.At.Sub(w.since).Seconds())
		}
	}
}
