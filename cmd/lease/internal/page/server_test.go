package page

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/history/historytest"
)

// hostile are names that a page could take for something else.
var hostile = []string{
	`<img src=x onerror=alert(1)>`,
	`"><script>alert(1)</script>`,
	`'];alert(1);//</title></svg><script>`,
	`{{.Table}} ${1} %3Cscript%3E &lt;b&gt; &#0;`,
	`javascript:alert(1)`,
	`../../etc?name=b&last=1h#frag`,
	"\u202e gnp.exe \u2066\u200b\ufeff",
	"\x00\x1b[2J\n\r\t\x7f\u0085\u2028",
	" ",
	strings.Repeat("Long-", 400),
	"ünï 郵便受け 👩‍🚀",
}

// site is a server of a history in memory, as seen at looks that the test makes.
type site struct {
	*Server
	t     *testing.T
	looks *historytest.Looks
	serve http.Handler
}

func newSite(t *testing.T) *site {
	h, err := history.Open(t.Context(), history.Options{Place: "t", Keep: 24 * time.Hour, Every: 2 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { h.Close() })
	s := &site{t: t, looks: historytest.NewLooks()}
	s.Server = &Server{History: h, Table: "mailboxes", Where: "eu-west-1", Every: 2 * time.Second, Explain: error.Error, Zone: time.UTC}
	s.serve = s.Serve(func(_ context.Context, item string) (string, error) {
		users, err := json.Marshal(map[string]string{"Server": item})
		return string(users), err
	})
	return s
}

func (s *site) look(after time.Duration, items ...fleet.Item) {
	s.t.Helper()
	require.NoError(s.t, s.History.Note(s.t.Context(), s.looks.Look(after, items...), ""))
}

// ask asks for an address, as a browser on this host does.
func (s *site) ask(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost:8099"
	w := httptest.NewRecorder()
	s.serve.ServeHTTP(w, r)
	return w
}

// page is one that there is.
func (s *site) page(path string) string {
	s.t.Helper()
	w := s.ask(path)
	require.Equal(s.t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	return w.Body.String()
}

func (s *site) api(path string, into any) {
	s.t.Helper()
	w := s.ask(path)
	require.Equal(s.t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	assert.Equal(s.t, "application/json", w.Header().Get("Content-Type"))
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), into))
}

var tags, titles = regexp.MustCompile(`<[^>]*>|\s+`), regexp.MustCompile(`<title>[^<]*</title>`)

// words are what there is to read in a page.
func words(html string) string {
	html = titles.ReplaceAllString(html[strings.Index(html, "<main"):], "")
	return strings.TrimSpace(regexp.MustCompile(` +`).ReplaceAllString(tags.ReplaceAllString(html, " "), " "))
}

// aFleet has seen w1 and w2, of which w2 has died, w3 come, and one item be left.
func aFleet(t *testing.T) *site {
	s := newSite(t)
	at := func(seconds int) time.Duration { return time.Duration(seconds) * time.Second }
	held, free := historytest.Held, historytest.Free
	s.look(0, held("a", "w1", 1, 0), held("b", "w2", 1, 0), held("c", "w2", 1, 0), free("d", 7))
	s.look(at(2), held("a", "w1", 1, at(2)), held("b", "w2", 1, at(2)), held("c", "w2", 1, at(2)), free("d", 7))
	s.look(at(31), held("a", "w1", 1, at(33)), held("b", "w2", 1, at(2)), held("c", "w2", 1, at(2)), free("d", 7))
	s.look(at(2), held("a", "w1", 1, at(35)), held("b", "w3", 2, at(35)), held("c", "w2", 1, at(2)), free("d", 7))
	s.look(at(40), held("a", "w1", 1, at(75)), held("b", "w3", 2, at(75)), held("c", "w2", 1, at(2)), free("d", 7))
	return s
}

