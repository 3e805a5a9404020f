package alerttest

import (
	"math"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// recording is what a Prometheus would have stored of a fleet.
type recording struct {
	begins, ends time.Time
	samples      []sample                            // in the order of time
	live         map[string]map[uint64]labels.Labels // the series of each process
}

type sample struct {
	series labels.Labels
	at     int64 // Unix milliseconds
	value  float64
}

func newRecording() *recording {
	return &recording{live: make(map[string]map[uint64]labels.Labels)}
}

// scraped takes in the answer of a process.
func (r *recording) scraped(name string, at time.Time, families []*dto.MetricFamily) {
	seen := make(map[uint64]labels.Labels)
	add := func(metric string, v float64, own []*dto.LabelPair, le string) {
		b := labels.NewBuilder(labels.FromStrings(
			"__name__", metric, "job", "mailer", "instance", name, "pod", "pod-"+name,
		))
		for _, l := range own {
			b.Set(l.GetName(), l.GetValue())
		}
		if le != "" {
			b.Set("le", le)
		}
		series := b.Labels()
		seen[series.Hash()] = series
		r.samples = append(r.samples, sample{series, at.UnixMilli(), v})
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			addMetric(family, m, add)
		}
	}
	r.markStale(name, at, seen)
	r.live[name] = seen
}

// addMetric adds a metric as the text format shows it.
func addMetric(
	family *dto.MetricFamily, m *dto.Metric,
	add func(metric string, v float64, own []*dto.LabelPair, le string),
) {
	name := family.GetName()
	h := m.GetHistogram()
	if h == nil {
		add(name, m.GetGauge().GetValue()+m.GetCounter().GetValue(), m.GetLabel(), "")
		return
	}
	for _, b := range h.GetBucket() {
		le := strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
		add(name+"_bucket", float64(b.GetCumulativeCount()), m.GetLabel(), le)
	}
	add(name+"_bucket", float64(h.GetSampleCount()), m.GetLabel(), "+Inf")
	add(name+"_sum", h.GetSampleSum(), m.GetLabel(), "")
	add(name+"_count", float64(h.GetSampleCount()), m.GetLabel(), "")
}

// gone takes in that a process isn't scraped any more.
func (r *recording) gone(name string, at time.Time) {
	r.markStale(name, at, nil)
	delete(r.live, name)
}

// markStale ends those series of a process that it doesn't show any more, as Prometheus does.
func (r *recording) markStale(name string, at time.Time, seen map[uint64]labels.Labels) {
	for hash, series := range r.live[name] {
		if _, isSeen := seen[hash]; !isSeen {
			stale := math.Float64frombits(value.StaleNaN)
			r.samples = append(r.samples, sample{series, at.UnixMilli(), stale})
		}
	}
}
