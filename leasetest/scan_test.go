package leasetest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestStoreScansPageByPage(t *testing.T) {
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("item-%d", i))
	}
	s := leasetest.NewStore(ids...)
	s.SetPageSize(3)
	var sizes []int
	for after := ""; ; {
		items, next, err := s.ScanLeaseItems(after, 0)
		require.NoError(t, err)
		sizes = append(sizes, len(items))
		if next == "" {
			break
		}
		after = next
	}
	assert.Equal(t, []int{3, 3, 3, 1}, sizes)
	for _, id := range ids[1:] {
		s.Steal(id, "other", time.Minute)
	}
	l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, ids[0], l.LeaseID)
}
