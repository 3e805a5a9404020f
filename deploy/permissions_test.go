package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// may makes a call under a policy, on a table of its own, and returns what it has asked for.
func (c call) may(
	t *testing.T, run func(f *fixture) error, policyOf func(table string) policy,
) (actions []string, err error) {
	t.Helper()
	f := c.newFixture(t)
	p := policyOf(f.table)
	f.guard.enforce(&p)
	err = run(f)
	assert.Equal(t, []string{f.table}, f.guard.tables(), "it asks for this table, and no other")
	return f.guard.actions(), err
}

// allow is the policy of these actions, for may.
func allow(actions []string) func(table string) policy {
	return func(table string) policy { return allowing(table, actions) }
}

// lacks is actions without one of them.
func lacks(actions []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return a == one })
}

// TestPermissions_each_call_needs_what_the_page_says: it succeeds with these actions, asks for no
// other, and fails without any of them.
func TestPermissions_each_call_needs_what_the_page_says(t *testing.T) {
	t.Parallel()
	rows := permissionRows(t)
	names := make(map[string]bool)
	for _, c := range calls() {
		names[c.name] = true
		t.Run(strings.TrimSpace(c.name+" "+c.variant), func(t *testing.T) {
			t.Parallel()
			actions := rows[c.name]
			require.NotEmpty(t, actions, "docs/deploy.md has no row of it")
			asked, err := c.may(t, c.run, allow(actions))
			require.NoError(t, err)
			assert.Equal(t, actions, asked)
			for _, action := range actions {
				_, err := c.may(t, c.run, allow(lacks(actions, action)))
				assert.Error(t, err, "without %s", action)
			}
		})
	}
	for name := range rows {
		assert.True(t, names[name], "docs/deploy.md has a row of %s, and no test", name)
	}
}

// TestPermissions_the_command_describes_the_table_if_it_isn't_told_the_key: and needs nothing else.
func TestPermissions_the_command_describes_the_table_if_it_is_not_told_the_key(t *testing.T) {
	t.Parallel()
	rows := permissionRows(t)
	for _, c := range calls() {
		if c.runWithoutKey == nil {
			continue
		}
		t.Run(c.variant, func(t *testing.T) {
			t.Parallel()
			actions := append(slices.Clone(rows[c.name]), "DescribeTable")
			slices.Sort(actions)
			actions = slices.Compact(actions) // init needs it anyway.
			asked, err := c.may(t, c.runWithoutKey, allow(actions))
			require.NoError(t, err)
			assert.Equal(t, actions, asked)
			_, err = c.may(t, c.runWithoutKey, allow(lacks(actions, "DescribeTable")))
			assert.ErrorContains(t, err, "dynamodb:DescribeTable")
		})
	}
}

// TestPermissions_an_empty_table_is_described_where_that_is_granted: for a better error.
func TestPermissions_an_empty_table_is_described_where_that_is_granted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := allowing(f.table, []string{"Scan"})
	f.guard.enforce(&p)
	ids, err := f.store.ListLeaseIDsWithContext(f.ctx)
	assert.NoError(t, err)
	assert.Empty(t, ids)
	assert.Equal(t, []string{"DescribeTable", "Scan"}, f.guard.actions())
}

// TestPermissions_every_method_that_sends_has_a_row: of the library's own.
func TestPermissions_every_method_that_sends_has_a_row(t *testing.T) {
	t.Parallel()
	rows := permissionRows(t)
	embedded := reflect.TypeOf(lease.LockStore{}.DynamoDB)
	for kind, methods := range map[string]reflect.Type{
		"LockStore": reflect.TypeFor[*lease.LockStore](), "Locker": reflect.TypeFor[*lease.Locker](),
	} {
		for i := range methods.NumMethod() {
			method := methods.Method(i).Name
			name := kind + "." + strings.TrimSuffix(method, "WithContext")
			_, isSDKs := embedded.MethodByName(method)
			if isSDKs || slices.Contains(sendNothing, name) {
				continue
			}
			assert.Contains(t, rows, name)
		}
	}
}

// TestPermissions_every_command_has_a_row: of those that "lease -h" lists.
func TestPermissions_every_command_has_a_row(t *testing.T) {
	t.Parallel()
	help, err := exec.Command(command(t), "-h").Output()
	require.NoError(t, err)
	listed := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllSubmatch(help, -1)
	require.NotEmpty(t, listed)
	rows := permissionRows(t)
	for _, line := range listed {
		assert.Contains(t, rows, "lease "+string(line[1]))
	}
}

// roles are what each policy is for: the calls that somebody of that role makes.
var roles = map[string]struct {
	calls      []string // or how they begin
	needsNoKey bool     // the command asks the table for it
}{
	"worker": {calls: []string{
		"Locker.", "lease hold", "LockStore.ListLeaseIDs", "LockStore.ScanLeaseItems", "LockStore.GetLeaseItem",
		"LockStore.Lease", "LockStore.RenewLease", "LockStore.SaveAttributes", "LockStore.WantLease",
		"LockStore.WithdrawWish", "LockStore.HandOverLease", "LockStore.ReleaseLease",
	}},
	"registrar": {calls: []string{
		"LockStore.AddLeaseID", "LockStore.RemoveLease", "LockStore.ListLeaseIDs", "LockStore.ScanLeaseItems",
		"lease add",
	}},
	"viewer": {needsNoKey: true, calls: []string{
		"lease list", "lease watch", "lease page", "lease cost", "LockStore.ListLeaseIDs", "LockStore.ScanLeaseItems",
		"LockStore.GetLeaseItem",
	}},
	"operator": {needsNoKey: true, calls: []string{
		"lease list", "lease watch", "lease page", "lease cost", "lease add", "lease weigh", "lease retire", "lease yield",
		"lease release", "lease hold", "LockStore.WantLease", "LockStore.WithdrawWish",
	}},
	"maker": {calls: []string{"LockStore.EnsureTable", "lease init"}},
}

