package page

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// window is the time that a view shows.
type window struct {
	From, To time.Time
	Last     time.Duration // it ends now, and is so long; else 0
	Now      string        // what is said at its end; "" says nothing
}

// lasts are the windows that there are links for.
var lasts = []time.Duration{
	5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

const (
	usualLast     = 15 * time.Minute
	least, widest = 10 * time.Second, 366 * 24 * time.Hour
)

// parseWindow reads a window from a query: last=1h, or from= and to= in Unix milliseconds. Without
// these it is what there is, since the first look, but for the usual length at most.
func parseWindow(q url.Values, first, now time.Time) (window, error) {
	if q.Has("last") {
		return lastWindow(q.Get("last"), now)
	}
	if !q.Has("from") && !q.Has("to") {
		return endingNow(min(max(now.Sub(first), time.Minute), usualLast), now), nil
	}
	zone := now.Location()
	from, err := parseTime("from", q.Get("from"))
	if err != nil {
		return window{}, err
	}
	to, err := parseTime("to", q.Get("to"))
	if err != nil {
		return window{}, err
	}
	w := window{From: from.In(zone), To: to.In(zone)}
	if length := w.length(); length < least || length > widest {
		return window{}, fmt.Errorf("from %s to %s are %v; want %v to %v",
			q.Get("from"), q.Get("to"), length, least, widest)
	}
	return w, nil
}

func lastWindow(text string, now time.Time) (window, error) {
	last, err := time.ParseDuration(text)
	if err != nil {
		return window{}, fmt.Errorf("last is %q; want 15m, or 6h", text)
	}
	if last < least || last > widest {
		return window{}, fmt.Errorf("last is %v; want %v to %v", last, least, widest)
	}
	return endingNow(last, now), nil
}

func endingNow(last time.Duration, now time.Time) window {
	return window{From: now.Add(-last), To: now, Last: last}
}

func parseTime(name, text string) (time.Time, error) {
	const earliest, latest = 0, 1e14 // until the year 5138
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < earliest || ms > latest {
		return time.Time{}, fmt.Errorf("%s is %q; want a time in Unix milliseconds", name, text)
	}
	return time.UnixMilli(ms), nil
}

// zone is where the times are that people read.
func (w window) zone() *time.Location { return w.From.Location() }

func (w window) length() time.Duration { return w.To.Sub(w.From) }

// IsLive tells that it goes along with the time.
func (w window) IsLive() bool { return w.Last > 0 }

// place is where a time is in a width.
func (w window) place(t time.Time, width float64) float64 {
	x := float64(t.Sub(w.From)) / float64(w.length()) * width
	return min(max(x, 0), width)
}

// at is the end of the nth of so many parts.
func (w window) at(n, parts int) time.Time {
	return w.From.Add(time.Duration(float64(w.length()) * float64(n+1) / float64(parts)))
}

// moved is the window before, or after, by half of its length; scaled one that is wider, or
// narrower, by a factor.
func (w window) moved(halves int) window {
	by := time.Duration(halves) * w.length() / 2
	return window{From: w.From.Add(by), To: w.To.Add(by)}
}

func (w window) scaled(factor float64) window {
	length := time.Duration(float64(w.length()) * factor)
	length = min(max(length, least), widest)
	middle := w.From.Add(w.length() / 2)
	return window{From: middle.Add(-length / 2), To: middle.Add(length / 2)}
}

// tick is a time, or a number, at an axis.
type tick struct {
	At   float64
	Text string
}

// steps are what an axis of times may be divided into.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
	30 * 24 * time.Hour,
}

// ticks are those of a window: not more than most.
func (w window) ticks(width float64, most int) (all []tick) {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if w.length()/s < time.Duration(most) {
			step = s
			break
		}
	}
	form := "15:04:05"
	if step >= time.Minute {
		form = "15:04"
	}
	if w.length() > 20*time.Hour {
		form = "Jan 2 15:04"
	}
	end := w.To.Add(-w.length() / time.Duration(4*most)) // A text further on would be cut.
	if w.Now != "" {
		all = append(all, tick{At: width, Text: w.Now})
		end = w.To.Add(-w.length() / time.Duration(2*most)) // There would be two in one place.
	}
	for t := w.From.Truncate(step).Add(step); t.Before(end); t = t.Add(step) {
		all = append(all, tick{At: w.place(t, width), Text: t.Format(form)})
	}
	return all
}

// lastText writes a length as links have it: 15m, 6h, 7d.
func lastText(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0 && d > 24*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return say.Duration(d)
}
