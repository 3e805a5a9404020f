// Package page is a fleet in a browser: a server of pages that show what looks at a table have
// seen. It writes nothing to the table.
//
// What decides is in window.go, picture.go, strips.go, why.go and chart.go, which are made of
// values. The views (views.go, holders.go, items.go, idle.go, cost.go) ask the history for what
// they show; run.go, server.go, links.go and metrics.go serve that.
package page

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Server serves the pages of a history.
type Server struct {
	History *history.History
	Table   string
	Where   string // region and endpoint
	Every   time.Duration
	Explain func(error) string
	Zone    *time.Location
	AnyHost bool // who asks may call this host as they like: it listens beyond loopback

	templates  *template.Template
	attributes attributes
	mu         sync.Mutex // for what follows
	palette    palette
}

// Serve completes a server. read reads an item's own attributes, as JSON.
func (s *Server) Serve(read readAttributes) http.Handler {
	s.attributes.read = read
	s.palette = make(palette)
	s.templates = template.Must(templates.Clone()).Funcs(timesIn(s.Zone))
	return s.handler()
}

//go:embed templates/*.html static
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"name":     func(name string) string { return say.Shorten(say.Name(name), 40) },
	"whole":    say.Name,
	"holder":   func(name string) string { return say.Shorten(holderText(name), 40) },
	"brief":    func(name string) string { return say.Shorten(holderText(name), 20) },
	"dur":      func(d time.Duration) string { return say.Duration(max(0, d)) },
	"num":      short,
	"money":    func(f float64) string { return fmt.Sprintf("$%.2f", f) },
	"fixed":    func(f float64) string { return fmt.Sprintf("%.2f", f) },
	"c":        coordinate,
	"add":      func(a, b float64) float64 { return a + b },
	"reason":   reason,
	"state":    stateText,
	"last":     lastText,
	"items":    say.Items,
	"pretty":   pretty,
	"next":     func(n int) int { return n + 1 },
	"prev":     func(n int) int { return n - 1 },
	"pair":     func(values ...any) []any { return values },
	"wisher":   func(name *string) string { return fleet.Wisher(*name) },
	"sortText": func(order string) string { return sortTexts[order] },
	"aside":    aside,
	"class":    classOf,
}).Funcs(timesIn(time.UTC)).ParseFS(files, "templates/*.html"))

// timesIn write times of a zone.
func timesIn(zone *time.Location) template.FuncMap {
	return template.FuncMap{
		"clock":  func(t time.Time) string { return t.In(zone).Format(time.TimeOnly) },
		"date":   func(t time.Time) string { return t.In(zone).Format(time.DateTime) },
		"moment": func(m fleet.Moment) string { return m.In(zone).Format(time.TimeOnly) },
		"nano":   func(n int64) string { return time.Unix(0, n).In(zone).Format(time.DateTime) },
		"zone":   func(t time.Time) string { return t.In(zone).Format("MST") },

		"eventText": func(e fleet.Event) string { return eventText(e, zone) },
	}
}

// eventText says what has happened, to whom.
func eventText(e fleet.Event, zone *time.Location) string {
	if sign, isOfHolder := signs[e.Event]; isOfHolder {
		return say.Name(e.Holder) + " " + sign.text
	}
	return e.Details(zone)
}

// aside is how far from its line the text of a mark is.
func aside(left bool) float64 {
	const gap = 4
	if left {
		return -gap
	}
	return gap
}

// pretty lays JSON out. What a reader couldn't see, or could be misled by, is escaped.
func pretty(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return say.Line(string(text))
	}
	var shown strings.Builder
	for _, r := range b.String() {
		if strconv.IsPrint(r) || r == '\n' {
			shown.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&shown, `\u%04x`, unit)
		}
	}
	return shown.String()
}

func fleetTime(t time.Time) string { return say.DatabaseTime(t.UnixNano()) }

// viewing makes what a view shows.
type viewing func(v *view) (any, error)

// handler serves the pages, their JSON under /api/, and /metrics.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for name, v := range map[string]viewing{
		"fleet":   (*view).fleet,
		"holders": (*view).holders,
		"items":   (*view).items,
		"item":    (*view).item,
		"free":    (*view).free,
		"cost":    (*view).cost,
	} {
		path := "/" + name
		if name == "fleet" {
			path = "/{$}"
		}
		mux.Handle("GET "+path, s.page(name, v))
		mux.Handle("GET /api/"+name, s.json(v))
	}
	mux.Handle("GET /", s.page("", (*view).nothing))
	mux.Handle("GET /api/", s.json((*view).nothing))
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.Handle("GET /static/", http.FileServerFS(files))
	return s.guard(mux)
}

// policy is what pages may load: what this server has, and nothing written into the page itself.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard answers only who asks for this very host, and says what browsers may do with the answers. A
// page of another site that has its name lead here (DNS rebinding) is refused.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.AnyHost && !isLoopback(r.Host) {
			const text = "the host %q is not this one: ask for localhost, or 127.0.0.1"
			http.Error(w, fmt.Sprintf(text, r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback tells whether a host, with a port or without, is a name of this machine's own.
func isLoopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// shown is what a template gets.
type shown struct {
	*view
	Name string
	Path string
	Data any
}

func (s *Server) page(name string, of viewing) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, data, err := s.view(r, of)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.write(w, http.StatusOK, name, shown{view: v, Name: name, Path: r.URL.Path, Data: data})
	})
}

// nothing is what any other address is for.
func (v *view) nothing() (any, error) {
	return nil, notFound{errors.New("there is no such page")}
}

func (s *Server) view(r *http.Request, of viewing) (*view, any, error) {
	v, err := s.newView(r)
	if err != nil {
		return nil, nil, err
	}
	data, err := of(v)
	return v, data, err
}

func (s *Server) write(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, name+".html", data); err != nil {
		http.Error(w, "the page can't be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// fail shows an error: a page with a way back.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	v := &view{Server: s, present: s.History.Present(), query: url.Values{}}
	data := shown{view: v, Name: "error", Path: r.URL.Path, Data: say.Line(err.Error())}
	s.write(w, statusOf(err), "error", data)
}

func statusOf(err error) int {
	switch {
	case errors.As(err, new(badRequest)):
		return http.StatusBadRequest
	case errors.As(err, new(notFound)):
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

func (s *Server) json(of viewing) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		_, data, err := s.view(r, of)
		if err != nil {
			status = statusOf(err)
			data = map[string]string{"error": say.Line(err.Error())}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(data)
	})
}
