package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
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
		"reserved": `^reserved w2 \d+m\d+s \d+ -$`, "released": `^free - - \d+ -$`, "ended": `^free - - 3 - the lease of w9 ended 1m\S+ ago$`,
		"bare": `^never_leased - - - -$`, "spoiled": `^unusable - - - - LeaseUntil "soon" is not a number$`,
		"to free": `^held w2 \S+ 4 \(anyone\)$`, "new": `^never_leased - - \d+ -$`,
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
		"-state reserved,unusable": {"reserved", "spoiled"}, "-state never_leased": {"bare", "new"},
		"*d": {"held", "wanted", "reserved", "released", "ended", "spoiled"}, "new": {"new"}, "-held w*": {"wanted"},
	} {
		args := append([]string{"list", "-json"}, strings.SplitN(flags, " ", 2)...)
		r := f.run(args...)
		require.Equal(t, 0, r.status, r.stderr)
		var got []string
		all := strings.Split(strings.TrimSpace(r.stdout), "\n")
		for _, line := range all[:len(all)-1] {
			var item fleet.JSONItem
			require.NoError(t, json.Unmarshal([]byte(line), &item))
			got = append(got, item.Item)
		}
		assert.ElementsMatch(t, want, got, flags)
		var sum fleet.Counts
		require.NoError(t, json.Unmarshal([]byte(all[len(all)-1]), &sum))
		assert.Equal(t, len(want), sum.Items, flags)
	}
}

func TestListOfNamedItemsReadsThemOnly(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	r := f.run("list", "held", "no such", "ended")
	assert.Equal(t, 1, r.status)
	assert.Regexp(t, `\Alease: there is no item no such in table \S+\n\z`, r.stderr)
	assert.Regexp(t, `(?s)\AITEM .*\nended .*\nheld .*2 items: 1 held, 0 reserved, 1 free`, r.stdout)
}

func TestListSorts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(fleet.Row{"id": str("b"), "FencingToken": fleet.Number(2), "LeaseWeight": fleet.Number(3), "Server": str("imap")})
	f.put(fleet.Row{"id": str("a"), "FencingToken": fleet.Number(3)})
	f.put(fleet.Row{"id": str("c"), "FencingToken": fleet.Number(1), "LeaseWeight": fleet.Number(2)})
	for column, want := range map[string]string{"name": "abc", "token": "cba", "weight": "bca", "holder": "abc"} {
		var got string
		for _, line := range strings.Split(f.run("list", "-sort", column).stdout, "\n")[1:4] {
			got += line[:1]
		}
		assert.Equal(t, want, got, column)
	}
	shown := lines(f.run("list", "-wide").stdout)
	assert.Equal(t, "STATE HOLDER ENDS IN TOKEN WANTED BY WEIGHT CAPACITY ATTRIBUTES", shown["ITEM"])
	assert.Equal(t, `never_leased - - 2 - 3 1 {"Server":"imap"}`, shown["b"])
	assert.Contains(t, f.run("list", "-wide", "-json", "b").stdout, `"weight":3,"attributes":{"Server":"imap"}`)
}

func TestListOnATerminalFitsIt(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	require.NoError(t, f.AddLeaseID(strings.Repeat("long", 50), nil))
	f.lease(strings.Repeat("long", 50), "host-of-a-long-name.eu-west-1.compute.internal:4711", time.Hour)
	require.NoError(t, f.AddLeaseID("日本", nil))
	token := fmt.Sprint(f.item("日本").FencingToken)
	for _, test := range []struct {
		columns uint16
		args    []string
		has     []string
	}{
		{80, nil, []string{"…nglong", "  free? ", "never leased", "\r\n    the lease of w9 ended 1m", "\r\n    LeaseUntil \"soon\" is not a number\r\n", token}},
		{80, []string{"-wide"}, []string{"WEIGHT", "CAPACITY", "never leased", "\r\n    the lease of w9 ended 1m", token}},
		{250, nil, []string{"  the lease of w9 ended 1m", "host-of-a-long-name.eu-west-1.compute.internal:4711", token}},
	} {
		x := f.onTerminal(test.columns, 40, append([]string{"list"}, test.args...)...)
		assert.Equal(t, 0, x.end())
		x.shown.await(t, "items: ")
		shown := x.shown.String()
		for _, line := range strings.Split(shown, "\r\n") {
			assert.LessOrEqual(t, lipgloss.Width(line), int(test.columns), line)
		}
		for _, text := range test.has {
			assert.Contains(t, shown, text, test.args)
		}
	}
}

func TestListAsJSON(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	r := f.run("list", "-json")
	items := make(map[string]fleet.JSONItem)
	var sum fleet.Counts
	for s := bufio.NewScanner(strings.NewReader(r.stdout)); s.Scan(); {
		d := json.NewDecoder(strings.NewReader(s.Text()))
		d.DisallowUnknownFields()
		var item fleet.JSONItem
		if d.Decode(&item) == nil {
			items[item.Item] = item
		} else {
			require.NoError(t, json.Unmarshal(s.Bytes(), &sum))
		}
	}
	assert.Equal(t, fleet.Counts{Items: 9, Held: 3, Reserved: 1, Free: 2, NeverLeased: 2, Unusable: 1,
		Holders: map[string]int{"w1": 2, "w2": 2}, Pages: 1, ReadUnits: 0.5}, sum)
	row := f.item("wanted")
	wanted := items["wanted"]
	assert.Greater(t, *wanted.EndsIn, 3000.)
	assert.LessOrEqual(t, *wanted.EndsIn, 3600.)
	wanted.EndsIn = nil
	assert.Equal(t, fleet.JSONItem{Item: "wanted", State: fleet.Held, Holder: "w1", Ends: say.DatabaseTime(row.LeaseUntil), Token: &row.FencingToken,
		WantedBy: aws.String("w2"), WantedUntil: say.DatabaseTime(row.WantedUntil)}, wanted)
	assert.Equal(t, "", *items["to free"].WantedBy)
	assert.Equal(t, fleet.JSONItem{Item: "spoiled", State: fleet.Unusable, Why: `LeaseUntil "soon" is not a number`}, items["spoiled"])
	assert.Equal(t, fleet.JSONItem{Item: "bare", State: fleet.NeverLeased}, items["bare"])
	assert.Equal(t, "w9", items["ended"].LastHolder)
	assert.Equal(t, fleet.Free, items["released"].State)
	assert.True(t, items["released"].Uncertain)
	assert.Equal(t, fleet.NeverLeased, items["new"].State)
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
