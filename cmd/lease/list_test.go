package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines returns the lines of a list by their first word.
func lines(text string) map[string]string {
	found := make(map[string]string)
	for _, line := range strings.Split(text, "\n") {
		if name, rest, ok := strings.Cut(line, "  "); ok && found[name] == "" {
			found[name] = strings.Join(strings.Fields(rest), " ")
		}
	}
	return found
}

func TestListShowsEveryStateAndCountsTheHolders(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	r := f.run("list")
	require.Equal(t, 0, r.status, r.stderr)
	assert.Empty(t, r.stderr)
	shown := lines(r.stdout)
	for name, want := range map[string]string{
		"ITEM": `^STATE HOLDER ENDS IN TOKEN WANTED BY$`, "held": `^held w1 (1h0m|\d\dm)\d+s \d+ -$`, "wanted": `^held w1 \S+ \d+ w2$`,
		"reserved": `^reserved w2 \d+m\d+s \d+ -$`, "released": `^free \(never leased\?\) - - \d+ -$`, "ended": `^free - - 3 -$`,
		"bare": `^never leased - - - -$`, "spoiled": `^unusable - - - - LeaseUntil "" is not a number$`,
		"to free": `^held w2 \S+ 4 \(anyone\)$`, "new": `^never leased - - \d+ -$`,
	} {
		assert.Regexp(t, want, shown[name], name)
	}
	_, end, _ := strings.Cut(r.stdout, "\n\n")
	assert.Equal(t, "ITEMS  HOLDER\n    2  w1\n    2  w2\n\n"+
		"9 items: 3 held, 1 reserved, 2 free, 2 never leased, 1 unusable (0.5 read units)\n", end)
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	for flags, want := range map[string][]string{
		"-held": {"held", "wanted", "reserved", "to free"}, "-free": {"released", "ended", "bare", "new"},
		"-holder w1": {"held", "wanted"}, "-holder w9": nil, "-holder ": nil,
	} {
		args := append([]string{"list", "-json"}, strings.SplitN(flags, " ", 2)...)
		r := f.run(args...)
		require.Equal(t, 0, r.status, r.stderr)
		var got []string
		all := strings.Split(strings.TrimSpace(r.stdout), "\n")
		for _, line := range all[:len(all)-1] {
			var item jsonItem
			require.NoError(t, json.Unmarshal([]byte(line), &item))
			got = append(got, item.Item)
		}
		assert.ElementsMatch(t, want, got, flags)
		var sum counts
		require.NoError(t, json.Unmarshal([]byte(all[len(all)-1]), &sum))
		assert.Equal(t, len(want), sum.Items, flags)
	}
}

func TestListAsJSON(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	r := f.run("list", "-json")
	items := make(map[string]jsonItem)
	var sum counts
	for s := bufio.NewScanner(strings.NewReader(r.stdout)); s.Scan(); {
		d := json.NewDecoder(strings.NewReader(s.Text()))
		d.DisallowUnknownFields()
		var item jsonItem
		if d.Decode(&item) == nil {
			items[item.Item] = item
		} else {
			require.NoError(t, json.Unmarshal(s.Bytes(), &sum))
		}
	}
	assert.Equal(t, counts{9, 3, 1, 2, 2, 1, map[string]int{"w1": 2, "w2": 2}, 1, 0.5}, sum)
	row := f.item("wanted")
	wanted := items["wanted"]
	assert.Greater(t, *wanted.EndsIn, 3000.)
	assert.LessOrEqual(t, *wanted.EndsIn, 3600.)
	wanted.EndsIn = nil
	assert.Equal(t, jsonItem{Item: "wanted", State: held, Holder: "w1", Ends: databaseTime(row.LeaseUntil), Token: &row.FencingToken,
		WantedBy: aws.String("w2"), WantedUntil: databaseTime(row.WantedUntil)}, wanted)
	assert.Equal(t, "", *items["to free"].WantedBy)
	assert.Equal(t, jsonItem{Item: "spoiled", State: unusable, Why: `LeaseUntil "" is not a number`}, items["spoiled"])
	assert.Equal(t, jsonItem{Item: "bare", State: neverLeased}, items["bare"])
	assert.Equal(t, "w9", items["ended"].LastHolder)
	assert.Equal(t, free, items["released"].State)
	assert.True(t, items["released"].Uncertain)
	assert.Equal(t, neverLeased, items["new"].State)
}

func TestListShowsAnAddedItemAsFreeOnceItWasLeased(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, 0, f.run("add", "a").status)
	require.NoError(t, f.ReleaseLease(f.lease("a", "w1", time.Hour)))
	assert.Regexp(t, `^free - - \d+ -$`, lines(f.run("list").stdout)["a"])
}

func TestListSurvivesOddNamesAndAnEmptyTable(t *testing.T) {
	t.Parallel()
	f := newFixtureKey(t, "Name")
	r := f.run("list")
	assert.Equal(t, 0, r.status)
	assert.Regexp(t, `\A0 items: 0 held, 0 reserved, 0 free, 0 never leased, 0 unusable \(\d.\d read units\)\n\z`, r.stdout)
	odd := []string{"-x", "with  two spaces", "\x1b[2J", "line\nbreak", "ünïcödé", "$(rm)", `"quoted"`, " ", strings.Repeat("long", 500), "\u202e"}
	require.Equal(t, 0, f.run(append([]string{"add", "--"}, odd...)...).status)
	out := f.run("list").stdout
	for _, shown := range []string{"\n-x  ", `"with  two spaces"`, `"\x1b[2J"`, `"line\nbreak"`, "ünïcödé", "$(rm)", `"\"quoted\""`, `" "`, "longlonglong", `"\u202e"`} {
		assert.Contains(t, out, shown)
	}
	assert.NotContains(t, out, "\x1b")
	assert.Contains(t, out, "10 items:")
	r = f.run("list", "-json")
	for _, name := range odd {
		quoted, err := json.Marshal(name)
		require.NoError(t, err)
		assert.Contains(t, r.stdout, string(quoted))
	}
	assert.Equal(t, 0, f.run(append([]string{"retire", "--"}, odd...)...).status)
	assert.Contains(t, f.run("list").stdout, "0 items:")
}

func TestListEndsQuietlyWhenItsReaderLeaves(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(3000)
	cmd := exec.Command("sh", "-c", binary(t)+" list | head -1")
	cmd.Env = f.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Empty(t, stderr.String())
	assert.Regexp(t, `\AITEM [^\n]*\n\z`, string(out))
}

func TestListFailsOnAFullDisk(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	cmd := exec.Command(binary(t), "list")
	cmd.Env = f.env
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	cmd.Stdout = full
	var stderr strings.Builder
	cmd.Stderr = &stderr
	assert.Error(t, cmd.Run())
	assert.Regexp(t, `\Alease: [^\n]*no space left[^\n]*\n\z`, stderr.String())
}
