package history

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history/historytest"
)

// open opens a history that keeps for an hour.
func open(t *testing.T, file string) *History {
	t.Helper()
	h, err := Open(t.Context(), Options{File: file, Place: "table t at e", Keep: time.Hour, Every: 2 * second})
	require.NoError(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

// note keeps a look.
func note(t *testing.T, h *History, l *historytest.Looks, after time.Duration, items ...fleet.Item) {
	t.Helper()
	require.NoError(t, h.Note(t.Context(), l.Look(after, items...), ""))
}

// must returns a value that there is.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		require.NoError(t, err)
		return value
	}
}

func TestHistoryTellsWhatWasNoted(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	noon := historytest.Noon
	const odd = "ü\x00'\"\u202e%"
	note(t, h, looks, 0, held(odd, "w1", 5, 0), free("\u00ff", 1))
	note(t, h, looks, 2*second, held(odd, "w1", 5, second), held("\u00ff", "w2", 2, 2*second))
	note(t, h, looks, 2*second, reserved(odd, "w2", 5, 4*second), held("\u00ff", "w2", 2, 4*second))
	note(t, h, looks, 2*second, held(odd, "w2", 6, 6*second), held("\u00ff", "w2", 2, 4*second))
	ctx := t.Context()

	strips := must(h.Strips(ctx, odd, noon, looks.Now))(t)
	assert.Equal(t, []string{"0s 4s held w1/5 <", "4s 6s reserved w2/5 handed_over<w1", "6s - held w2/6 handed_over<w1"},
		[]string{text(strips[0]), text(strips[1]), text(strips[2])})
	assert.Len(t, must(h.Strips(ctx, odd, noon.Add(4500*time.Millisecond), noon.Add(5*second)))(t), 1, "what lasted then")
	assert.Equal(t, int64(6), must(h.Tenures(ctx, odd, 2))(t)[0].Token, "newest first")

	events := must(h.EventsOf(ctx, odd, 10))(t)
	require.Len(t, events, 2)
	assert.Equal(t, []fleet.Kind{fleet.Obtained, fleet.HandedOver}, []fleet.Kind{events[0].Event, events[1].Event})
	assert.Equal(t, "w1", events[1].From)
	assert.Equal(t, int64(5), *events[1].Token)
	assert.Len(t, must(h.Events(ctx, noon, looks.Now, 3))(t), 3)
	arrivals := must(h.Arrivals(ctx, noon, looks.Now))(t)
	require.Len(t, arrivals, 2)
	assert.Equal(t, []fleet.Kind{Joined, Left}, []fleet.Kind{arrivals[0].Event, arrivals[1].Event})

	assert.Equal(t, []int{0, 1, 1}, must(h.Moves(ctx, noon, looks.Now, 3))(t))
	churns := must(h.Churns(ctx, noon))(t)
	assert.Equal(t, Churn{Given: 1}, churns["w1"])
	assert.Equal(t, Churn{Obtained: 2}, churns["w2"])
	samples := must(h.Samples(ctx, noon.Add(3*second), looks.Now))(t)
	require.Len(t, samples, 5)
	assert.Equal(t, Sample{"w1", noon, 1, 1, 1}, samples[0], "what it had before, and still had")
	assert.Equal(t, []Span{{noon, looks.Now}}, must(h.Spans(ctx, noon, looks.Now))(t))

	p := h.Present()
	assert.Equal(t, 4, p.Looks)
	assert.Equal(t, 8.0, p.Spent)
	c, found := p.Find("\u00ff")
	assert.True(t, found)
	assert.Equal(t, "w2", c.Strip.Holder)
	_, found = p.Find("c")
	assert.False(t, found)
}

