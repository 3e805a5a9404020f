package page

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
)

// mostHolders is of how many there are metrics; those of the others are one.
const mostHolders = 100

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	out := bufio.NewWriter(w)
	defer out.Flush()
	writeMetrics(out, s.History.Present())
}

// exposition writes metrics in Prometheus' text form.
type exposition struct{ io.Writer }

func (e exposition) family(name, kind, help string) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (e exposition) one(name, kind, help string, value float64) {
	e.family(name, kind, help)
	fmt.Fprintf(e, "%s %v\n", name, value)
}

func (e exposition) labelled(name, label, of string, value float64) {
	fmt.Fprintf(e, "%s{%s=\"%s\"} %v\n", name, label, escapeLabel.Replace(of), value)
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// writeMetrics writes the fleet as seen from outside.
func writeMetrics(w io.Writer, p *history.Present) {
	e := exposition{w}
	e.family("lease_table_items", "gauge", "Items of the table, by state.")
	for _, c := range []struct {
		state fleet.State
		n     int
	}{
		{fleet.Held, p.Counts.Held},
		{fleet.Reserved, p.Counts.Reserved},
		{fleet.Free, p.Counts.Free},
		{fleet.NeverLeased, p.Counts.NeverLeased},
		{fleet.Unusable, p.Counts.Unusable},
	} {
		e.labelled("lease_table_items", "state", fleet.OneWord(c.state), float64(c.n))
	}
	e.one("lease_table_holders", "gauge",
		"Lessees that have items.", float64(len(p.Counts.Holders)))
	e.one("lease_table_longest_idle_seconds", "gauge",
		"For how long the item that nobody works on for longest has been so.",
		longestIdle(p).Seconds())
	writeHolders(e, p)
	e.family("lease_table_events_total", "counter",
		"What has happened to items since this page was started, by kind.")
	for _, kind := range slices.Sorted(maps.Keys(p.Happened)) {
		e.labelled("lease_table_events_total", "kind", string(kind), float64(p.Happened[kind]))
	}
	e.one("lease_table_write_units_per_second", "gauge",
		"Write units that the fleet's writes take.", p.Bill.WritesASecond)
	e.one("lease_table_read_units_per_second", "gauge",
		"Read units that the workers' looks take, as reckoned.", p.Bill.ReadsASecond)
	e.one("lease_page_looks_total", "counter", "Looks of this page at the table.", float64(p.Looks))
	e.one("lease_page_looks_failed_total", "counter",
		"Those of them that failed.", float64(p.Failed))
	e.one("lease_page_read_units_total", "counter", "Read units that its looks took.", p.Spent)
	e.one("lease_page_last_look_timestamp_seconds", "gauge",
		"When the last look was that succeeded.", float64(p.Host.UnixMilli())/1000)
	e.one("lease_page_kept", "gauge",
		"1 if what is seen is kept, 0 if it can't be written.", oneIf(p.Unkept == ""))
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func longestIdle(p *history.Present) (longest time.Duration) {
	for _, c := range idleItems(p.Items) {
		longest = max(longest, c.Strip.Lasted(p.Clock))
	}
	return longest
}

// writeHolders writes what each holder has: of those with most items, and of the others together.
func writeHolders(e exposition, p *history.Present) {
	live := slices.Clone(p.Holders)
	live = slices.DeleteFunc(live, func(h history.Holder) bool { return h.Items == 0 })
	slices.SortStableFunc(live, func(a, b history.Holder) int {
		return cmp.Compare(b.Items, a.Items)
	})
	most := min(len(live), mostHolders)
	others := 0
	for _, h := range live[most:] {
		others += h.Items
	}
	live = live[:most]
	e.family("lease_table_holder_items", "gauge",
		"Items by holder; holder=\"\" is of all that have no line of their own.")
	for _, h := range live {
		e.labelled("lease_table_holder_items", "holder", h.Name, float64(h.Items))
	}
	if others > 0 {
		e.labelled("lease_table_holder_items", "holder", "", float64(others))
	}
	e.family("lease_table_holder_load", "gauge", "Weight of a holder's items, by its capacity.")
	for _, h := range live {
		e.labelled("lease_table_holder_load", "holder", h.Name, h.Load())
	}
	e.family("lease_table_holder_last_renewal_seconds", "gauge",
		"How long ago a holder was last seen to renew.")
	for _, h := range live {
		if !h.Renewed.IsZero() {
			ago := p.Clock.Sub(h.Renewed).Seconds()
			e.labelled("lease_table_holder_last_renewal_seconds", "holder", h.Name, ago)
		}
	}
	e.family("lease_table_holder_double", "gauge",
		"1 for a name under which two processes were seen.")
	for _, h := range live {
		if isDouble(h, p.Clock) {
			e.labelled("lease_table_holder_double", "holder", h.Name, 1)
		}
	}
}