func TestViewsSayWhatWasSeen(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	for path, want := range map[string][]string{
		"/":                 {"✕ w2", "▲ w3", "2 workers", "4 items", "2 not worked on , longest 1m15s", "ended", "the lease of w2, token 1", "not looked"},
		"/?by=load":         {"the weight of what each holds, divided"},
		"/holders":          {"The mean load is 1", "w2 0 0 1 0 0 0 2 1m13s ago its leases ended unrenewed"},
		"/items":            {"4 items", "c free 42s not renewed in time by w2", "b w3 40s taken as it was free; before: w2"},
		"/items?filter=w3":  {"1 item of those with “ w3 ”"},
		"/item?name=c":      {"It is free, as w2 did not renew its lease, which ended 42s ago", "last holder w2", "&#34;Server&#34;: &#34;c&#34;"},
		"/item?name=a":      {"It is held by w1 with the token 1, for another 30s."},
		"/free":             {"Nobody works on 2 items.", "w2 1 42s", "nobody that was seen 1 1m15s", "d 1m15s"},
		"/cost":             {"As of the last 75 seconds: 4 items, 2 workers", "the fleet's writes, as seen"},
		"/static/page.js":   {},
		"/items?sort=name":  {},
		"/items?page=9":     {},
		"/?from=0&to=20000": {"not looked"},
	} {
		html := s.page(path)
		for _, text := range want {
			assert.Contains(t, words(html), text, path)
		}
	}
}

func TestAPISaysTheSame(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	var f struct {
		Times   []string
		Holders []struct {
			Holder string
			Values []float64
		}
		Marks, Events []struct{ Event, Holder string }
		Gaps          []struct{ From, To string }
	}
	s.api("/api/fleet", &f)
	assert.Len(t, f.Times, columns)
	assert.Equal(t, "2026-01-02T12:01:15.000Z", f.Times[columns-1])
	assert.Equal(t, "w1", f.Holders[0].Holder)
	assert.Equal(t, 1.0, f.Holders[0].Values[columns-1])
	assert.Equal(t, "fell", f.Marks[0].Event)
	assert.NotEmpty(t, f.Gaps)
	var free struct {
		Items []struct{ Item, Before, Cause, Since string }
	}
	s.api("/api/free", &free)
	assert.Equal(t, "c", free.Items[1].Item)
	assert.Equal(t, "w2", free.Items[1].Before)
	assert.Equal(t, "ended", free.Items[1].Cause)
	assert.Equal(t, "2026-01-02T12:00:33.000Z", free.Items[1].Since)
	var item struct {
		Explanation string
		Attributes  map[string]string
		Strips      []struct{ From, To, State, Holder string }
	}
	s.api("/api/item?name=c", &item)
	assert.Contains(t, item.Explanation, "It is free")
	assert.Equal(t, map[string]string{"Server": "c"}, item.Attributes)
	assert.Len(t, item.Strips, 2)
	var holders struct {
		Holders []struct {
			Holder  string
			Renewed float64 `json:"renewed_seconds_ago"`
		}
	}
	s.api("/api/holders", &holders)
	assert.Len(t, holders.Holders, 3)
	for path, status := range map[string]int{"/api/items?page=x": 400, "/api/item": 400, "/api/item?name=zzz": 404, "/api/fleet?by=x": 400, "/api/fleet?last=x": 400, "/api/none": 404} {
		w := s.ask(path)
		assert.Equal(t, status, w.Code, path)
		if status >= 400 {
			assert.Contains(t, w.Body.String(), `{"error":"`, path)
		}
	}
}

func TestErrorsArePagesThatNameTheValue(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	for path, want := range map[string]string{
		"/items?sort=%3Cb%3E": `sort is &#34;&lt;b&gt;&#34;`, "/?last=x": "last is", "/item": "no item", "/item?name=%00": `no item &#34;\x00&#34;`,
		"/?last=1h;x": "the query can&#39;t be read", "/nowhere": "there is no such page", "/holders/": "there is no such page",
	} {
		w := s.ask(path)
		assert.Contains(t, w.Body.String(), want)
		assert.Contains(t, w.Body.String(), `<a href="/">To the fleet</a>`, path)
		assert.GreaterOrEqual(t, w.Code, 400)
	}
}

func TestHostileNamesAreTextEverywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	items := func(renewed time.Duration) (items []fleet.Item) {
		for n, name := range hostile {
			i := historytest.Held(name, hostile[len(hostile)-1-n], 5, renewed)
			i.WantedBy = name
			i.WantedUntil = i.LeaseUntil
			items = append(items, i)
		}
		sortByName(items)
		return items
	}
	s.look(0, items(0)...)
	s.look(10*time.Second, items(0)...)
	s.look(40*time.Second, items(0)...) // All leases have ended.
	s.Explain = func(error) string { return hostile[0] }
	paths := []string{"/", "/?by=load", "/holders", "/items", "/free", "/cost"}
	for _, name := range hostile {
		paths = append(paths, "/item?name="+url.QueryEscape(name), "/items?filter="+url.QueryEscape(name))
		var item struct{ Item string }
		s.api("/api/item?name="+url.QueryEscape(name), &item)
		assert.Equal(t, name, item.Item)
	}
	for _, path := range paths {
		html := s.page(path)
		for _, never := range []string{"<img", "alert(1)</script", `href="javascript`, "</title></svg>", "onerror=alert(1)>"} {
			assert.NotContains(t, html, never, path)
		}
		if strings.Contains(path, "filter") { // That is shown as it was asked for.
			continue
		}
		for _, odd := range "\u202e\u2066\u200b\ufeff\x1b\x7f\u0085\u2028\x00" {
			assert.NotContains(t, html, string(odd), path)
		}
	}
	text := s.page("/metrics")
	for line := range strings.Lines(text) {
		assert.Regexp(t, `^(# (HELP|TYPE) .*|[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"\})? [0-9.e+-]+)\n$`, line)
	}
}