func TestHistoryGoesOnInAFileAndKnowsTheTimeWithoutLooks(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "odd ?#%.db")
	looks := historytest.NewLooks()
	h := open(t, file)
	note(t, h, looks, 0, held("a", "w1", 5, 0), held("b", "w1", 5, 0), held("gone", "w1", 1, 0))
	note(t, h, looks, 2*second, held("a", "w1", 5, 2*second), held("b", "w1", 5, 2*second), held("gone", "w1", 1, 0))
	require.NoError(t, h.Close())

	looks.Anew()
	h = open(t, file)
	note(t, h, looks, time.Minute, held("a", "w1", 5, time.Minute), held("b", "w2", 6, time.Minute))
	ctx := t.Context()
	noon := historytest.Noon
	assert.Equal(t, []Span{{noon, noon.Add(2 * second)}, {looks.Now, looks.Now}}, must(h.Spans(ctx, noon, looks.Now))(t))
	assert.Equal(t, noon, h.Present().First)
	strips := func(item string) (all []string) {
		for _, s := range must(h.Strips(ctx, item, noon, looks.Now))(t) {
			all = append(all, text(s))
		}
		return all
	}
	assert.Equal(t, []string{"0s - held w1/5 <"}, strips("a"), "one tenure")
	assert.Equal(t, []string{"0s 1m2s held w1/5 <", "1m2s - held w2/6 <w1"}, strips("b"))
	assert.Equal(t, []string{"0s 1m2s held w1/1 <"}, strips("gone"))
	assert.Empty(t, must(h.Arrivals(ctx, noon, looks.Now))(t), "nobody saw it")
	assert.FileExists(t, file, "and no part of the name is taken for an option")
}

func TestHistoryRefusesAFileThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	sqlite := func(statements string) string {
		path := filepath.Join(t.TempDir(), "x.db")
		h := open(t, path)
		_, err := h.db.Exec(statements)
		require.NoError(t, err)
		require.NoError(t, h.Close())
		return path
	}
	damaged := sqlite("")
	bytes, err := os.ReadFile(damaged)
	require.NoError(t, err)
	for n := 4096; n < len(bytes); n++ {
		bytes[n] = 0xa5
	}
	require.NoError(t, os.WriteFile(damaged, bytes, 0o600))
	inUse := filepath.Join(t.TempDir(), "used.db")
	open(t, inUse)
	for file, words := range map[string]string{
		write("text", "this is no database, but a text that is long enough to be read as one, and it is not"): "no SQLite database",
		sqlite("PRAGMA application_id = 1"):               "of another program",
		sqlite("PRAGMA user_version = 9"):                 "of the form 9",
		sqlite("UPDATE about SET place = 'table u at e'"): "it is about table u at e, and not about table t at e",
		damaged:                               "damaged",
		inUse:                                 "another process has it open",
		filepath.Join(t.TempDir(), "no", "x"): "is its folder there",
	} {
		_, err := Open(t.Context(), Options{File: file, Place: "table t at e", Keep: time.Hour, Every: second})
		assert.ErrorContains(t, err, words)
		assert.ErrorContains(t, err, fmt.Sprintf("%q", file))
	}
}

func TestHistoryDropsWhatIsOld(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	note(t, h, looks, 0, held("a", "w1", 5, 0), held("b", "w3", 5, 0), free("c", 1))
	note(t, h, looks, 2*second, free("a", 5), held("b", "w3", 5, 2*second), free("c", 1))
	for n := range 200 { // a minute each
		at := time.Duration(n+1) * time.Minute
		note(t, h, looks, time.Minute, free("a", 5), held("b", "w3", 5, at), held("c", "w2", int64(n+2), at))
	}
	ctx := t.Context()
	oldest := looks.Now.Add(-time.Hour - 2*time.Minute)
	assert.Len(t, must(h.Tenures(ctx, "a", 10))(t), 1, "it is free for longer, and still is")
	assert.InDelta(t, 61, len(must(h.Tenures(ctx, "c", 1000))(t)), 2)
	for _, e := range must(h.Events(ctx, time.Time{}, looks.Now, 10_000))(t) {
		assert.True(t, e.Time.In(time.UTC).After(oldest))
	}
	samples := must(h.Samples(ctx, looks.Now.Add(-time.Minute), looks.Now))(t)
	assert.Len(t, samples, 3, "what somebody still has counts from when he had it: w3's is the first one")
}

