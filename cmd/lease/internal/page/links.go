package page

import (
	"fmt"
	"net/url"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/history"
)

// Links of a page. Each leads to the same view with something else in its query.

// With is this page with other values: pairs of names and values, "" being none. It begins with the
// first page.
func (s shown) With(pairs ...string) string {
	q := url.Values{}
	for name, values := range s.query {
		q[name] = values
	}
	q.Del("page")
	for n := 0; n+1 < len(pairs); n += 2 {
		q.Del(pairs[n])
		if pairs[n+1] != "" {
			q.Set(pairs[n], pairs[n+1])
		}
	}
	return s.Path + "?" + q.Encode()
}

// APIPath is where the same is as JSON; of an error it is the fleet.
func (s shown) APIPath() string {
	if s.isError() {
		return "/api/fleet"
	}
	return "/api/" + s.Name
}

// API is the same with its query.
func (s shown) API() string {
	if s.isError() {
		return s.APIPath()
	}
	return s.APIPath() + "?" + s.query.Encode()
}

func (s shown) isError() bool { return s.Name == "error" }

// ToPage is another page of the same rows.
func (s shown) ToPage(n int) string { return s.With("page", fmt.Sprint(n)) }

// linkTo is another view of the same window, with a value more.
func (s shown) linkTo(path, name, value string) string {
	q := url.Values{}
	for _, kept := range s.Keep() {
		q.Set(kept.Name, kept.Value)
	}
	if name != "" {
		q.Set(name, value)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func (s shown) To(path string) string     { return s.linkTo(path, "", "") }
func (s shown) ToItem(name string) string { return s.linkTo("/item", "name", name) }

// hidden is a value that a form keeps.
type hidden struct{ Name, Value string }

// Keep are the values of the window, for a form.
func (s shown) Keep() (all []hidden) {
	for _, name := range []string{"last", "from", "to"} {
		if s.query.Has(name) {
			all = append(all, hidden{name, s.query.Get(name)})
		}
	}
	return all
}

// ToHolder is the view of the items of a holder.
func (s shown) ToHolder(name string) string { return s.linkTo("/items", "filter", name) }

// Sorts are what items can be sorted by.
func (s shown) Sorts() []string { return []string{"moved", "gaps", "holder", "name"} }

// ToWindow is this page in another window.
func (s shown) ToWindow(w window) string {
	from, to := fmt.Sprint(w.From.UnixMilli()), fmt.Sprint(w.To.UnixMilli())
	return s.With("last", "", "from", from, "to", to)
}

func (s shown) Lasts() []time.Duration   { return lasts }
func (s shown) Window() window           { return s.window }
func (s shown) Now() *history.Present    { return s.present }
func (s shown) Query(name string) string { return s.query.Get(name) }
func (s shown) Earlier() string          { return s.ToWindow(s.window.moved(-1)) }
func (s shown) Later() string            { return s.ToWindow(s.window.moved(1)) }
func (s shown) Closer() string           { return s.ToWindow(s.window.scaled(0.5)) }
func (s shown) Wider() string            { return s.ToWindow(s.window.scaled(2)) }
func (s shown) Paint(name string) paint  { return s.paint(name) }

// Refresh is how often the page is to ask anew. What shows a long time changes seldom.
func (s shown) Refresh() time.Duration {
	const changes, seldom = 450, 30 * time.Second
	return max(s.Every, min(s.window.length()/changes, seldom))
}

// Age is how old what is shown is, by this host's clock.
func (v *view) Age() time.Duration { return time.Since(v.present.Host) }

// IsOld tells that a look should have come by now, and neither came nor failed.
func (v *view) IsOld() bool { return v.Age() > max(3*v.Every, 10*time.Second) }