// madeBy are the calls of a role.
func madeBy(role string) (made []call) {
	for _, c := range calls() {
		isOfRole := slices.ContainsFunc(roles[role].calls, func(prefix string) bool {
			return strings.HasPrefix(c.name, prefix)
		})
		if !isOfRole {
			continue
		}
		if roles[role].needsNoKey && c.runWithoutKey != nil {
			c.run = c.runWithoutKey
		}
		made = append(made, c)
	}
	return made
}

// TestPolicies_allow_what_their_role_needs_and_no_more: each call of a role succeeds under the file,
// and each action of the file is asked for by one of them.
func TestPolicies_allow_what_their_role_needs_and_no_more(t *testing.T) {
	t.Parallel()
	ddblocal.ForTest(t)
	for role := range roles {
		t.Run(role, func(t *testing.T) {
			file := readPolicy(t, role)
			needed := make(chan []string, len(calls()))
			t.Run("calls", func(t *testing.T) {
				for _, c := range madeBy(role) {
					t.Run(strings.TrimSpace(c.name+" "+c.variant), func(t *testing.T) {
						t.Parallel()
						asked, err := c.may(t, c.run, file.of)
						assert.NoError(t, err)
						needed <- asked
					})
				}
			})
			close(needed)
			var all []string
			for asked := range needed {
				all = append(all, asked...)
			}
			slices.Sort(all)
			assert.Equal(t, slices.Compact(all), file.actions("mailboxes"))
		})
	}
}

// TestPolicies_are_of_one_table: no file of iam/ allows anything elsewhere, and each is of a role or
// has a test of its own.
func TestPolicies_are_of_one_table(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("iam/*.json")
	require.NoError(t, err)
	seen := 0
	for _, file := range files {
		role := strings.TrimSuffix(filepath.Base(file), ".json")
		for _, s := range readPolicy(t, role).Statement {
			assert.Equal(t, []string{exampleTable}, s.Resource, role)
			assert.NotEmpty(t, s.Sid, role)
		}
		if _, isRole := roles[role]; isRole {
			seen++
			continue
		}
		assert.Contains(t, []string{"worker-of-prefix", "viewer-of-leases"}, role)
	}
	assert.Equal(t, len(roles), seen)
}

// TestPolicy_of_a_prefix_lets_a_class_be_worked_on: and nothing else be written.
func TestPolicy_of_a_prefix_lets_a_class_be_worked_on(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "team-a-1", "team-b-1")
	p := readPolicy(t, "worker-of-prefix").of(f.table)
	f.guard.enforce(&p)
	locker := lease.NewLocker(f.store)
	_, err := locker.ObtainItem(f.ctx, "team-b-1", me)
	assert.ErrorContains(t, err, "AccessDenied")
	l, err := locker.ObtainItem(f.ctx, "team-a-1", me)
	require.NoError(t, err)
	require.NoError(t, locker.ReleaseLease(l))
	worked := obtainedOf(f, locker, func(id string) bool { return strings.HasPrefix(id, "team-a-") })
	assert.Equal(t, "team-a-1", worked)
	assert.Empty(t, f.look("team-b-1").LesseeID)
	assert.Equal(t, p.actions(f.table), f.guard.actions(), "it allows nothing else")
}

// TestPolicy_of_a_viewer_of_leases_hides_the_attributes: whose they are, -wide shows.
func TestPolicy_of_a_viewer_of_leases_hides_the_attributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	p := readPolicy(t, "viewer-of-leases").of(f.table)
	f.guard.enforce(&p)
	for _, words := range []string{"list", "list a", "cost -for 1ms -every 1ms"} {
		assert.NoError(t, f.runWords(key, "", words))
	}
	assert.NoError(t, f.runWords(key, " state ", "watch"))
	assert.Equal(t, p.actions(f.table), f.guard.actions(), "it allows nothing else")
	assert.ErrorContains(t, f.runWords(key, "", "list -wide"), "dynamodb:Scan")
	assert.ErrorContains(t, f.runWords(key, "", "list a -wide"), "dynamodb:GetItem")
}

// permissionRows are the rows of docs/deploy.md: a call, and the actions that it needs.
func permissionRows(t *testing.T) map[string][]string {
	t.Helper()
	section := sectionOf(t, "Permissions")
	rows := make(map[string][]string)
	for _, cells := range tableRows(section, "call") {
		actions := backticked(cells[1])
		slices.Sort(actions)
		for _, name := range backticked(cells[0]) {
			assert.NotContains(t, rows, name, "it has two rows")
			rows[name] = actions
		}
	}
	return rows
}

// readPage is docs/deploy.md.
func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/deploy.md")
	require.NoError(t, err)
	return string(text)
}