func TestHistoryDropsNamesThatNothingHas(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	h.Keep = time.Minute
	for n := range 400 { // each process has a name of its own
		at := time.Duration(n+1) * second
		note(t, h, looks, second, held("a", fmt.Sprintf("w%d", n), int64(n), at))
	}
	assert.Less(t, len(h.names.ids), 300)
	assert.NotContains(t, h.names.ids, "w1")
	note(t, h, looks, second, held("a", "w1", 2000, 401*second))
	assert.Equal(t, "w1", must(h.Tenures(t.Context(), "a", 1))(t)[0].Holder)
}

func TestHistoryThinsSamples(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	h.Keep = 100 * time.Hour
	toggle := func(times int, each time.Duration) {
		for n := range times {
			at := looks.Now.Add(each).Sub(historytest.Noon)
			item := held("a", "w1", 5, at)
			item.Weight = float64(n%7 + 1)
			note(t, h, looks, each, item)
		}
	}
	count := func(from, to time.Duration) int {
		n := 0
		for _, s := range must(h.Samples(t.Context(), historytest.Noon.Add(from), historytest.Noon.Add(to)))(t) {
			if s.Holder == "w1" && s.At.Sub(historytest.Noon) > from {
				n++
			}
		}
		return n
	}
	toggle(180, 10*second) // half an hour
	assert.Equal(t, 179, count(0, 29*time.Minute+50*second))
	looks.Now = historytest.Noon.Add(2 * time.Hour)
	toggle(1, second)
	assert.Equal(t, 31, count(0, 30*time.Minute), "one of each minute")
	looks.Now = historytest.Noon.Add(26 * time.Hour)
	toggle(1, second)
	assert.Equal(t, 4, count(0, 30*time.Minute), "one of each ten")
}

func TestHistoryFitsInASize(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	h.Most = 400_000
	h.Keep = 1000 * time.Hour
	for n := range 60 {
		var items []fleet.Item
		for i := range 100 {
			items = append(items, held(fmt.Sprintf("item-%03d", i), fmt.Sprintf("w%d", n), int64(n), time.Duration(n)*time.Minute))
		}
		note(t, h, looks, time.Minute, items...)
	}
	size := must(h.size(t.Context()))(t)
	assert.LessOrEqual(t, size, h.Most)
	events := must(h.Events(t.Context(), historytest.Noon, looks.Now, 100_000))(t)
	assert.Greater(t, len(events), 500, "the latest are still there")
}

func TestHistoryWritesLaterWhatItCouldNotWrite(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	note(t, h, looks, 0, held("a", "w1", 5, 0))
	_, err := h.db.Exec("PRAGMA query_only = true")
	require.NoError(t, err)
	err = h.Note(t.Context(), looks.Look(second, free("a", 5)), "")
	assert.ErrorContains(t, err, "can't be kept")
	assert.NotEmpty(t, h.Present().Unkept)
	assert.Equal(t, 1, h.Present().Counts.Free, "it is shown all the same")
	_, err = h.db.Exec("PRAGMA query_only = false")
	require.NoError(t, err)
	note(t, h, looks, second, held("a", "new", 6, second))
	assert.Empty(t, h.Present().Unkept)
	var got []string
	for _, s := range must(h.Tenures(t.Context(), "a", 10))(t) {
		got = append(got, text(s))
	}
	assert.Equal(t, []string{"2s - held new/6 obtained<w1", "1s 2s free /5 released<w1", "0s 1s held w1/5 <"}, got)
}

func TestHistoryReckonsWhatAMinuteCosts(t *testing.T) {
	t.Parallel()
	h, looks := open(t, ""), historytest.NewLooks()
	for n := range 14 {
		note(t, h, looks, time.Duration(min(n, 1))*10*second, held("a", "w1", 5, time.Duration(n)*10*second))
	}
	costs := must(h.Costs(t.Context(), historytest.Noon, looks.Now))(t)
	require.Len(t, costs, 2)
	assert.Equal(t, Cost{At: historytest.Noon.Add(time.Minute), Items: 1, Workers: 1, Writes: 0.1, Reads: 0.1, Looks: 1}, costs[0])
	p := h.Present()
	assert.Equal(t, 0.1, p.Bill.WritesASecond)
	assert.Equal(t, time.Minute, p.Billed)
}