func TestServerAnswersThisHostOnlyAndLetsNothingIn(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8099": 200, "127.0.0.1:8099": 200, "127.9.9.9": 200, "[::1]:8099": 200, "[::1]": 200, "localhost.": 200,
		"evil.example": 421, "evil.example:8099": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "10.0.0.1:8099": 421, "": 421,
	} {
		for _, path := range []string{"/", "/api/items", "/metrics", "/static/page.js"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			s.serve.ServeHTTP(w, r)
			assert.Equal(t, want, w.Code, "%q %s", host, path)
			assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'self'")
			assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		}
	}
	s.AnyHost = true
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	s.serve.ServeHTTP(w, r)
	assert.Equal(t, 200, w.Code, "it listens for others too")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		s.serve.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
	}
}

func TestPagesHaveNothingThatTheirPolicyForbids(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	for _, path := range []string{"/", "/holders", "/items", "/item?name=c", "/free", "/cost"} {
		html := s.page(path)
		assert.NotRegexp(t, `\sstyle=|<style|\son[a-z]+=|<script>|https?://`, html, path)
		assert.Contains(t, html, `<html lang="en"`, path)
		assert.Equal(t, 1, strings.Count(html, "<h1>"), path)
		for _, image := range regexp.MustCompile(`<svg[^>]*>`).FindAllString(html, -1) {
			assert.Regexp(t, `aria-hidden="true"|role="img".*aria-label=`, image, path)
		}
	}
}

func TestMetricsAreBoundedByHolders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var items []fleet.Item
	for n := range 150 {
		items = append(items, historytest.Held(fmt.Sprintf("item-%03d", n), fmt.Sprintf("w%03d", n), 5, 0))
	}
	items = append(items, historytest.Held("item-150", "w149", 5, 0))
	s.look(0, items...)
	text := s.page("/metrics")
	assert.Equal(t, mostHolders+1, strings.Count(text, "\nlease_table_holder_items{"))
	assert.Contains(t, text, "\nlease_table_holder_items{holder=\"w149\"} 2\n")
	assert.Contains(t, text, "\nlease_table_holder_items{holder=\"\"} 50\n")
	assert.Contains(t, text, "\nlease_table_items{state=\"held\"} 151\n")
	assert.Contains(t, text, "\nlease_page_looks_total 1\n")
}

func TestFailingLooksAreSaidOnEachPage(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	look := s.looks.Look(time.Second)
	look.Events, look.Items, look.Err = nil, nil, assert.AnError
	require.NoError(t, s.History.Note(t.Context(), look, "no answer from <there>"))
	html := s.page("/")
	assert.Contains(t, html, "LOOKING FAILS")
	assert.Contains(t, html, "no answer from &lt;there&gt;")
	assert.Contains(t, html, "4 items", "what was seen last is still shown")
	assert.Contains(t, words(html), "12:00:00 to the last look", "what is old isn't called now")
	assert.Contains(t, s.page("/metrics"), "lease_page_looks_failed_total 1\n")
	for _, path := range []string{"fleet", "holders", "items", "item?name=a", "free", "cost"} {
		var answer struct{ Looked, Failure string }
		s.api("/api/"+path, &answer)
		assert.Equal(t, "2026-01-02T12:01:15.000Z", answer.Looked, path)
		assert.Equal(t, "no answer from <there>", answer.Failure, path)
	}
}

func TestALookThatTakesLongIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.looks.Now = time.Now()
	s.look(0)
	html := s.page("/")
	assert.NotContains(t, html, "THE LOOK TAKES LONG")
	assert.Regexp(t, `\d to now`, words(html))
	s = aFleet(t) // It was looked at in January.
	html = s.page("/")
	assert.Contains(t, html, "THE LOOK TAKES LONG; shown is what was ")
	assert.Contains(t, words(html), " to the last look")
}

