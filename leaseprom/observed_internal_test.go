package leaseprom

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/intercom/lease"
)

// histogram is what an observed has counted of the one with those labels, or of that without.
func histogram(t *testing.T, o *observed, labels ...string) *dto.Histogram {
	t.Helper()
	var metric prometheus.Metric = o.yields
	if len(labels) > 0 {
		metric = o.requests.WithLabelValues(labels...).(prometheus.Metric)
	}
	var m dto.Metric
	if err := metric.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram()
}

// TestObservedEndsAYieldByTheTenuresEnd: by whichever, and not by another tenure's, and keeps
// nothing of it.
func TestObservedEndsAYieldByTheTenuresEnd(t *testing.T) {
	begun := time.Now()
	event := func(kind lease.EventKind, token int64, after time.Duration) lease.Event {
		return lease.Event{Kind: kind, LeaseID: "alice", FencingToken: token, At: begun.Add(after)}
	}
	for name, c := range map[string]struct {
		end  lease.Event
		want uint64
	}{
		"given up":           {event(lease.EventGivenUp, 7, time.Minute), 1},
		"lost":               {event(lease.EventLost, 7, time.Minute), 1},
		"expired":            {event(lease.EventExpired, 7, time.Minute), 1},
		"stuck":              {event(lease.EventStuck, 7, time.Minute), 1},
		"a renewal":          {event(lease.EventRenewed, 7, time.Minute), 0},
		"the next tenure's":  {event(lease.EventGivenUp, 8, time.Minute), 0},
		"of what isn't held": {lease.Event{Kind: lease.EventLost, LeaseID: "bob", At: begun}, 0},
	} {
		o := newObserved()
		o.follow(event(lease.EventWanted, 7, 0))
		o.follow(c.end)
		o.follow(c.end) // as when it is lost after it was given up
		got := histogram(t, o)
		if got.GetSampleCount() != c.want || got.GetSampleSum() != float64(c.want)*60 {
			t.Errorf("%s: %d yields of %v s together; want %d of a minute",
				name, got.GetSampleCount(), got.GetSampleSum(), c.want)
		}
		isOver := c.end.Kind != lease.EventRenewed && c.end.LeaseID == "alice"
		if isOver && len(o.wanted) > 0 {
			t.Errorf("%s: %v is kept", name, o.wanted)
		}
	}
}

func TestObservedCountsRequestsByKindAndOutcome(t *testing.T) {
	o := newObserved()
	for _, e := range []lease.Event{
		{Kind: lease.EventLooked, Request: "scan"},
		{Kind: lease.EventLooked, Request: "scan"},
		{Kind: lease.EventLookFailed, Request: "read"},
		{Kind: lease.EventRenewalFailed, Request: "renewal"},
		{Kind: lease.EventWriteFailed, Request: "withdraw the wish"},
		{Kind: lease.EventHandedOver, Request: "handover"},
		{Kind: lease.EventReleased, Request: "a word of some later version"},
		{Kind: lease.EventGivenUp}, // of no request
	} {
		e.Took = time.Second
		o.follow(e)
	}
	total := 0
	for labels, want := range map[string]uint64{
		"scan succeeded": 2, "read failed": 1, "renewal failed": 1, "withdrawal failed": 1,
		"handover succeeded": 1, "other succeeded": 1,
	} {
		total++
		got := histogram(t, o, strings.Fields(labels)...)
		if got.GetSampleCount() != want || got.GetSampleSum() != float64(want) {
			t.Errorf("%s: %d of %v s together; want %d of a second",
				labels, got.GetSampleCount(), got.GetSampleSum(), want)
		}
	}
	series := make(chan prometheus.Metric, 100)
	o.requests.Collect(series)
	if len(series) != total {
		t.Errorf("there are %d series of requests; want %d", len(series), total)
	}
}

// TestObservedLabelsRequestsByAWord: all that events name.
func TestObservedLabelsRequestsByAWord(t *testing.T) {
	for _, request := range []string{
		"lease", "renewal", "release", "handover", "save", "wish", "scan", "read",
	} {
		if got := requestLabel(request); got != request {
			t.Errorf("requestLabel(%q) = %q", request, got)
		}
	}
	if got := requestLabel("withdraw the wish"); got != "withdrawal" {
		t.Errorf("that of a withdrawal is %q", got)
	}
}

func TestOneLineIsOneLine(t *testing.T) {
	got := oneLine(errors.New("an error\n\tstatus code: 400\r\ncaused by:   that\u2028and this"))
	if want := "an error status code: 400 caused by: that and this"; got != want {
		t.Errorf("oneLine = %q; want %q", got, want)
	}
	long := oneLine(errors.New(strings.Repeat("é", 1000)))
	if want := strings.Repeat("é", 300) + "…"; long != want {
		t.Errorf("oneLine of 1,000 letters = %q", long)
	}
}

// What a renewal costs a collector.
func BenchmarkRenewal(b *testing.B) {
	o := newObserved()
	renewed := lease.Event{
		Kind: lease.EventRenewed, LeaseID: "alice", Request: "renewal", Took: time.Millisecond,
	}
	b.ReportAllocs()
	for b.Loop() {
		o.follow(renewed)
	}
}
