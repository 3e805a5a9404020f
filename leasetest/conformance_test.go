package leasetest_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func newMemory(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
	return leasetest.NewStore(leaseIDs...)
}

func TestMemoryStoreConforms(t *testing.T) {
	leasetest.TestStore(t, newMemory, synctest.Test)
}

func TestMemoryStoreConformsPageByPage(t *testing.T) {
	leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		s := leasetest.NewStore(leaseIDs...)
		s.SetPageSize(3)
		return s
	}, synctest.Test)
}

func TestMemoryStoreConformsInRealTime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: left out, it sleeps")
	}
	leasetest.TestStore(t, newMemory)
}

func TestLockStoreConforms(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	config := &aws.Config{HTTPClient: &http.Client{Transport: transport}}
	client := ddblocal.ForTest(t).Client(config)
	leasetest.TestStore(t, func(t *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		store, _ := newTable(t, client, "id")
		for _, id := range leaseIDs {
			require.NoError(t, store.AddLeaseID(id, nil))
		}
		return store
	})
}

// TestBrokenStoreThatIsWholeConforms: what a mutant fails for is its mutation.
func TestBrokenStoreThatIsWholeConforms(t *testing.T) {
	leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		return newBroken(leaseIDs...)
	}, synctest.Test)
}

const mutantsEnv = "LEASETEST_MUTANTS"

// TestMutants fails: it is run by TestSuiteCatchesEveryMutant, in a process of its own.
func TestMutants(t *testing.T) {
	if os.Getenv(mutantsEnv) == "" {
		t.SkipNow()
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
				b := newBroken(leaseIDs...)
				mutant.mutate(b)
				return b
			}, synctest.Test)
		})
	}
}

func TestSuiteCatchesEveryMutant(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestMutants$", "-test.short")
	child.Env = append(os.Environ(), mutantsEnv+"=1")
	out, err := child.CombinedOutput()
	require.Error(t, err)
	require.NotContains(t, string(out), "panic:")
	spaces := strings.NewReplacer("_", " ")
	for name, mutant := range mutants {
		want := "--- FAIL: TestMutants/" + name + "/" + mutant.breaks
		assert.True(t, strings.Contains(spaces.Replace(string(out)), want), "no %q", want)
	}
}