func TestAnEmptyTableIsNotWell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.look(0)
	for _, path := range []string{"/", "/free"} {
		text := words(s.page(path))
		assert.Contains(t, text, "The table has no items", path)
		assert.NotContains(t, text, "Somebody works on every item", path)
	}
}

func TestEachPictureHasItsTable(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	fleet := words(s.page("/?last=75s"))
	assert.Regexp(t, `Items of each holder( holder| [\d:]+)+ w1( not looked){7} 1 w2( not looked){7} 0 w3( not looked){7} 1 nobody( not looked){7} 2 `, fleet)
	assert.Regexp(t, `moves, since the time before( 0){3} 1( 0){4} `, fleet)
	items := words(s.page("/items"))
	assert.Contains(t, items, "c 2026-01-02 12:00:00 2026-01-02 12:00:33 held by w2 so since the first look")
	assert.Contains(t, items, "c 2026-01-02 12:00:33 the last look free not renewed in time by w2")
}

func TestTimesAreOfTheZone(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	s.Zone = time.FixedZone("EAST", 5*3600+1800)
	s.serve = s.Serve(s.attributes.read)
	for path, want := range map[string][]string{
		"/":                                     {"17:30:00 to the last look", "17:30:20", "17:30:35 joined"},
		"/?from=1767355200000&to=1767358800000": {"2026-01-02 17:30:00 to 2026-01-02 18:30:00", " 17:40 "},
		"/items":                                {"c 2026-01-02 17:30:00 2026-01-02 17:30:33 held by w2"},
		"/item?name=c":                          {"whose lease ended 2026-01-02 17:30:32"},
		"/free":                                 {"2026-01-02 17:30:33"},
		"/holders":                              {"2026-01-02 17:30:00"},
	} {
		html := s.page(path)
		for _, text := range want {
			assert.Contains(t, words(html), text, path)
		}
		assert.NotContains(t, html, "UTC", path)
		assert.NotContains(t, html, "12:0", path)
		assert.Contains(t, html, "Times are EAST, by the database's clock.")
	}
	var f struct{ Times, Clocks []string }
	s.api("/api/fleet", &f)
	assert.Equal(t, "2026-01-02T12:01:15.000Z", f.Times[columns-1])
	assert.Equal(t, "17:31:15 EAST", f.Clocks[columns-1])
	found := fleet.Event{Event: fleet.IsThere, Holder: "w1", Ends: fleet.Moment(1767355200e9)}
	assert.Contains(t, eventText(found, s.Zone), "until 2026-01-02 17:30:00")
}

func TestTheSameAsJSONIsOfTheSameQuery(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	assert.Contains(t, s.page("/item?name=a&last=5m"), `<a href="/api/item?last=5m&amp;name=a">`)
}

func TestAttributesAreReadOnceInAWhile(t *testing.T) {
	t.Parallel()
	reads := 0
	a := attributes{read: func(context.Context, string) (string, error) { reads++; return "{}", nil }}
	for range 3 {
		text, err := a.get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, "{}", text)
	}
	assert.Equal(t, 1, reads)
	for n := range 300 {
		_, err := a.get(t.Context(), fmt.Sprint(n))
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, len(a.last), 100)
	a.read = func(context.Context, string) (string, error) { return "", assert.AnError }
	_, err := a.get(t.Context(), "b")
	assert.ErrorIs(t, err, assert.AnError)
}

func TestRetiredItemsAreStillShown(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	s.look(time.Second, historytest.Held("a", "w1", 1, 75*time.Second))
	assert.Contains(t, words(s.page("/item?name=b")), "It is retired: its row isn&#39;t there any more.")
	assert.Equal(t, http.StatusNotFound, s.ask("/item?name=never").Code)
}

func sortByName(items []fleet.Item) {
	slices.SortFunc(items, func(a, b fleet.Item) int { return cmp.Compare(a.LeaseID, b.LeaseID) })
}

func TestPagesAreServedWhileLooksAreNoted(t *testing.T) {
	t.Parallel()
	s := aFleet(t)
	var all sync.WaitGroup
	for _, path := range []string{"/", "/holders", "/items", "/item?name=a", "/free", "/cost", "/metrics"} {
		all.Go(func() {
			for range 5 {
				assert.Equal(t, http.StatusOK, s.ask(path).Code, path)
			}
		})
	}
	for n := range 20 {
		s.look(time.Second, historytest.Held("a", fmt.Sprintf("w%d", n), int64(n), 80*time.Second))
	}
	all.Wait()
}
