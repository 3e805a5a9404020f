package chaos

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHistoryIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	written := []Event{obtained("a", "A", 1, Now(), Now()), {Kind: Fault, Lessee: "A", Note: "a \"quoted\"\nnote"}}
	for i, name := range []string{"one", "other"} {
		r, err := NewRecorder(dir, name)
		require.NoError(t, err)
		r.Add(written[i])
		require.NoError(t, r.Close())
	}
	var read []Event
	require.NoError(t, Read(dir, func(e Event) { read = append(read, e) }))
	assert.Equal(t, written, read)
}

func TestHistoryOfAKilledProcessEndsWithItsLastWholeLine(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "killed")
	require.NoError(t, os.WriteFile(name, []byte("{\"kind\":\"calm\"}\n{\"kind\":\"va"), 0o666))
	var read []Event
	require.NoError(t, Read(dir, func(e Event) { read = append(read, e) }))
	assert.Equal(t, []Event{{Kind: Calm}}, read)

	require.NoError(t, os.WriteFile(name, []byte("{\"kind\":\"va\n{\"kind\":\"calm\"}\n"), 0o666))
	assert.ErrorContains(t, Read(dir, func(Event) {}), "killed")
}

func TestReaderGoesOnWhereItStopped(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "growing")
	reader := NewReader(dir)
	next := func(grown string) (read []Event) {
		require.NoError(t, os.WriteFile(name, []byte(grown), 0o666))
		require.NoError(t, reader.Read(func(e Event) { read = append(read, e) }))
		return read
	}
	whole := "{\"kind\":\"calm\"}\n{\"kind\":\"fault\"}\n"
	assert.Equal(t, []Event{{Kind: Calm}}, next(whole[:20]))
	assert.Equal(t, []Event{{Kind: Fault}}, next(whole))
	assert.Empty(t, next(whole))
}

func TestRecorderPanicsRatherThanLosesAnEvent(t *testing.T) {
	r, err := NewRecorder(t.TempDir(), "closed")
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Panics(t, func() { r.Add(Event{Kind: Calm}) })
}

func TestExcerptIsTheItemsStory(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRecorder(dir, "story")
	require.NoError(t, err)
	first, last := saw(Valid, "a", 3, 4), saw(Valid, "a", 20, 21)
	taken, fault := obtained("a", "A", 1, 0, 2), Event{Kind: Fault, Begin: 5, End: 5, Note: Throttled}
	for _, e := range []Event{first, saw(Valid, "a", 10, 11), last, taken, fault,
		{Kind: Calm, Begin: 99, End: 99}, {Kind: Valid, Item: "y", Tenure: "b", Begin: 3, End: 4}} {
		r.Add(e)
	}
	require.NoError(t, r.Close())
	events, err := Excerpt(dir, Violation{Item: "x", From: 0, To: 30})
	require.NoError(t, err)
	assert.Equal(t, []Event{taken, first, fault, last}, events)
}

func TestNowRuns(t *testing.T) {
	before := Now()
	time.Sleep(time.Millisecond)
	assert.GreaterOrEqual(t, Now()-before, time.Millisecond)
}
