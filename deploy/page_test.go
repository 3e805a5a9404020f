package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// sectionOf is the text of docs/deploy.md below a heading of the second level.
func sectionOf(t *testing.T, heading string) string {
	t.Helper()
	_, rest, isThere := strings.Cut(readPage(t), "\n## "+heading+"\n")
	require.True(t, isThere, "docs/deploy.md has no heading %q", heading)
	section, _, _ := strings.Cut(rest, "\n## ")
	return section
}

// tableRows are the cells of the tables of a text whose first column has that name.
func tableRows(text, first string) (rows [][]string) {
	isIn := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			isIn = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == first {
			isIn = true
			continue
		}
		isRule := strings.HasPrefix(cells[0], "-")
		if isIn && !isRule {
			rows = append(rows, cells)
		}
	}
	return rows
}

// backticked are the texts between backticks.
func backticked(text string) (found []string) {
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

// TestPage_shows_the_files_as_they_are: above each block stands where it is from.
func TestPage_shows_the_files_as_they_are(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)<!-- (deploy/\\S+) -->\n+```\\w*\n(.*?)```")
	shown := block.FindAllStringSubmatch(readPage(t), -1)
	require.NotEmpty(t, shown)
	for _, block := range shown {
		text, err := os.ReadFile(filepath.Join("..", block[1]))
		require.NoError(t, err)
		assert.Equal(t, string(text), block[2], block[1])
	}
}

// TestPage_names_every_file: of those that are to be taken.
func TestPage_names_every_file(t *testing.T) {
	t.Parallel()
	page := readPage(t)
	for _, dir := range []string{"iam", "table", "ecs", "kubernetes", "systemd"} {
		files, err := filepath.Glob(dir + "/*")
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, file := range files {
			assert.Contains(t, page, "(../deploy/"+file+")", file)
		}
	}
}

func TestPage_is_short(t *testing.T) {
	t.Parallel()
	assert.LessOrEqual(t, strings.Count(readPage(t), "\n"), 300)
}

// TestPage_says_of_each_role_what_its_file_allows.
func TestPage_says_of_each_role_what_its_file_allows(t *testing.T) {
	t.Parallel()
	said := make(map[string]bool)
	for _, cells := range tableRows(sectionOf(t, "Permissions"), "role") {
		role := strings.TrimSuffix(filepath.Base(strings.Trim(linked(cells[0]), "()")), ".json")
		said[role] = true
		assert.ElementsMatch(t, readPolicy(t, role).actions("mailboxes"), backticked(cells[2]), role)
	}
	for role := range roles {
		assert.True(t, said[role], role)
	}
}

// linked is what a text links to.
func linked(text string) string { return regexp.MustCompile(`\([^)]+\)`).FindString(text) }

// obtainedOf holds a share of the items that belong, until it works on one, and names that.
func obtainedOf(f *fixture, locker *lease.Locker, belongs func(id string) bool) (worked string) {
	ctx, stop := context.WithCancel(f.ctx)
	defer stop()
	options := lease.ShareOptions{Items: belongs}
	locker.HoldShareWith(ctx, me, options, func(_ context.Context, l *lease.Lease) error {
		worked = l.LeaseID
		stop()
		return nil
	})
	return worked
}
